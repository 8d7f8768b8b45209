import errno
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ski_lvlm.lvlm.feature_files import read_tokens
from ski_lvlm.lvlm.features import FeatureError, FeatureFolder, FeatureWriter

CLIP = "S001C001P001R001A001"
ENTRY = {"tower": "some/clip", "digest": "0123", "num_frames": 4, "width": 8, "tokens": 6}


def tokens(count=6, width=8, *, seed=0):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def saved(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".safetensors":
        save_file({"tokens": torch.from_numpy(array)}, path)
    else:
        path.write_bytes(pickle.dumps(array))
    return path


def test_what_is_written_is_read_back_in_float32_with_its_origin(tmp_path):
    FeatureWriter(tmp_path, {"video": ENTRY}).write(CLIP, "video", tokens())
    folder = FeatureFolder(tmp_path)
    assert folder.manifest == {"video": ENTRY}
    assert folder.width("video") == 8 and folder.token_count(CLIP, "video") == 6
    loaded = folder.load(f"{CLIP}.pkl", "video")  # as instruction files of others name it
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded, torch.from_numpy(tokens()), atol=2e-3, rtol=1e-3)
    assert np.load(tmp_path / "video" / f"{CLIP}.npy").dtype == np.float16


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".pkl"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_one_s_own_are_read_whatever_their_width(tmp_path, suffix, dtype):
    saved(tmp_path / "skeleton" / f"a{suffix}", tokens(3, 5).astype(dtype))
    folder = FeatureFolder(tmp_path)
    assert folder.manifest == {} and folder.width("skeleton") == 5
    assert folder.load("a", "skeleton").shape == (3, 5)
    assert folder.token_count("a", "skeleton") == 3
    assert not folder.has("a", "video")


def test_bfloat16_safetensors_are_read(tmp_path):
    (tmp_path / "video").mkdir()
    save_file({"x": torch.ones(2, 3, dtype=torch.bfloat16)}, tmp_path / "video" / "a.safetensors")
    assert FeatureFolder(tmp_path).load("a", "video").tolist() == [[1.0] * 3] * 2


def test_llavidal_s_spellings_in_one_folder(tmp_path):
    saved(tmp_path / f"{CLIP}.pkl", tokens(6, 8).astype(np.float16))
    saved(tmp_path / f"{CLIP}_pose.pkl", tokens(4, 3))
    saved(tmp_path / "only_video.pkl", tokens(6, 8))
    folder = FeatureFolder(tmp_path)
    assert folder.load(CLIP, "video").shape == (6, 8)
    assert folder.load(f"{CLIP}_pose.pkl", "skeleton").shape == (4, 3)
    assert folder.width("skeleton") == 3
    assert not folder.has("only_video", "skeleton")


NAMES = {  # clip, files of the folder with their values
    "an ending in the clip's own name": ("tree_pose.mp4", {"video/tree.npy": 1, "video/tree_pose.npy": 2}),
    "a dot": ("S1.partA.mp4", {"video/S1.npy": 1, "video/S1.partA.npy": 2, "video/S1.partB.npy": 3}),
    "a folder": ("cam1/clip01.mp4", {"video/cam1/clip01.npy": 2, "video/cam2/clip01.npy": 1}),
    "a folder that is not here": ("academic_source/Charades/AB12C.mp4", {"video/AB12C.npy": 2}),
    "upper case": ("x.MP4", {"video/x.NPY": 2}),
    "the file's own suffix before ours": ("x.mp4", {"video/x.mp4.npy": 2, "video/y.npy": 1}),
    "one folder for both": ("tree_pose.mp4", {"tree_pose.npy": 2, "tree_pose_pose.npy": 1, "tree.npy": 3}),
    "composed characters": ("café.mp4", {"video/café.npy": 2}),
}


@pytest.mark.parametrize(("clip", "files"), NAMES.values(), ids=NAMES.keys())
def test_the_file_of_a_clip_is_the_one_that_its_name_means(tmp_path, clip, files):
    for name, value in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as content:
            np.save(content, np.full((2, 3), value, np.float32))
    assert FeatureFolder(tmp_path).load(clip, "video").unique().tolist() == [2]


def test_skeletons_of_a_folder_of_both_are_those_with_an_ending(tmp_path):
    for name, value in (("tree", 1), ("tree_pose", 2), ("tree_pose_pose", 3), ("x_skeleton", 4)):
        saved(tmp_path / f"{name}.npy", np.full((2, 3), value, np.float32))
    folder = FeatureFolder(tmp_path)
    for clip, value in (("tree_pose", 3), ("tree_pose_pose.pkl", 3), ("x", 4), ("x_pose.pkl", 4)):
        assert folder.load(clip, "skeleton").unique().tolist() == [value]
    assert not folder.has("tree", "skeleton"), "tree_pose is the video of a clip that is called so"


def test_two_files_of_a_clip_and_two_clips_of_a_file_are_refused(tmp_path):
    saved(tmp_path / "video" / "x.npy", tokens())
    saved(tmp_path / "video" / "x.pkl", tokens())
    saved(tmp_path / "video" / "clip01.npy", tokens())
    folder = FeatureFolder(tmp_path)
    with pytest.raises(FeatureError, match=r"clip name 'x' means 2 files: x\.npy, x\.pkl"):
        folder.load("x", "video")
    assert folder.has("x.pkl", "video")
    folder.check_apart(["cam1/clip01", "clip01"], "video")
    with pytest.raises(FeatureError, match="'cam1/clip01' and 'cam2/clip01' are two clips, but both mean the file"):
        folder.check_apart(["cam1/clip01", "cam2/clip01"], "video")


def test_a_pickle_that_would_run_something_is_refused_and_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"a\.pkl.*exec"):
        FeatureFolder(tmp_path).load("a", "video")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_name_the_file(tmp_path, bad):
    array = tokens()
    array[2, 3] = bad
    file = saved(tmp_path / "video" / "a.npy", array)
    with pytest.raises(FeatureError, match="1 of 48 values are NaN or infinite") as caught:
        FeatureFolder(tmp_path).load("a", "video")
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("shape", [(8,), (1, 6, 8), (0, 8), (6, 0)])
def test_anything_but_n_by_f_is_an_error(tmp_path, shape):
    saved(tmp_path / "video" / "a.npy", np.zeros(shape, np.float32))
    with pytest.raises(FeatureError, match=r"a\.npy: found an array of shape .* expected floating-point N x F"):
        FeatureFolder(tmp_path).load("a", "video")


def test_integers_and_several_tensors_are_no_features(tmp_path):
    with pytest.raises(FeatureError, match="type int64"):
        read_tokens(saved(tmp_path / "a.npy", np.ones((2, 2), np.int64)))
    save_file({"a": torch.ones(2, 2), "b": torch.ones(2, 2)}, tmp_path / "two.safetensors")
    with pytest.raises(FeatureError, match=r"2 tensors \['a', 'b'\], expected one"):
        read_tokens(tmp_path / "two.safetensors")
    with pytest.raises(FeatureError, match="holds a list"):
        read_tokens(saved(tmp_path / "list.pkl", [1, 2]))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no features at all"])
@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_a_torn_file_is_named(tmp_path, content, suffix):
    file = tmp_path / f"a{suffix}"
    file.write_bytes(content)
    with pytest.raises(FeatureError, match=f"a{suffix}: not a whole"):
        read_tokens(file)


def test_a_file_that_ends_early_is_named(tmp_path):
    file = saved(tmp_path / "a.npy", tokens())
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(FeatureError, match="not a whole .npy"):
        read_tokens(file)


def test_another_width_than_the_rest_says_found_and_expected(tmp_path):
    saved(tmp_path / "skeleton" / "a.npy", tokens(4, 216))
    saved(tmp_path / "skeleton" / "b.npy", tokens(4, 512))
    with pytest.raises(FeatureError, match=r"b\.npy: found tokens of width 512, expected 216"):
        FeatureFolder(tmp_path).load("b", "skeleton")
    writer = FeatureWriter(tmp_path / "made", {"video": ENTRY})
    writer.write("a", "video", tokens(6, 9))
    with pytest.raises(FeatureError, match="width 9, expected 8"):
        FeatureFolder(tmp_path / "made").load("a", "video")


def test_a_missing_clip_modality_or_folder_says_where_it_was_looked_for(tmp_path):
    saved(tmp_path / "video" / "a.npy", tokens())
    folder = FeatureFolder(tmp_path)
    with pytest.raises(FeatureError, match=r"no video features of clip 'b' in .*video.*extract_features.py"):
        folder.load("b", "video")
    with pytest.raises(FeatureError, match="no skeleton features"):
        folder.width("skeleton")
    with pytest.raises(FeatureError, match="no such features folder"):
        FeatureFolder(tmp_path / "nowhere")


def test_features_of_the_wrong_tower_are_refused_and_one_s_own_are_trusted(tmp_path):
    FeatureWriter(tmp_path / "made", {"video": ENTRY})
    store = FeatureFolder(tmp_path / "made")
    store.check_origin("video", "0123")
    with pytest.raises(FeatureError, match=r"made by 'some/clip' with weights 0123, but weights 4567"):
        store.check_origin("video", "4567")
    saved(tmp_path / "own" / "video" / "a.npy", tokens())
    FeatureFolder(tmp_path / "own").check_origin("video", "4567")


@pytest.mark.parametrize("content", ["{", "[]", '{"video": 3}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "features.json").write_text(content)
    with pytest.raises(FeatureError, match=r"features\.json"):
        FeatureFolder(tmp_path)


def test_a_folder_is_added_to_only_in_the_same_way(tmp_path):
    FeatureWriter(tmp_path, {"video": ENTRY}).write(CLIP, "video", tokens())
    assert FeatureWriter(tmp_path, {"video": ENTRY | {"tower": "/moved/clip"}}).has(CLIP, "video")
    FeatureWriter(tmp_path, {"skeleton": {"encoder": "e", "digest": "9"}})
    assert set(FeatureFolder(tmp_path).manifest) == {"video", "skeleton"}
    with pytest.raises(FeatureError, match=r"digest '0123' → '4567'.*another folder"):
        FeatureWriter(tmp_path, {"video": ENTRY | {"digest": "4567"}})


def test_files_of_unknown_origin_are_not_added_to(tmp_path):
    saved(tmp_path / "video" / "a.npy", tokens())
    with pytest.raises(FeatureError, match="does not say what made them"):
        FeatureWriter(tmp_path, {"video": ENTRY})


def test_values_that_float16_cannot_hold_are_not_written(tmp_path):
    writer = FeatureWriter(tmp_path, {"video": ENTRY})
    with pytest.raises(FeatureError, match="float16"):
        writer.write("a", "video", tokens() * 1e6)
    assert not writer.has("a", "video")


def test_a_full_disk_keeps_what_is_whole_and_leaves_nothing_torn(tmp_path, monkeypatch):
    writer = FeatureWriter(tmp_path, {"video": ENTRY})
    writer.write("a", "video", tokens())

    def full(path, *_, **__):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ski_lvlm.lvlm.features.np.save", full)
    with pytest.raises(OSError, match=r"disk of .* is full.*stay: free space.*run the same command again"):
        writer.write("b", "video", tokens())
    assert [file.name for file in (tmp_path / "video").iterdir()] == ["a.npy"]
