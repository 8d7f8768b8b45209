"""The Slurm script, with doubles of srun and scontrol: Slurm itself is on no machine that tests run on."""

import os
import signal
import subprocess

import pytest

from tests.cases.command_case import BIN, ENVIRONMENT, ROOT, run, started, until
from tests.cases.skeleton_case import packed_set

pytestmark = pytest.mark.slow

SLURM = ["bash", str(ROOT / "scripts/cluster/slurm.sh")]
TINY = ["--num_heads=1", "--head_dim=12", "--depth=2", "--strided=2", "--num_frames=8", "--max_steps=2", "--use_cpu"]
# Without its own flags, srun starts the command once a machine and fails when one of them does.
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do [[ "$1" == *=* ]] && shift || shift 2; done
for ((i = 0; i < SLURM_JOB_NUM_NODES; i++)); do "$@" & jobs+=($!); done
trap 'kill "${jobs[@]}"' TERM
for job in "${jobs[@]}"; do wait "$job" || exit $?; done
"""
SCONTROL = """#!/usr/bin/env bash
if [[ "$1" == show ]]; then echo 127.0.0.1; else echo "$*" >>requeued; fi
"""


@pytest.fixture
def checkout(tmp_path):
    """Return a folder that looks like the repository, and the environment of a job of two machines there."""
    for name, text in {"bin/srun": SRUN, "bin/scontrol": SCONTROL, ".venv/bin/activate": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "train_ski_vlm.py").symlink_to(ROOT / "train_ski_vlm.py")
    job = {"SLURM_SUBMIT_DIR": tmp_path, "SLURM_JOB_NODELIST": "a[1-2]", "SLURM_JOB_NUM_NODES": 2}
    job |= {"SLURM_JOB_ID": os.getpid(), "SLURM_CPUS_PER_TASK": 1}
    path = {"PATH": f"{tmp_path / 'bin'}:{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return tmp_path, ENVIRONMENT | path | {name: str(value) for name, value in job.items()}


def test_two_machines_train_one_model(checkout):
    folder, environment = checkout
    data = ["--prepared", str(packed_set(folder / "set")), "--split", "synthetic", "--output_dir", "pretrained"]
    batch = ["--batch_size", "8", "--per_device_train_batch_size", "4", "--dataloader_num_workers", "0"]
    words = ["train_ski_vlm.py", "--stage", "skeleton_pretrain", *data, *batch, *TINY]
    result = run([*SLURM, *words], env=environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("skeleton_pretrain in pretrained\n") == 1, "the first process of both says it"
    assert (folder / "pretrained/result.json").is_file() and not (folder / "requeued").exists()


def test_before_the_time_is_over_the_job_is_queued_again_and_goes_on_until_slurm_ends_it(checkout):
    folder, environment = checkout
    torchrun = folder / "bin/torchrun"
    torchrun.write_text('#!/usr/bin/env bash\necho "$@" >>lines\nuntil [[ -e end ]]; do sleep 0.05; done\nexit 7\n')
    torchrun.chmod(0o755)
    lines = folder / "lines"
    with started([*SLURM, "train_ski_vlm.py", "--stage", "distill"], env=environment, stdout=subprocess.PIPE) as job:
        until(lambda: lines.exists() and lines.read_text().count("\n") == 2)
        os.kill(job.pid, signal.SIGUSR1)
        until((folder / "requeued").exists)
        assert job.poll() is None
        (folder / "end").touch()
        output, _ = job.communicate()
    assert job.returncode == 7, "of the training"
    assert "queued again" in output and (folder / "requeued").read_text() == f"requeue {os.getpid()}\n"
    assert lines.read_text().splitlines()[0].endswith("train_ski_vlm.py --stage distill")
    assert "--nnodes 2 --nproc_per_node 1" in lines.read_text()


def test_a_job_from_elsewhere_is_refused(checkout):
    folder, environment = checkout
    result = run([*SLURM, "train.py"], env=environment)
    assert result.returncode == 2 and f"found no train.py or no .venv in {folder}" in result.stderr
