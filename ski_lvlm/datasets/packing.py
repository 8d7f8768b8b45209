"""Packing of many clips into one folder: an unusable clip is listed, and a set whose sources are as before is kept."""

import json
from collections.abc import Iterable
from pathlib import Path

from ski_lvlm.cli import progress
from ski_lvlm.datasets.skeleton_import import PreparedClip
from ski_lvlm.skeletons.packed import PackedSkeletons, PackedWriter
from ski_lvlm.storage.digests import digest

BATCH = 32  # clips that a worker reads at a time


def fingerprint(paths: Iterable[Path], *words: str) -> str:
    """Return a digest of `words` and of the files' names, sizes and times of change."""
    files = ((path.name, path.stat()) for path in paths)
    states = [f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0" for name, status in files]
    return digest("\0".join(words) + "".join(states), length=32)


def earlier_report(out: Path, source: str) -> dict | None:
    """Return the report of an earlier run on the same files if its set is whole."""
    try:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        packed = PackedSkeletons.open(out)
    except (OSError, ValueError):
        return None
    return report if report.get("source") == packed.source == source else None


def pack(
    clips: Iterable[PreparedClip], writer: PackedWriter, *, total: int | None, source: Path, none_left: str
) -> dict[str, str]:
    """Write the usable clips and return the errors of the others by clip.

    `none_left` explains an empty set without errors.

    Raises:
        ValueError: no clip can be used.
    """
    errors = {}
    with progress("skeletons", total=total) as advance:
        for clip in clips:
            if clip.content is None:
                errors[clip.name] = clip.error
            else:
                writer.add(clip.name, clip.content)
            advance(1)
    if not writer.names:
        first = next(iter(errors.values()), none_left)
        raise ValueError(f"{source}: no skeleton in it can be used; the first problem is: {first}")
    return errors
