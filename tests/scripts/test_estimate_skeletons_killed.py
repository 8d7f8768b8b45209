"""The command on drawn figures, with the real networks and worker processes, also killed in the middle."""

import sys

import numpy as np
import pytest

from data_curation import synthesize
from ski_lvlm.skeletons.packed import PackedSkeletons
from tests.cases.command_case import ROOT, kill_at, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    pytest.importorskip("ai_edge_litert", reason="the offline packages are not installed")
    folder = tmp_path_factory.mktemp("synthetic")
    synthesize.main(["--out", str(folder), "--clips", "3", "--seed", "0"])
    return folder / "rgb"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_run_continues_where_it_stopped(tmp_path, videos, workers):
    out = tmp_path / "out"
    command = [sys.executable, str(ROOT / "scripts" / "estimate_skeletons.py"), "--videos", str(videos)]
    command += ["--out", str(out), "--stride", "6", "--workers", workers]
    kill_at(command, "*.npz", 3, folder=tmp_path)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("S*.npz")}
    assert len(before) in (1, 2) and not (out / "index.json").exists()
    done = run(command)
    assert done.returncode == 0, done.stderr
    packed = PackedSkeletons.open(out)
    assert len(packed) == 3 and all(not np.isnan(packed.get(name)).all(axis=(1, 2, 3)).any() for name in packed.names)
    assert {file: file.stat().st_mtime_ns for file in before} == before, "what was estimated is not estimated again"
