import sys
from pathlib import Path

import pytest

from scripts import prepare, prepare_ntu
from ski_lvlm.datasets.converters.kinds import KINDS
from ski_lvlm.skeletons.ntu_file import write_skeleton
from tests.cases.command_case import run
from tests.cases.conversion_case import (
    GENUINE_UTD,
    convert,
    moving,
    needs_genuine_utd,
    said,
    touch,
    write_json,
    write_lines,
)
from tests.cases.recordings import recording, track

SCRIPT = Path(prepare.__file__)


def fill_ntu(folder):
    (folder / "skeletons").mkdir(parents=True)
    for seed, name in enumerate(("S001C001P001R001A001", "S001C001P001R001A002")):
        write_skeleton(folder / "skeletons" / f"{name}.skeleton", recording(track(range(12), seed=seed), name=name))
    return folder


def fill_msr(root, num_clips):
    for subject in range(1, num_clips + 1):
        rows = [[0.1 * joint, joint * 0.09 + 0.01 * frame, 2, 1] for frame in range(3) for joint in range(1, 21)]
        write_lines(root / f"a01_s{subject:02}_e01_skeleton3D.txt", rows)
    return root


def write_ucla(root):
    for view in (1, 3):
        content = {"skeletons": moving(5, 20, 3).tolist(), "label": 1}
        write_json(root / f"a01_s01_e00_v0{view}.json", content)


def test_ntu_is_prepared_as_by_its_own_command(tmp_path):
    ntu = fill_ntu(tmp_path / "ntu")
    convert("ntu", ntu, tmp_path / "one")
    prepare_ntu.main(["--ntu", str(ntu), "--out", str(tmp_path / "two"), "--workers", "1"])
    names = {path.name for path in (tmp_path / "one").iterdir()}
    assert names == {path.name for path in (tmp_path / "two").iterdir()} >= {"joints.npy", "index.json", "report.json"}
    for name in ("joints.npy", "index.json", "report.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_second_run_does_nothing_until_a_file_changes(tmp_path, capsys):
    root, out = fill_msr(tmp_path / "root", 3), tmp_path / "out"
    convert("msr-action3d", root, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*")}
    convert("msr-action3d", root, out)
    assert "nothing has changed" in said(capsys)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("[!.]*")} == before
    (root / "a01_s01_e01_skeleton3D.txt").unlink()
    converted = convert("msr-action3d", root, out)
    assert list(converted.clips) == converted.packed.names == ["a01_s02_e01", "a01_s03_e01"]


@pytest.mark.parametrize("name", ["clips.csv", "dataset.json", "joints.npy", "index.json", "report.json"])
def test_a_lost_file_is_made_again(tmp_path, name):
    root, out = fill_msr(tmp_path / "root", 2), tmp_path / "out"
    convert("msr-action3d", root, out)
    (out / name).unlink()
    convert("msr-action3d", root, out)
    assert (out / name).is_file()


def test_a_new_video_enters_the_table(tmp_path):
    root, out = fill_msr(tmp_path / "root", 2), tmp_path / "out"
    convert("msr-action3d", root, out)
    touch(root / "a01_s01_e01_rgb.avi")
    assert convert("msr-action3d", root, out).clips["a01_s01_e01"]["video"].endswith("a01_s01_e01_rgb.avi")


@pytest.mark.parametrize("place", ["", "out"])
def test_a_data_set_folder_inside_the_data_set_is_no_part_of_it(tmp_path, capsys, place):
    root = tmp_path / "root"
    write_ucla(root)
    for _ in range(2):
        converted = convert("nw-ucla", root, root / place)
        assert not converted.report["skipped"] and len(converted.packed) == 2
    assert "nothing has changed" in said(capsys)


def test_every_kind_refuses_an_empty_folder_and_a_missing_one(tmp_path):
    for kind in KINDS:
        with pytest.raises(ValueError, match="found no files; expected "):
            convert(kind, tmp_path, tmp_path / "out")
        with pytest.raises(ValueError, match="nowhere: no such folder; --root names"):
            convert(kind, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_usable_is_an_error_and_leaves_no_data_set(tmp_path):
    write_lines(tmp_path / "root" / "a01_s01_e01_skeleton3D.txt", [[0, 0, 0, 0]] * 20)
    with pytest.raises(ValueError, match="no skeleton in it can be used; the first problem is: a01_s01_e01: no joint"):
        convert("msr-action3d", tmp_path / "root", tmp_path / "out")
    assert not list((tmp_path / "out").glob("[!.]*"))


@pytest.mark.slow
def test_several_processes_write_the_same_bytes_as_one(tmp_path):
    root = fill_msr(tmp_path / "root", 50)
    convert("msr-action3d", root, tmp_path / "one")
    command = ["--kind", "msr-action3d", "--root", str(root), "--out", str(tmp_path / "two"), "--workers", "2"]
    prepare.main(command)
    for name in ("joints.npy", "index.json", "clips.csv", "dataset.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.slow
def test_a_mistake_is_one_clear_line(tmp_path):
    result = run([sys.executable, str(SCRIPT), "--kind", "utkinect", "--root", ".", "--out", "out"], cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: .: found no files; expected joints_s01_e01.txt")


@needs_genuine_utd
def test_the_genuine_utd_mhad_is_whole(tmp_path):
    report = convert("utd-mhad", GENUINE_UTD, tmp_path).report
    assert (report["clips"], report["skeletons"], report["frames"]) == (861, 861, 58_299)
    assert report["protocols"] == {"xsub": {"train": 431, "test": 430}}
    assert report["classes_with_clips"] == 27 and not report["bad"] and not report["skipped"]
