"""Data that all tables share: the last quickstart's, or steps that make and prepare it."""

from pathlib import Path

from scripts.miniature import CLIPS
from scripts.tables.jobs import ROOT, Step

QUICKSTART = ROOT / "runs" / "quickstart"


def has_quickstart(*stages: str) -> bool:
    """Return whether the last quickstart has finished these stages."""
    return all((QUICKSTART / "done" / stage).exists() for stage in stages)


def synthesize(out: Path, *, clips: int = CLIPS) -> Step:
    """Return the step that makes the synthetic set."""
    folder = out / "ntu"
    command = ("data_curation/synthesize.py", "--clips", str(clips), "--seed", "0", "--out", folder)
    return Step(command, "skeletons", out, folder)


def prepare(out: Path, ntu: Path, *, dataset: str, needs: tuple[Step, ...]) -> Step:
    """Return the step that packs the skeletons."""
    folder = out / "prepared"
    command = ("scripts/prepare_ntu.py", "--ntu", ntu, "--dataset", dataset, "--out", folder)
    return Step(command, "report.json", out, folder, needs)
