#!/usr/bin/env bash
# Either training command on the machines of a Slurm job. Submit it from the repository:
#   sbatch --nodes 2 scripts/cluster/slurm.sh train_ski_vlm.py --stage video_finetune … --output_dir DIR
#   sbatch --nodes 1 scripts/cluster/slurm.sh train_ski_lvlm.py --deepspeed zero2.json … --save_steps 100 --output_dir DIR
# Slurm queues the job again after preemption and after the loss of a machine, and this script before the time is over.
# The same command then resumes from its last whole checkpoint, so let --save_steps be a few minutes apart. An error of
# the training ends the job. Flags of sbatch come before the following lines.
#SBATCH --job-name=ski
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --output=slurm-%j.log
#SBATCH --open-mode=append
set -euo pipefail
cd "$SLURM_SUBMIT_DIR"

if [[ ! -f "${1:-}" || ! -f .venv/bin/activate ]]; then
  echo "error: found no ${1:-command} or no .venv in $PWD; submit from the repository, with train_ski_vlm.py or" \
    "train_ski_lvlm.py as the first word after slurm.sh, after 'bash scripts/environment.sh'" >&2
  exit 2
fi
source .venv/bin/activate

gpus="${SLURM_GPUS_ON_NODE:-1}" # without a GPU one process a machine trains on the CPU
first="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
port=$((20000 + SLURM_JOB_ID % 20000)) # jobs that share a machine do not collide
cpus="${SLURM_CPUS_PER_TASK:-1}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cpus / gpus > 0 ? cpus / gpus : 1))}"

again() {
  echo "the time is nearly over: job $SLURM_JOB_ID is queued again"
  scontrol requeue "$SLURM_JOB_ID"
}
trap again USR1

# srun does not hand on --cpus-per-task by itself, and without it all processes of a machine would share one core.
srun --ntasks-per-node 1 --cpus-per-task "$cpus" --kill-on-bad-exit=1 \
  torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc_per_node "$gpus" --rdzv_id "$SLURM_JOB_ID" --rdzv_backend c10d \
  --rdzv_endpoint "$first:$port" "$@" &
training=$!
code=0
wait "$training" || code=$?
while kill -0 "$training" 2>/dev/null; do # a signal ends the waiting, and not the training
  code=0
  wait "$training" || code=$?
done
exit "$code"
