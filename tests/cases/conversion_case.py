"""Made-up joints for files in the formats of published data sets, and a run of scripts/prepare.py on them."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scripts import prepare
from ski_lvlm.skeletons.packed import PackedSkeletons
from tests.cases.recordings import REAL

GENUINE_UTD = REAL / "utd_mhad"
needs_genuine_utd = pytest.mark.skipif(not GENUINE_UTD.is_dir(), reason=f"the genuine UTD-MHAD {GENUINE_UTD} is absent")


def moving(num_frames, *axes, seed=0):
    """Return joints (frames, *axes) about two metres from the camera that move a little."""
    rng = np.random.default_rng(seed)
    box = np.linspace(0.2, 1.8, int(np.prod(axes))).reshape(axes)
    return (box + rng.normal(0, 0.05, (num_frames, *axes))).astype(np.float32)


def upright(num_frames, *, seed=0):
    """Return 25 joints (frames, 25, 3) of a body that is taller than wide."""
    return moving(num_frames, 25, 3, seed=seed) * np.array([0.3, 1, 0.3], np.float32)


def write_lines(path, rows):
    """Write rows of numbers as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{value:.6g}" for value in row) + "\n" for row in rows))
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@dataclass(frozen=True)
class Converted:
    """A data set folder that scripts/prepare.py made."""

    out: Path

    @property
    def description(self):
        return json.loads((self.out / "dataset.json").read_text(encoding="utf-8"))

    @property
    def report(self):
        return json.loads((self.out / "report.json").read_text(encoding="utf-8"))

    @property
    def clips(self):
        """Rows of the table by clip."""
        with (self.out / "clips.csv").open(encoding="utf-8", newline="") as file:
            return {row["clip"]: row for row in csv.DictReader(file)}

    @property
    def packed(self):
        return PackedSkeletons.open(self.out)


def convert(kind, root, out):
    prepare.main(["--kind", kind, "--root", str(root), "--out", str(out), "--workers", "1"])
    return Converted(Path(out))


def said(capsys):
    """Return what was printed, without line breaks."""
    return " ".join(capsys.readouterr().out.split())


def centred_first(joints, centre):
    """Return joints (frames, J, D) with the origin at the middle of their first centre joints."""
    return joints - joints[0, list(centre)].mean(axis=0)
