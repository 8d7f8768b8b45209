import numpy as np
import pytest

from data_curation.cropping.boxes import skeleton_boxes
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording, SkeletonFileError, read_skeleton, write_skeleton
from tests.cases.recordings import GENUINE, TWO_ACTORS, needs_genuine_ntu, recording, track

FIELDS = list(BodyTrack.__dataclass_fields__)


def read_plainly(path):
    """Read the format as its description says, token by token: the reference for the fast reader."""
    tokens = iter(path.read_text().split())
    bodies = {}
    for frame in range(int(next(tokens))):
        for _ in range(int(next(tokens))):
            body_id = int(next(tokens))
            header = [float(next(tokens)) for _ in range(9)]
            rows = [[float(next(tokens)) for _ in range(12)] for _ in range(int(next(tokens)))]
            bodies.setdefault(body_id, []).append((frame, header, rows))
    return bodies


def check_against_plain_reading(path):
    plain, fast = read_plainly(path), read_skeleton(path)
    assert list(fast.bodies) == list(plain)
    for body_id, frames in plain.items():
        body = fast.bodies[body_id]
        rows = np.array([rows for _, _, rows in frames])
        headers = np.array([header for _, header, _ in frames])
        assert body.frames.tolist() == [frame for frame, _, _ in frames]
        for field, columns in zip(("joints", "depth", "colour", "orientation"), ((0, 3), (3, 5), (5, 7), (7, 11))):
            np.testing.assert_allclose(getattr(body, field), rows[..., slice(*columns)], rtol=1e-6)
        np.testing.assert_array_equal(body.joint_state, rows[..., 11])
        np.testing.assert_array_equal(body.states, headers[:, [0, 1, 2, 3, 4, 5, 8]])
        np.testing.assert_allclose(body.lean, headers[:, 6:8], rtol=1e-6)


def test_two_actors_a_ghost_nan_and_crlf_are_read_as_they_stand():
    check_against_plain_reading(TWO_ACTORS)
    bodies = read_skeleton(TWO_ACTORS).bodies
    assert [len(body.frames) for body in bodies.values()] == [46, 43, 8]
    assert np.isnan(next(iter(bodies.values())).colour).sum() == 1


@needs_genuine_ntu
def test_the_genuine_recording_is_read_and_written_back_to_the_letter(tmp_path):
    check_against_plain_reading(GENUINE)
    write_skeleton(tmp_path / GENUINE.name, read_skeleton(GENUINE))
    assert (tmp_path / GENUINE.name).read_bytes() == GENUINE.read_bytes()


def test_what_is_written_is_read_back(tmp_path):
    original = recording(track(range(3, 20)), track([0, 1, 5, 39], seed=1))
    original.bodies[72057594037931101].colour[4, 7] = np.nan
    write_skeleton(tmp_path / f"{original.name}.skeleton", original)
    back = read_skeleton(tmp_path / f"{original.name}.skeleton")
    assert (back.name, back.num_frames, set(back.bodies)) == (original.name, 40, set(original.bodies))
    for body_id, body in original.bodies.items():
        for field in FIELDS:
            np.testing.assert_allclose(getattr(back.bodies[body_id], field), getattr(body, field), rtol=1e-6)


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        ("-1.#IND", "nan"),
        ("1.#QNAN0", "nan"),
        ("-nan(ind)", "nan"),
        ("1.#INF", "inf"),
        ("-1.#INF00", "-inf"),
        ("NaN", "nan"),
    ],
)
def test_windows_spellings_of_what_is_no_number_are_read(tmp_path, spelling, value):
    original = recording(track(range(20)))
    original.bodies[next(iter(original.bodies))].colour[4, 7] = 0.123456
    plain, odd = tmp_path / "plain.skeleton", tmp_path / "odd.skeleton"
    write_skeleton(plain, original)
    assert plain.read_text().count(" 0.123456") == 2
    odd.write_text(plain.read_text().replace(" 0.123456", f" {spelling}"))
    (body,) = read_skeleton(odd).bodies.values()
    np.testing.assert_array_equal(body.colour[4, 7], np.float32([value, value]))
    (joints,) = read_skeleton(odd, joints_only=True).bodies.values()
    np.testing.assert_array_equal(joints.joints, body.joints)
    box = skeleton_boxes(read_skeleton(odd), persons=1)
    np.testing.assert_allclose(box, skeleton_boxes(made_without(original, 4, 7), persons=1), rtol=1e-5)


def made_without(original, frame, joint):
    next(iter(original.bodies.values())).colour[frame, joint] = np.nan
    return original


def test_neighbouring_64_bit_ids_stay_apart(tmp_path):
    ids = (2**62 + 1, 2**62 + 2)
    assert float(ids[0]) == float(ids[1])
    write_skeleton(tmp_path / "a.skeleton", Recording("a", 5, {i: track(range(5)) for i in ids}))
    assert tuple(read_skeleton(tmp_path / "a.skeleton").bodies) == ids


def test_joints_only_reads_the_same_joints_and_says_nothing_about_the_rest():
    whole, quick = read_skeleton(TWO_ACTORS), read_skeleton(TWO_ACTORS, joints_only=True)
    for body_id, body in quick.bodies.items():
        np.testing.assert_array_equal(body.joints, whole.bodies[body_id].joints)
        np.testing.assert_array_equal(body.frames, whole.bodies[body_id].frames)
        assert np.isnan(body.colour).all() and np.isnan(body.lean).all() and (body.states == -1).all()


def test_no_body_in_any_frame_is_legal(tmp_path):
    (tmp_path / "a.skeleton").write_text("3\n0\n0\n0\n")
    assert read_skeleton(tmp_path / "a.skeleton") == Recording("a", 3, {})


@pytest.mark.parametrize("joints_only", [False, True])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path, joints_only):
    text = TWO_ACTORS.read_bytes()
    path = tmp_path / "cut.skeleton"
    for size in np.random.default_rng(0).integers(1, len(text) - 6, 60):
        path.write_bytes(text[:size])
        with pytest.raises(SkeletonFileError, match=r"cut\.skeleton.*(cut off|count|malformed).*download it again"):
            read_skeleton(path, joints_only=joints_only)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.skeleton").write_text("")
    with pytest.raises(SkeletonFileError, match=r"a\.skeleton: the file is empty; expected a frame count"):
        read_skeleton(tmp_path / "a.skeleton")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("25", "banana", r"line \d+ \(frame 1 of 4\).*does not hold a count"),
        ("25", "24", r"line \d+ .*does not hold a count|malformed"),
        ("40 40 40", "40 40", "a joint is not the 12 numbers expected in line 5, '0.1 0.2"),
        ("40 40 40", "40 4x0 40", "a joint is not the 12 numbers expected in line 5, .*4x0"),
        ("40 40 40", "40 40 40 40", "a joint is not the 12 numbers expected in line 5"),
        ("0.5 0.5 2", "0.5 half 2", "a body is not the 10 numbers expected in line 3, .*half"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, old, new, message):
    joint = "0.1 0.2 3 40 40 40 40 1 0 0 0 2\n"
    text = "4\n" + ("1\n123 0 1 1 1 1 0 0.5 0.5 2\n25\n" + joint * 25) * 4
    path = tmp_path / "bad.skeleton"
    path.write_text(text)
    assert read_skeleton(path).bodies[123].joints.shape == (4, 25, 3)
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SkeletonFileError, match=message):
        read_skeleton(path)


def test_a_body_twice_in_one_frame_is_refused(tmp_path):
    body = "123 0 1 1 1 1 0 0 0 2\n1\n0 0 0 0 0 0 0 0 0 0 0 2\n"
    (tmp_path / "a.skeleton").write_text(f"1\n2\n{body}{body}")
    with pytest.raises(SkeletonFileError, match="body 123 occurs twice in one frame"):
        read_skeleton(tmp_path / "a.skeleton")


def test_lines_after_the_last_frame_are_noticed(tmp_path, caplog):
    (tmp_path / "a.skeleton").write_text("1\n0\n7\n\n")
    read_skeleton(tmp_path / "a.skeleton")
    assert "ignored 2 lines after the last of 1 frames" in caplog.text
