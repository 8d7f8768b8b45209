"""Flags of the miniature runs on the synthetic set, shared by the quickstart, the tables and the benchmarks.

    python scripts/miniature.py  # prints them, a name and its flags in a line, for quickstart.sh

Rates and epochs were chosen by the loss on the seen classes of the first split. A run takes a minute or so.
"""

from collections.abc import Sequence

from ski_lvlm.cli import parser, run

CLIPS = 960  # of the synthetic set
MINIATURE = {
    "synthesize": f"--clips {CLIPS} --seed 0",
    "backbone": "efficientnet-lite0",
    "text_encoder": "minilm",
    "base_llm": "smollm2",
    "skeletons": "--num_frames 32 --batch_size 8 --per_device_train_batch_size 8",
    "skeleton_pretrain": "--num_heads 1 --head_dim 24 --depth 6 --strided 2 4 --num_train_epochs 6 "
    "--optim adamw_torch --learning_rate 3e-3 --lr_scheduler_type cosine --warmup_steps 0.15",
    "shift_gcn": "--widths 24 24 24 48 48 48 --strided 2 4 --num_train_epochs 6 "
    "--optim adamw_torch --learning_rate 3e-3 --lr_scheduler_type cosine --warmup_steps 0.15",
    "synse": "--rounds 3 --round_length 1700",
    "msf": "--rounds 3 --round_length 1700",
    "smie": "--rounds 10 --round_length 100 --learning_rate 1e-3",
    "star": "--rounds 20",
    "skeleton_align": "--num_train_epochs 4 --learning_rate 3e-3",
    "frames": "--num_frames 12 --side 96",
    "student": "--num_frames 4 --side 96",
    "videos": "--learning_rate 1e-4 --augment False --batch_size 16 --per_device_train_batch_size 16",
    "video_tokens": "--vision_tower efficientnet-lite0 --num_frames 16 --framing centre",
    "skeleton_tokens": "--skeleton_tokens 8",
    "lvlm": "--batch_size 4 --num_train_epochs 1.25 --learning_rate 3e-3",
    "captions": "--max_new_tokens 48",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the flags."""
    parser(__doc__ or "").parse_args(argv)
    for name, flags in MINIATURE.items():
        print(name, flags)


if __name__ == "__main__":
    run(main)
