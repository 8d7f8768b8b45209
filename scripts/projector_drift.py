"""Measure how far a projector of SKI-LVLM has moved from its start.

    python scripts/projector_drift.py --start first --model second --features features --out drift.json

--start is the folder that --model began with by --init_from. A checkpoint of either will do. With --features the two
also project the tokens of its clips. Intervals are over clips (95 %, bootstrap). Needs no language model and no GPU.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ski_lvlm.cli import parser, run

if TYPE_CHECKING:
    from ski_lvlm.lvlm.drift import OutputDrift


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, and print the two numbers that matter most."""
    flags = arguments(argv)
    from ski_lvlm.storage.files import write_json

    result = measured(flags)
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(flags.out, result)
    print(f"weights moved by {result['weights']['all']:.4f} of their size")
    if outputs := result.get("outputs"):
        of_tokens = outputs["relative_l2"]["mean"]
        print(f"embeddings moved by {of_tokens:.4f} of their length, over {outputs['clips']} clips")
    print(f"drift: {flags.out}")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("--start", type=Path, required=True, help="folder of the model at the start")
    add("--model", type=Path, required=True, help="folder of the model after the training")
    add("--modality", choices=["video", "skeleton"], default="video", help="whose projector: T_v or T_s")
    add("--features", type=Path, help="features folder whose tokens are projected. Default: weights alone")
    add("--limit", type=int, help="clips at most, evenly spaced by name. Default: all")
    add("--out", type=Path, required=True, help="JSON file of the result")
    return flags.parse_args(argv)


def measured(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the drift of weights and, with features, of outputs.

    Raises:
        ValueError: no such models, two that cannot be compared, or no tokens.
    """
    from ski_lvlm.lvlm.drift import check_comparable, open_projector, output_drift, weight_drift
    from ski_lvlm.lvlm.features import FeatureFolder
    from ski_lvlm.lvlm.stages import run_digest

    start, model = (open_projector(folder, flags.modality) for folder in (flags.start, flags.model))
    check_comparable(start, model, flags.modality)
    result: dict[str, Any] = {
        "start": {"folder": str(flags.start.resolve()), "digest": run_digest(flags.start)},
        "model": {"folder": str(flags.model.resolve()), "digest": run_digest(flags.model)},
        "modality": flags.modality,
        "skeleton_control": model.config.skeleton_control,
        "weights": weight_drift(start.projector, model.projector),
    }
    if flags.features is None:
        return result
    features = FeatureFolder(flags.features)
    features.check_same_origin(model.config.manifest, trained=str(flags.model), remedy="give features of the same kind")
    clips = features.clips(flags.modality, limit=flags.limit)
    drifts = {
        clip: output_drift(start.projector, model.projector, features.load(clip, flags.modality)) for clip in clips
    }
    return result | {"features": str(flags.features.resolve()), "outputs": summary(drifts)}


def summary(drifts: "Mapping[str, OutputDrift]") -> dict[str, Any]:
    """Return mean and interval over clips of each measure."""
    from statistics import fmean

    from ski_lvlm.recognition.intervals import mean_interval

    columns = {
        name: {clip: [getattr(drift, name)] for clip, drift in drifts.items()}
        for name in ("cosine_distance", "relative_l2")
    }
    return {"clips": len(drifts)} | {
        name: {"mean": fmean(value for (value,) in column.values()), "interval": mean_interval(column)}
        for name, column in columns.items()
    }


if __name__ == "__main__":
    run(main)
