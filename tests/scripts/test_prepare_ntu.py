import json
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import prepare_ntu
from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.ntu_file import read_skeleton, write_skeleton
from ski_lvlm.skeletons.packed import PackedSkeletons
from tests.cases.command_case import kill_at, run
from tests.cases.recordings import GENUINE, GOLDEN, TWO_ACTORS, as_150, needs_genuine_ntu, recording, track

SCRIPT = Path(prepare_ntu.__file__)
ON_MISSING_LIST = "S001C002P005R002A008"


def fill(folder, names, videos=()):
    (folder / "skeletons").mkdir(parents=True)
    for seed, name in enumerate(names):
        write_skeleton(folder / "skeletons" / f"{name}.skeleton", recording(track(range(12), seed=seed), name=name))
    if videos:
        (folder / "rgb").mkdir()
    for name in videos:
        (folder / "rgb" / f"{name}_rgb.avi").touch()
    return folder


def names(count, setup=1, first_action=1):
    return [f"S{setup:03}C001P001R001A{first_action + i:03}" for i in range(count)]


def prepare(*arguments):
    return prepare_ntu.main([str(a) for a in (*arguments, "--workers", 1)])


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def report(out):
    return json.loads((out / "report.json").read_text())


def test_a_folder_becomes_a_packed_set_equal_to_the_golden(tmp_path, capsys):
    ntu = fill(tmp_path / "ntu", names(3))
    (ntu / "skeletons" / "S001C001P001R001A050.skeleton").write_bytes(TWO_ACTORS.read_bytes())
    assert prepare("--ntu", ntu, "--out", tmp_path / "out") == 0
    packed = PackedSkeletons.open(tmp_path / "out")
    assert packed.names == [*names(3), "S001C001P001R001A050"]
    golden = np.load(GOLDEN / "ntu_pipeline_synthetic_golden.npz")["joints"][0]
    np.testing.assert_array_equal(as_150(packed.get("S001C001P001R001A050")), golden)
    output = said(capsys)
    assert "4 of 56,578" in output and "xsub: train / test" in output
    assert report(tmp_path / "out")["protocols"]["xview"] == {"train": 0, "test": 4}


@pytest.mark.parametrize("place", ["", "skeletons", "nturgb+d_skeletons", "nturgbd_skeletons_s001_to_s017"])
def test_files_are_found_where_labs_keep_them(tmp_path, place):
    folder = fill(tmp_path / "ntu", names(2))
    (folder / "skeletons").rename(folder / "moved")
    if place:
        (folder / "moved").rename(folder / place)
    else:
        folder = folder / "moved"
    prepare("--ntu", folder, "--out", tmp_path / "out")
    assert PackedSkeletons.open(tmp_path / "out").names == names(2)


def test_bad_files_are_listed_and_the_rest_is_kept(tmp_path, capsys):
    ntu = fill(tmp_path / "ntu", names(4), videos=[*names(4)[1:], names(9)[8]])
    cut, empty = (ntu / "skeletons" / f"{name}.skeleton" for name in names(2))
    cut.write_bytes(cut.read_bytes()[:3000])
    empty.write_bytes(b"")
    (ntu / "skeletons" / "bodiless.skeleton").write_text("1\n0\n")
    (ntu / "skeletons" / f"{names(6)[5]}.skeleton").write_text("1\n0\n")
    assert prepare("--ntu", ntu, "--out", tmp_path / "out") == 0
    result = report(tmp_path / "out")
    assert PackedSkeletons.open(tmp_path / "out").names == names(4)[2:]
    assert list(result["bad"]) == [*names(2), names(6)[5]]
    assert result["misnamed"] == ["bodiless.skeleton"]
    assert result["skeleton_without_video"] == [names(1)[0], names(6)[5]]
    assert result["video_without_skeleton"] == [names(9)[8]]
    output = said(capsys)
    assert all(words in output for words in ("file is empty; expected a frame count", "cut off", "no body in any"))


def test_clips_on_the_missing_list_are_left_out_of_ntu_but_not_of_the_synthetic_set(tmp_path):
    ntu = fill(tmp_path / "ntu", [ON_MISSING_LIST, *names(1)])
    prepare("--ntu", ntu, "--out", tmp_path / "out")
    assert report(tmp_path / "out")["on_missing_list"] == [ON_MISSING_LIST]
    assert ON_MISSING_LIST not in PackedSkeletons.open(tmp_path / "out")
    prepare("--ntu", ntu, "--out", tmp_path / "out", "--dataset", "synthetic")
    assert ON_MISSING_LIST in PackedSkeletons.open(tmp_path / "out")
    (ntu / "synthesis.json").touch()
    prepare("--ntu", ntu, "--out", tmp_path / "marked")
    assert ON_MISSING_LIST in PackedSkeletons.open(tmp_path / "marked")


@pytest.mark.slow
def test_an_action_beyond_60_makes_it_ntu120(tmp_path, capsys):
    stranger = "S001C001P001R001A061"  # no set-up of NTU60 holds it
    ntu = fill(tmp_path / "ntu", ["S018C001P008R001A061", stranger])
    prepare("--ntu", ntu, "--out", tmp_path / "out")
    assert "1 of 113,945" in said(capsys)
    assert report(tmp_path / "out")["not_of_this_dataset"] == [stranger]


def test_a_second_run_does_nothing_until_a_file_changes(tmp_path, capsys):
    ntu = fill(tmp_path / "ntu", names(3))
    prepare("--ntu", ntu, "--out", tmp_path / "out")
    before = (tmp_path / "out" / "joints.npy").stat()
    prepare("--ntu", ntu, "--out", tmp_path / "out")
    assert "nothing has changed" in said(capsys)
    assert (tmp_path / "out" / "joints.npy").stat().st_mtime_ns == before.st_mtime_ns
    (ntu / "skeletons" / f"{names(1)[0]}.skeleton").unlink()
    prepare("--ntu", ntu, "--out", tmp_path / "out")
    assert PackedSkeletons.open(tmp_path / "out").names == names(3)[1:]


def test_a_share_of_the_clips_is_packed_and_a_larger_share_holds_it(tmp_path, capsys):
    ntu = fill(tmp_path / "ntu", names(20))
    packed = {}
    for share in (0.3, 0.6, 1):
        assert prepare("--ntu", ntu, "--out", tmp_path / str(share), "--share", share) == 0
        packed[share] = set(PackedSkeletons.open(tmp_path / str(share)).names)
    assert set() < packed[0.3] < packed[0.6] < packed[1] and report(tmp_path / "0.3")["share"] == 0.3
    prepare("--ntu", ntu, "--out", tmp_path / "0.3", "--share", 0.6)
    assert set(PackedSkeletons.open(tmp_path / "0.3").names) == packed[0.6], "another share is another set"
    with pytest.raises(ValueError, match="more than 0 and at most 1"):
        prepare("--ntu", ntu, "--out", tmp_path / "none", "--share", 0)


@pytest.mark.slow
def test_several_processes_write_the_same_bytes_as_one(tmp_path):
    ntu = fill(tmp_path / "ntu", names(50))
    prepare("--ntu", ntu, "--out", tmp_path / "one")
    prepare_ntu.main(["--ntu", str(ntu), "--out", str(tmp_path / "two"), "--workers", "2"])
    assert (tmp_path / "one" / "joints.npy").read_bytes() == (tmp_path / "two" / "joints.npy").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ntu", "nowhere"], "nowhere: no such folder; --ntu names the folder"),
        (["--ntu", "."], "no NTU .skeleton files in it"),
        (["--import_from", "x.npz"], "x.npz: no such file or folder"),
        (["--import_from", ".", "--layout", "openpose"], "unknown joint layout 'openpose'"),
        (["--ntu", ".", "--layout", "coco-17"], "does not apply to .skeleton files"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path, arguments, message):
    command = [sys.executable, str(SCRIPT), *arguments, "--out", "out"]
    result = run(command, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: ") and message in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_nothing_usable_is_an_error_and_leaves_no_set(tmp_path):
    ntu = fill(tmp_path / "ntu", names(1))
    (ntu / "skeletons" / f"{names(1)[0]}.skeleton").write_text("")
    with pytest.raises(ValueError, match="no skeleton in it can be used; the first problem is: .*the file is empty"):
        prepare("--ntu", ntu, "--out", tmp_path / "out")
    assert not list((tmp_path / "out").glob("[!.]*"))


@pytest.mark.slow
def test_killed_in_the_middle_it_starts_again_and_ends_with_the_same_bytes(tmp_path):
    ntu = fill(tmp_path / "ntu", ())
    write_skeleton(tmp_path / "a", recording(track(range(12))))
    text = (tmp_path / "a").read_bytes()
    for performer in range(1, 21):
        for action in range(1, 31):
            (ntu / "skeletons" / f"S001C001P{performer:03}R001A{action:03}.skeleton").write_bytes(text)
    command = [sys.executable, str(SCRIPT), "--ntu", str(ntu), "--dataset", "synthetic", "--workers", "1", "--out"]
    kill_at([*command, str(tmp_path / "killed")], "joints.npy", 1, folder=tmp_path)
    assert not (tmp_path / "killed" / "index.json").exists()
    for out in ("killed", "whole"):
        assert run([*command, str(tmp_path / out)]).returncode == 0
    for name in ("index.json", "joints.npy"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(PackedSkeletons.open(tmp_path / "killed")) == 600


def test_arrays_of_a_lab_are_imported_with_their_layout(tmp_path, capsys):
    (tmp_path / "arrays").mkdir()
    walk = np.random.default_rng(0).normal(size=(12, 20, 3)).astype(np.float32)
    np.save(tmp_path / "arrays" / "walk.npy", walk)
    np.save(tmp_path / "arrays" / "other.npy", walk[:, :17])
    prepare("--import_from", tmp_path / "arrays", "--layout", "kinect-20", "--out", tmp_path / "out")
    packed = PackedSkeletons.open(tmp_path / "out")
    assert (packed.names, packed.layout.name, packed.cleaning) == (["walk"], "kinect-20", "as given")
    np.testing.assert_array_equal(packed.get("walk")[:, 0], walk)
    assert list(report(tmp_path / "out")["bad"]) == ["other"]
    assert "other: found 17 joints with 3 coordinates" in said(capsys)
    prepare("--import_from", tmp_path / "arrays", "--layout", "kinect-20", "--out", tmp_path / "out")
    assert "nothing has changed" in said(capsys)


@needs_genuine_ntu
def test_the_genuine_folder_is_prepared(tmp_path):
    prepare("--ntu", GENUINE.parent, "--out", tmp_path)
    packed = PackedSkeletons.open(tmp_path)
    np.testing.assert_array_equal(packed.get(GENUINE.stem), clean(read_skeleton(GENUINE)).joints)
    assert report(tmp_path)["skeleton_without_video"] == report(tmp_path)["video_without_skeleton"] == []
