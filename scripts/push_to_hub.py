"""Push a trained model to the Hugging Face hub: weights, settings and model card, without checkpoints and logs.

    python scripts/push_to_hub.py DIR user/name
    python scripts/push_to_hub.py DIR user/name --base /data/vicuna=lmsys/vicuna-7b-v1.5    # where others find a base

It needs `hf auth login` or HF_TOKEN. Read README.md in DIR first: it goes along as it is.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Push, and print the address of the commit."""
    args = arguments(argv)
    from ski_lvlm.sharing.push import push_folder

    settings = {"bases": dict(args.base), "private": args.private or None, "revision": args.revision}
    sys.stdout.write(f"{push_folder(args.model, args.repo_id, **settings)}\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("model", type=Path, help="--output_dir of train_ski_vlm.py or train_ski_lvlm.py")
    add("repo_id", help="name on the hub, as user/name. It is made if there is none")
    add("--base", type=base, nargs="+", default=[], metavar="PATH=ID", help="hub ids of bases that were local folders")
    add("--private", action="store_true", help="make a new repository private")
    add("--revision", help="branch to push to (default: main)")
    return flags.parse_args(argv)


def base(text: str) -> tuple[str, str]:
    """Split a base's path from its hub id.

    >>> base("/data/vicuna=lmsys/vicuna-7b-v1.5")
    ('/data/vicuna', 'lmsys/vicuna-7b-v1.5')
    """
    path, equals, hub_id = text.rpartition("=")
    if not (equals and path and hub_id):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected PATH=ID, as /data/vicuna=lmsys/vicuna-7b-v1.5")
    return path, hub_id


if __name__ == "__main__":
    run(main)
