"""Write the model card (README.md) of a trained model again, with the results of its evaluations.

    python scripts/model_card.py DIR                      # finds results in DIR, and beside it where they name it
    python scripts/model_card.py DIR --results OUT OUT    # of eval/zero_shot.py, eval/score.py, eval/choose.py

Training writes the first card. Changes that were made by hand are lost.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Write the card, and say what it knows."""
    args = arguments(argv)
    if missing := [str(place) for place in args.results if not place.is_dir()]:
        raise ValueError(f"--results: found no folder {', '.join(missing)}, expected the --out of an evaluation")
    from ski_lvlm.sharing.model_card import write_model_card
    from ski_lvlm.sharing.results import results_of

    card = write_model_card(args.model, results=args.results, licence=args.license)
    sys.stdout.write(f"{card} with {len(results_of(args.model, args.results))} results\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("model", type=Path, help="--output_dir of train_ski_vlm.py or train_ski_lvlm.py")
    add("--results", type=Path, nargs="+", default=[], help="folders of further evaluations")
    add(
        "--license",
        default="",
        help="licence by the hub's name, as apache-2.0 (default: that of the bases where their cards lie here, else "
        "unknown)",
    )
    return flags.parse_args(argv)


if __name__ == "__main__":
    run(main)
