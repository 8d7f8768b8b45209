"""Merge the adapter of a SKI-LVLM into its language model, which then answers the same without peft.

    python scripts/merge_adapter.py --model DIR --out DIR

OUT is a SKI-LVLM for all commands. OUT/llm is a plain Hugging Face language model.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run

PRECISIONS = ("float32", "bfloat16", "float16")


def main(argv: Sequence[str] | None = None) -> int:
    """Merge, write, and say where the model is."""
    flags = arguments(argv)
    import torch

    from ski_lvlm.lvlm.merging import write_merged

    dtype = None if flags.dtype == "auto" else getattr(torch, flags.dtype)
    precision = write_merged(flags.model, flags.out, dtype=dtype)
    print(f"merged model in {flags.out}, its language model in {flags.out / 'llm'} ({precision})")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("--model", type=Path, required=True, help="--output_dir of train_ski_lvlm.py with --lora_rank")
    add("--out", type=Path, required=True, help="folder for the merged model")
    add(
        "--dtype",
        choices=["auto", *PRECISIONS],
        default="auto",
        help="precision of the written weights. auto: that of the base language model's files",
    )
    return flags.parse_args(argv)


if __name__ == "__main__":
    run(main)
