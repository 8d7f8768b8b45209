import pickle
import sys
from types import ModuleType

import numpy as np
import pytest

from ski_lvlm.datasets.converters.landmarks import read_landmarks
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.storage.safe_pickle import UnsafePickleError
from tests.cases.conversion_case import centred_first, convert, moving, touch

LAYOUT = layout_named("blazepose-33")
SIDES, PARTS = ("left", "right"), ("shoulder", "hip")
MODULE = "mediapipe.framework.formats.landmark_pb2"


def message(landmarks):
    """Return the bytes of a list of landmarks, field by field as the format says."""
    content = b""
    for values in np.float32(landmarks):
        fields = b"".join(bytes([number << 3 | 5]) + value.tobytes() for number, value in enumerate(values, start=1))
        content += bytes([1 << 3 | 2, len(fields)]) + fields
    return content


def write(path, frames, *, name="NormalizedLandmarkList"):
    """Write landmarks (T 33 4) as NumPy pickles MediaPipe's objects."""
    module = ModuleType(MODULE)
    kind = type(name, (), {"__module__": MODULE, "__getstate__": lambda self: {"serialized": self.content}})
    setattr(module, name, kind)
    objects = np.empty((len(frames), 1), object)
    for row, frame in zip(objects, frames, strict=True):
        row[0] = kind()
        row[0].content = message(frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for part in ("mediapipe", "mediapipe.framework", "mediapipe.framework.formats"):
            patch.setitem(sys.modules, part, ModuleType(part))
        patch.setitem(sys.modules, MODULE, module)
        np.save(path, objects, allow_pickle=True)
    return path


def landmarks(num_frames=5, *, seed=0):
    return moving(num_frames, 33, 4, seed=seed)


def test_landmarks_are_read_without_mediapipe(tmp_path):
    values = landmarks()
    np.testing.assert_array_equal(read_landmarks(write(tmp_path / "a.npy", values), count=33), values)
    assert MODULE not in sys.modules


def test_every_body_is_as_large_as_one_with_a_trunk_of_half_a_metre(tmp_path):
    near, root = landmarks(), tmp_path / "root"
    write(root / "S1" / "3Djoints" / "yes_1_1m_upper.npy", near)
    write(root / "S1" / "3Djoints" / "yes_2_4m_full.npy", near * np.float32([0.25, 0.25, 0.25, 1]))
    converted = convert("body-gestures", root, tmp_path / "out")
    first, second = (converted.packed.get(name)[:, 0] for name in ("S1_yes_1_1m_upper", "S1_yes_2_4m_full"))
    np.testing.assert_allclose(first, second, atol=1e-5)
    joints = near[..., :3] * np.float32([4 / 3, -1, 4 / 3])
    middle = {part: joints[:, [LAYOUT.joints.index(f"{side} {part}") for side in SIDES]].mean(1) for part in PARTS}
    length = np.median(np.linalg.norm(middle["shoulder"] - middle["hip"], axis=-1))
    np.testing.assert_allclose(first, centred_first(joints * 0.5 / length, LAYOUT.centre), atol=1e-5)


def test_clips_have_their_persons_distances_and_videos(tmp_path):
    root = tmp_path / "root"
    write(root / "S1" / "3Djoints" / "yes_2_4m_full.npy", landmarks())
    write(root / "S10" / "dynamic_joints" / "come_3_6m_full.npy", landmarks())
    touch(root / "S10" / "dynamic_videos" / "come_3_6m_full.avi")
    touch(root / "S2" / "videos" / "yes_2_4m_full.avi")
    converted = convert("body-gestures", root, tmp_path / "out")
    assert {name: (row["subject"], row["distance"], row["video"] != "") for name, row in converted.clips.items()} == {
        "S1_yes_2_4m_full": ("1", "4", False),
        "S10_come_3_6m_full": ("10", "6", True),
    }
    assert converted.report["protocols"] == {
        "xsub": {"train": 1, "test": 1},
        **{
            f"people_{a}_{a + 1}": {"train": 1 if a in (1, 9) else 2, "test": int(a in (1, 9))} for a in range(1, 10, 2)
        },
        "far": {"train": 1, "test": 1},
    }


def test_damaged_and_foreign_files_are_listed(tmp_path):
    root, folder = tmp_path / "root", tmp_path / "root" / "S1" / "3Djoints"
    whole = write(folder / "yes_2_4m_full.npy", landmarks()).read_bytes()
    (folder / "no_1_1m_upper.npy").write_bytes(whole[: len(whole) // 2])
    write(folder / "back_1_1m_upper.npy", landmarks()[:, :32])
    write(folder / "come_1_1m_upper.npy", np.zeros((5, 33, 4)))
    write(folder / "left_1_1m_upper.npy", landmarks(), name="Other")
    np.save(folder / "right_1_1m_upper.npy", np.zeros((4, 33, 3)))
    np.save(folder / "dance_1_1m_upper.npy", np.zeros(3))
    converted = convert("body-gestures", root, tmp_path / "out")
    assert list(converted.clips) == ["S1_yes_2_4m_full"]
    bad = {name.split("_")[1]: reason for name, reason in converted.report["bad"].items()}
    assert bad.keys() == {"no", "back", "come", "left", "right"}
    assert "found 32 landmarks" in bad["back"] and "trunk of length 0" in bad["come"] and "Other" in bad["left"]
    assert len(converted.report["skipped"]) == 1


def test_nothing_of_a_pickle_is_run(tmp_path):
    class Program:
        def __reduce__(self):
            return (tmp_path.joinpath("run").touch, ())

    np.save(tmp_path / "a.npy", np.array([[Program()]], object), allow_pickle=True)
    with pytest.raises(UnsafePickleError, match="asks for"):
        read_landmarks(tmp_path / "a.npy", count=33)
    assert not (tmp_path / "run").exists()
    with pytest.raises(UnsafePickleError, match="expected an array"):
        (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:128] + pickle.dumps([1]))
        read_landmarks(tmp_path / "b.npy", count=33)
