"""One function says which clip a file name means, whoever wrote the name."""

import unicodedata

import pytest

from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.clip_names import ClipIndex, ClipNameError, check_one_clip, clip_name

NTU = "S001C001P001R001A001"


@pytest.mark.parametrize(
    ("name", "files", "file"),
    [
        ("tree_pose.mp4", ["tree.npy", "tree_pose.npy"], "tree_pose.npy"),
        ("tree_pose.pkl", ["tree.npy"], "tree.npy"),
        ("pick_up_object.mp4", ["pick_up_object.npy", "pick_up.npy"], "pick_up_object.npy"),
        ("S1.partA", ["S1.npy", "S1.partA.npy", "S1.partB.npy"], "S1.partA.npy"),
        ("S1.partA.mp4", ["S1.partA.npy"], "S1.partA.npy"),
        ("S1.partC", ["S1.npy"], None),
        ("v_1.5", ["v_1.5.mp4", "v_1.npy"], "v_1.5.mp4"),
        ("x", ["x_rgb.avi", "xy.avi"], "x_rgb.avi"),
        ("x", ["x_rgb.avi", "x.avi"], "x.avi"),
        ("x_rgb", ["x_rgb.avi", "x.avi"], "x_rgb.avi"),
        ("x.avi", ["x.AVI"], "x.AVI"),
        ("x.MP4", ["x.mkv"], "x.mkv"),
        ("x.mp4", ["x.avi", "x.mp4"], "x.mp4"),
        ("x.mp4", ["x.mp4.npy"], "x.mp4.npy"),
        ("x", ["x.mp4.npy"], "x.mp4.npy"),
        ("x", ["x.skeleton.npy"], "x.skeleton.npy"),
        ("my clip (1).mp4", ["my clip (1).npy"], "my clip (1).npy"),
        ("cam1/clip01.mp4", ["cam1/clip01.npy", "cam2/clip01.npy"], "cam1/clip01.npy"),
        ("cam1\\clip01.mp4", ["cam1/clip01.npy", "cam2/clip01.npy"], "cam1/clip01.npy"),
        ("./cam1//clip01", ["cam1/clip01.npy"], "cam1/clip01.npy"),
        ("clip01", ["cam1/clip01.mp4", "cam1/clip02.mp4"], "cam1/clip01.mp4"),
        ("cam1/clip01", ["site/cam1/clip01.mp4", "site/cam2/clip01.mp4"], "site/cam1/clip01.mp4"),
        ("cam3/clip01", ["cam1/clip01.mp4", "clip01.mp4"], None),
        ("../x", ["x.mp4"], None),
        ("", ["x.mp4"], None),
        ("_rgb.avi", ["x_rgb.avi"], None),
    ],
)
def test_a_name_means_one_file(name, files, file):
    assert ClipIndex(files).find(name) == file


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_may_be_composed_or_not(form):
    name = unicodedata.normalize(form, "café.mp4")
    for other in ("NFC", "NFD"):
        file = unicodedata.normalize(other, "café.npy")
        assert ClipIndex([file]).find(name) == file


@pytest.mark.parametrize(
    ("name", "files"),
    [("x", ["x.avi", "x.mp4"]), ("x.pkl", ["x.avi", "x.mp4"]), ("x", ["cam1/x.avi", "cam2/x.avi"])],
)
def test_a_name_of_two_files_is_an_error_that_lists_them(name, files):
    with pytest.raises(ClipNameError, match=f"{name}.*means 2 files: {files[0]}, {files[1]}; give"):
        ClipIndex(files).find(name)


def test_endings_are_those_of_the_modality():
    files = ["x.npy", "x_pose.npy", "tree_pose.npy"]
    assert ClipIndex(files, endings=("_pose", "_skeleton")).find("tree") == "tree_pose.npy"
    assert ClipIndex(files).find("tree") is None


def test_a_place_calls_its_clips_by_the_shortest_names_that_tell_them_apart():
    files = ["b/x_rgb.avi", "a/x.MP4", "a/tree_pose.mp4", "S1.partA.mp4", "cafe\u0301.mp4"]
    assert dict(ClipIndex(files).clips) == {
        "S1.partA": "S1.partA.mp4",
        "a/x": "a/x.MP4",
        "b/x": "b/x_rgb.avi",
        "caf\u00e9": "cafe\u0301.mp4",
        "tree_pose": "a/tree_pose.mp4",
    }
    assert list(ClipIndex(files).clips) == sorted(ClipIndex(files).clips)
    with pytest.raises(ClipNameError, match=r"'x' means 2 files: x\.avi, x\.mp4"):
        _ = ClipIndex(["x.mp4", "x.avi"]).clips


def test_every_clip_of_a_place_is_found_by_its_name():
    index = ClipIndex(["b/x_rgb.avi", "a/x.MP4", "a/tree_pose.mp4", "tree.mp4", "S1.partA.mp4", "S1.mp4"])
    assert {name: index.find(name) for name in index.clips} == index.clips


def test_many_names_may_have_folders_that_are_not_here_but_not_two_different_ones():
    index = ClipIndex(["AB12C.npy", "x.npy"])
    names = ["academic_source/Charades/AB12C.mp4", "Charades/AB12C.mp4", "AB12C", "y"]
    assert index.find_all(names) == dict.fromkeys(names[:3], "AB12C.npy")
    with pytest.raises(ClipNameError, match=r"'cam1/x' and 'cam2/x' are two clips.*x\.npy.*named, with their folders"):
        index.find_all(["cam1/x.mp4", "x", "cam2/x.mp4"])
    with pytest.raises(ClipNameError, match="two clips"):
        check_one_clip("x.npy", ["cam1/x", "cam2/x"])


def test_a_clip_without_a_file_does_not_take_that_of_another():
    index = ClipIndex(["tree.mp4", "x.mp4"])
    assert index.find_all(["tree_pose.mp4", "tree.mp4", "x_rgb.avi"]) == {"tree.mp4": "tree.mp4", "x_rgb.avi": "x.mp4"}
    assert index.find_all(["tree_pose.mp4"]) == {"tree_pose.mp4": "tree.mp4"}


def test_an_ntu_clip_is_one_clip_in_whatever_folder_and_spelling():
    names = [
        f"a/{NTU}_rgb.avi",
        f"b/{NTU}.skeleton",
        f"{NTU}_pose.pkl",
        f"{NTU}.skeleton.npy",
        f"c\\{NTU}_skeleton.npy",
    ]
    assert {clip_name(name) for name in names} == {NTU}
    assert {str(parse_name(name)) for name in names} == {NTU}
    assert set(ClipIndex([f"{NTU}.npy"]).find_all(names)) == set(names)


def test_names_keep_what_is_not_an_ending():
    assert clip_name("v_pose_1") == "v_pose_1"
    assert clip_name("clip.2024") == "clip.2024"
    assert clip_name("tree_pose.mp4") == "tree_pose" == clip_name("tree_pose")
    assert clip_name("tree_pose.pkl") == "tree" == clip_name("tree_pose", modality="skeleton")
    assert clip_name("_rgb.avi") == ""
