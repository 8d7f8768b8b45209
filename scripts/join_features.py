"""Join two features folders: video tokens of one, skeleton tokens of the other, as links.

    python scripts/join_features.py --video features --skeleton other_skeletons --out features_other

Several skeleton encoders then share the video tokens, which take by far the most time and disk.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run
from ski_lvlm.storage.files import write_json


def join(sources: dict[str, Path], out: Path) -> None:
    """Link each modality's folder into `out`, and write the features.json with the origin of both.

    Raises:
        FeatureError: a folder lacks its modality, or states no origin.
        ValueError: `out` holds features of a modality already.
    """
    from ski_lvlm.lvlm.feature_files import FeatureError
    from ski_lvlm.lvlm.features import MANIFEST, FeatureFolder

    manifest = {}
    for modality, source in sources.items():
        entry = FeatureFolder(source).manifest.get(modality)
        if entry is None or not (source / modality).is_dir():
            raise FeatureError(
                f"{source}: no {modality} features with a {MANIFEST} that states their origin; make them with "
                f"scripts/extract_features.py --modalities {modality}"
            )
        manifest[modality] = entry
    out.mkdir(parents=True, exist_ok=True)
    for modality, source in sources.items():
        link = out / modality
        if link.is_symlink():
            link.unlink()
        if link.exists():
            raise ValueError(f"{link} holds features itself; choose another --out")
        link.symlink_to((source / modality).resolve(), target_is_directory=True)
    write_json(out / MANIFEST, manifest)


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--video", type=Path, required=True, help="features folder with the video tokens")
    p.add_argument("--skeleton", type=Path, required=True, help="features folder with the skeleton tokens")
    p.add_argument("--out", type=Path, required=True, help="the folder of both")
    return p.parse_args(flags)


def main(flags: Sequence[str] | None = None) -> int:
    """Join the folders."""
    args = parse(flags)
    join({"video": args.video, "skeleton": args.skeleton}, args.out)
    print(f"features of {args.video} and {args.skeleton} together: {args.out}")
    return 0


if __name__ == "__main__":
    run(main)
