import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import names_with_skeleton, parse_name
from ski_lvlm.datasets.skeleton_import import _derived_names, import_skeletons
from ski_lvlm.skeletons.cleaning import CLEANING, clean
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.storage.safe_pickle import UnsafePickleError, load_arrays
from tests.cases.recordings import TWO_ACTORS, as_150

NTU = layout_named("ntu-25")
NAMES = ["S001C001P001R001A001", "S001C001P001R001A050", "S001C001P003R001A002"]


def joints(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gathered(path, layout=NTU):
    return {clip.name: clip for clip in import_skeletons(path, layout=layout)[1]}


def padded(rows, length=60):
    return np.concatenate([rows, np.zeros((length - len(rows), 150), np.float32)])


def write_npz(path, **changes):
    two = clean(read_skeleton(TWO_ACTORS)).joints
    alone = joints(30, 1, 25, 3)
    zeros_for_the_second = np.concatenate([alone.reshape(30, 75), np.zeros((30, 75), np.float32)], axis=1)
    arrays = {
        "x_train": np.stack([padded(as_150(alone)), padded(as_150(two))]),  # as NTU120's script writes a single person
        "x_test": np.stack([padded(zeros_for_the_second)]),  # as NTU60's does
        "y_train": np.eye(60)[[0, 49]],
        "y_test": np.eye(60)[[1]],
        "files_train": np.array(NAMES[:2], dtype="S"),
        "files_test": np.array(NAMES[2:], dtype="S"),
    }
    np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})
    return alone, two


def test_a_ctrgcn_file_gives_back_what_went_in(tmp_path):
    alone, two = write_npz(tmp_path / "NTU60_CS.npz")
    cleaning, _ = import_skeletons(tmp_path / "NTU60_CS.npz", layout=NTU)
    clips = gathered(tmp_path / "NTU60_CS.npz")
    assert cleaning == CLEANING and list(clips) == NAMES
    np.testing.assert_array_equal(clips[NAMES[0]].content, alone)
    np.testing.assert_array_equal(clips[NAMES[2]].content, alone)
    np.testing.assert_array_equal(clips[NAMES[1]].content, two)  # absent frames are NaN again


def test_a_ctrgcn_file_whose_labels_contradict_its_names_is_refused(tmp_path):
    write_npz(tmp_path / "a.npz", y_train=np.eye(60)[[0, 48]])
    with pytest.raises(ValueError, match="y_train does not agree with the clips' names"):
        gathered(tmp_path / "a.npz")


def test_a_ctrgcn_file_without_names_and_of_no_protocol_is_refused(tmp_path):
    write_npz(tmp_path / "a.npz", files_train=None, files_test=None)
    with pytest.raises(ValueError, match="2 training and 1 test clips fit no NTU protocol.*add the arrays files_train"):
        gathered(tmp_path / "a.npz")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("counts", "dataset", "protocol", "first"),
    [((40091, 16487), "ntu60", "xsub", "performer"), ((37646, 18932), "ntu60", "xview", "camera")],
)
def test_names_follow_from_a_protocols_counts(counts, dataset, protocol, first):
    names = _derived_names(counts, Path("a.npz"))
    assert (len(names["train"]), len(names["test"])) == counts
    assert sorted(names["train"] + names["test"]) == list(names_with_skeleton(dataset))
    divided = [getattr(parse_name(name), first) for name in names["train"]]
    assert divided == sorted(divided)
    data = open_data_set(dataset)
    assert all(data.is_train(names["train"][::999], data.protocol(protocol)))


def test_a_frame_of_another_size_is_a_problem_of_the_clip(tmp_path):
    write_npz(tmp_path / "a.npz")
    clips = gathered(tmp_path / "a.npz", layout_named("kinect-20"))
    assert all(clip.content is None for clip in clips.values())
    assert "found 150 numbers a frame; two persons of the layout kinect-20 have 120" in clips[NAMES[0]].error


def write_pyskl(path, keypoint, name=NAMES[0]):
    annotation = {"frame_dir": name, "label": 0, "keypoint": keypoint, "total_frames": keypoint.shape[1]}
    content = {"split": {"xsub_train": [name], "xsub_val": []}, "annotations": [annotation]}
    path.write_bytes(pickle.dumps(content))


@pytest.mark.parametrize("persons", [1, 2])
def test_a_pyskl_pickle_is_read_with_persons_first(tmp_path, persons):
    keypoint = joints(persons, 20, 25, 3).astype(np.float16)
    keypoint[-1, 5] = 0
    write_pyskl(tmp_path / "ntu60_3danno.pkl", keypoint)
    clip = gathered(tmp_path / "ntu60_3danno.pkl")[NAMES[0]]
    assert clip.content.dtype == np.float32 and clip.content.shape == (19 if persons == 1 else 20, persons, 25, 3)
    np.testing.assert_array_equal(clip.content[3, 0], keypoint[0, 3].astype(np.float32))
    assert np.isnan(clip.content).any() == (persons == 2)


def test_a_person_who_is_never_there_does_not_count(tmp_path):
    keypoint = joints(2, 20, 25, 3)
    keypoint[1] = 0
    write_pyskl(tmp_path / "a.pkl", keypoint)
    assert gathered(tmp_path / "a.pkl")[NAMES[0]].content.shape == (20, 1, 25, 3)


def test_two_dimensional_keypoints_do_not_pass_for_three(tmp_path):
    write_pyskl(tmp_path / "hrnet.pkl", joints(1, 20, 17, 2))
    problem = gathered(tmp_path / "hrnet.pkl")[NAMES[0]].error
    assert (
        "found 17 joints with 2 coordinates; the layout ntu-25 has 25 with 3" in problem and "ever made up" in problem
    )
    assert gathered(tmp_path / "hrnet.pkl", layout_named("coco-17"))[NAMES[0]].content.shape == (20, 1, 17, 2)


def test_another_pickle_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="expected pyskl's dictionary"):
        gathered(tmp_path / "a.pkl")


@pytest.mark.parametrize(("layout", "count"), [("ntu-25", 25), ("kinect-20", 20), ("h36m-17", 17)])
def test_a_folder_of_arrays_is_read_with_the_layout_it_is_said_to_have(tmp_path, layout, count):
    np.save(tmp_path / "one.npy", joints(12, count, 3))
    np.savez(tmp_path / "two.npz", joints(2, 9, count, 3))
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY nonsense")
    np.save(tmp_path / "flat.npy", joints(12, 75))
    np.save(tmp_path / "three.npy", joints(3, 9, count, 3))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    clips = gathered(tmp_path, layout_named(layout))
    np.testing.assert_array_equal(clips["one"].content[:, 0], joints(12, count, 3))
    np.testing.assert_array_equal(clips["two"].content[:, 1], joints(2, 9, count, 3)[1])
    for name, message in (
        ("bad", "not a readable array"),
        ("flat", r"found shape (12, 75); expected (T, J, 3)"),
        ("three", "found 3 persons; expected one or two"),
        ("object", "not a readable array"),
    ):
        assert clips[name].content is None and message in clips[name].error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"not a zip", "not a readable .npz"),
        ("a.mat", b"", "found .mat extension; expected .npz, .npy or .pkl"),
        ("missing.npz", None, "no such file or folder"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        gathered(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no .npy or .npz in the folder"):
        gathered(tmp_path)


class Hostile:
    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return os.remove, (self.victim,)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, protocol):
    victim = tmp_path / "victim"
    victim.write_text("here")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"annotations": [Hostile(str(victim))]}, protocol))
    with pytest.raises(UnsafePickleError, match=r"a\.pkl: the pickle asks for \w+\.remove; only numpy arrays"):
        load_arrays(tmp_path / "a.pkl")
    assert victim.exists()


@pytest.mark.parametrize(
    "words", [b"cbuiltins\neval\n(S'1/0'\ntR.", b"cos\nsystem\n.", b"cnumpy\nload\n.", b"c_codecs\ndecode\n."]
)
def test_other_ways_in_are_shut(tmp_path, words):
    (tmp_path / "a.pkl").write_bytes(words)
    with pytest.raises(UnsafePickleError, match="the pickle asks for"):
        load_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_scalars_and_containers_come_through(tmp_path, protocol):
    content = {
        "half": joints(3, 4).astype(np.float16),
        "fortran": np.asfortranarray(joints(3, 4)),
        "scalar": np.float32(2.5),
        "dtype": np.dtype("<f4"),
        "nested": [(1, "a", b"\xff\x00", {2, 3}, None, 1 + 2j)],
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    back = load_arrays(tmp_path / "a.pkl")
    np.testing.assert_array_equal(back["half"], content["half"])
    np.testing.assert_array_equal(back["fortran"], content["fortran"])
    assert (back["scalar"], back["dtype"], back["nested"]) == (content["scalar"], content["dtype"], content["nested"])


@pytest.mark.parametrize("damage", [b"", b"\x80\x04", b"garbage", pickle.dumps(np.zeros(100))[:300]])
def test_a_damaged_pickle_is_said_to_be_one(tmp_path, damage):
    (tmp_path / "a.pkl").write_bytes(damage)
    with pytest.raises(UnsafePickleError, match="not a readable pickle.*again"):
        load_arrays(tmp_path / "a.pkl")


def test_a_single_joint_that_is_nan_stays_absent_alone(tmp_path):
    keypoint = joints(1, 20, 25, 3)
    keypoint[0, 4, 7] = np.nan
    keypoint[0, 6, 20] = np.nan  # without the centre, a person is absent
    write_pyskl(tmp_path / "a.pkl", keypoint)
    content = gathered(tmp_path / "a.pkl")[NAMES[0]].content
    assert content.shape == (19, 1, 25, 3)
    assert np.isnan(content).any(axis=-1).sum() == 1 and np.isnan(content[4, 0, 7]).all()
