#!/usr/bin/env bash
# SKI-VLM and SKI-LVLM on a synthetic data set, small enough for a laptop: data, curation, training, zero-shot
# recognition, captions, scores.
#   bash scripts/quickstart.sh          # again: skips finished stages and resumes the one that was interrupted
#   RUN=DIR bash scripts/quickstart.sh  # another folder than runs/quickstart
# Every stage is one command, printed before it runs. A lab types the same ones with its own folders and models.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
run="${RUN:-runs/quickstart}"
mkdir -p "$run/done"
bf16=$(python -c 'from ski_lvlm.llm.loading import native_bf16; print(native_bf16())')

# scripts/miniature.py: ${miniature[NAME]}, unquoted, are the flags of that name.
declare -A miniature
while read -r name flags; do miniature[$name]="$flags"; done < <(python scripts/miniature.py)

# DeepSpeed's port is fixed, so that a second run on this machine would fail: take a free one. It is not in the stage's
# command, which has to be the same when the script is started again.
deepspeed() {
  command deepspeed --master_port "$(python -c 'import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1])')" "$@"
}

# stage NAME COMMAND...: run a command unless it has finished before, after the same stages, and record its wall time
stage() {
  local name="$1" started
  shift
  stages_so_far=$(sha256sum <<<"${stages_so_far:-} $*")
  if [[ -f "$run/done/$name" && "$(cat "$run/done/$name")" == "$stages_so_far" ]]; then
    echo "✓ $name (done before)"
    return
  fi
  printf '\n▶ %s\n  %s\n' "$name" "$*"
  started=$(date +%s%N)
  "$@"
  printf '{"stage": "%s", "seconds": %s}\n' "$name" "$(((($(date +%s%N) - started) / 100000000)))e-1" >>"$run/timings.jsonl"
  echo "$stages_so_far" >"$run/done/$name"
}

cat <<'RECIPE'
                        this quickstart            the paper
  clips                 960, synthetic             114 K, NTU RGB+D 120
  video tower           EfficientNet-Lite0         CLIP ViT-L/14
  video tokens          16 + 49                    100 + 256
  Hyperformer           1 head x 24, 6 blocks      9 heads x 24, 10 blocks
  skeleton frames       32 (8 tokens)              64, in 16 views (256 tokens)
  text encoder          MiniLM                     CLIP
  language model        SmolLM2-135M               Vicuna-7B
  student of SKI-VLM    ViFi-CLIP, 4 frames of 96  16 frames of 224
  its training, SCD     3 + 1 epochs, lr 1e-4      not given + 2, lr 2.25e-5
  LVLM training         600 samples, lr 3e-3       3 epochs of 100 K, lr 2e-5
  skeletons in training half of the samples        all samples
  judge                 sentence similarity        Llama 3.1 8B
RECIPE

skeletons=(--prepared "$run/prepared" --split synthetic ${miniature[skeletons]}
  --save_strategy steps --save_steps 100 --dataloader_num_workers 0)
stage synthesize python data_curation/synthesize.py --out "$run/ntu" ${miniature[synthesize]}
stage prepare python scripts/prepare_ntu.py --ntu "$run/ntu" --out "$run/prepared"
stage build python data_curation/build.py --ntu "$run/ntu" --out "$run/instructions" --split synthetic \
  --captioner kinematics --qa template --pairs_per_clip 1
stage skeleton_pretrain python train_ski_vlm.py --stage skeleton_pretrain "${skeletons[@]}" \
  ${miniature[skeleton_pretrain]} --output_dir "$run/skeleton_pretrain"
stage skeleton_align python train_ski_vlm.py --stage skeleton_align "${skeletons[@]}" \
  --skeleton_encoder "$run/skeleton_pretrain" --text_encoder ${miniature[text_encoder]} ${miniature[skeleton_align]} \
  --output_dir "$run/skeleton_align"
stage frames python scripts/cache_frames.py --ntu "$run/ntu" --out "$run/frames" ${miniature[frames]}
videos=(--ntu "$run/ntu" --frames_cache "$run/frames" --split synthetic ${miniature[videos]}
  --dataloader_num_workers 0)
stage video_finetune python train_ski_vlm.py --stage video_finetune "${videos[@]}" --student vificlip \
  --backbone ${miniature[backbone]} --text_encoder ${miniature[text_encoder]} ${miniature[student]} \
  --num_train_epochs 3 --warmup_steps 0.1 --output_dir "$run/video_finetune"
stage distill python train_ski_vlm.py --stage distill "${videos[@]}" --prepared "$run/prepared" \
  --video_student "$run/video_finetune" --skeleton_clip "$run/skeleton_align" --num_train_epochs 1 \
  --output_dir "$run/distill"
stage zero_shot python eval/zero_shot.py --model "$run/distill" --ntu "$run/ntu" --frames_cache "$run/frames" \
  --split synthetic --clips all --out "$run/zero_shot"
stage features python scripts/extract_features.py --prepared "$run/prepared" --ntu "$run/ntu" --out "$run/features" \
  --clips "$run/instructions/instructions.json" ${miniature[video_tokens]} \
  --skeleton_encoder "$run/skeleton_align" ${miniature[skeleton_tokens]}
stage lvlm deepspeed --num_gpus 1 train_ski_lvlm.py --deepspeed zero2.json \
  --instructions "$run/instructions/instructions.json" --features "$run/features" --base_llm ${miniature[base_llm]} \
  --output_dir "$run/lvlm" --bf16 "$bf16" ${miniature[lvlm]} \
  --standardise True --skeleton_dropout 0.5 --save_steps 25
stage describe python eval/describe.py --model "$run/lvlm" --videos "$run/ntu/rgb" \
  --questions "$run/instructions/questions.json" --out "$run/predictions.json" --limit 60 ${miniature[captions]}
stage accuracy python eval/accuracy.py --predictions "$run/predictions.json" \
  --instructions "$run/instructions/instructions.json" --out "$run/accuracy.json"
stage score python eval/score.py --predictions "$run/predictions.json" --judge similarity --out "$run/scores" \
  --videos "$run/ntu/rgb"
stage report python eval/report.py --run "$run" --out "$run/report.html"
printf '\n'
python eval/report.py --run "$run" --summary
echo "report: $run/report.html"
