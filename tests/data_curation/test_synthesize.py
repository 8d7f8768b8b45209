"""The synthetic set: names, motions, pictures and files agree with one another, and nothing gives the class away."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from data_curation import synthesize
from data_curation.synthetic.actions import ACTIONS, SAME_OBJECT_PAIRS, perform
from data_curation.synthetic.camera import Camera, colour_pixels, colour_rays
from data_curation.synthetic.motion import (
    CHEST,
    HAND_L,
    HAND_R,
    HEAD,
    SPINE_MID,
    WRIST_R,
    Build,
    joints,
    reach,
    standing,
)
from data_curation.synthetic.props import BALL_RADIUS, BOX_SIZE
from data_curation.synthetic.render import View, blob, cuboid, paint
from data_curation.synthetic.scene import film, session
from data_curation.synthetic.sensor import NOISE, record
from ski_lvlm.datasets.ntu import ClipName, parse_name
from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.ntu_file import read_skeleton, write_skeleton
from tests.cases.skeleton_case import SEEN, SELECTION, UNSEEN

BUILDS = (Build(1.7, 1.05, 1.1), Build(1.82))
SETTINGS = synthesize.Settings(seed=3, width=256, height=144)


def acted(action: int, *, builds=BUILDS, seed: int = 0, num_frames: int = 50):
    return perform(action, builds=builds, num_frames=num_frames, fps=20, rng=np.random.default_rng(seed))


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("ntu")
    for clip in synthesize.clip_names(4, seed=SETTINGS.seed):
        assert synthesize.make_clip(clip, out=out, settings=SETTINGS)
    return out


# --- names ---------------------------------------------------------------------------------------------------------


def test_the_actions_are_those_of_the_synthetic_split():
    assert sorted(ACTIONS) == sorted(SEEN + UNSEEN)
    unseen_pairs = [pair for pair in SAME_OBJECT_PAIRS if len(set(pair) & set(UNSEEN)) == 1]
    assert len(SAME_OBJECT_PAIRS) >= 4
    assert len(unseen_pairs) >= 2


@pytest.mark.parametrize("count", [16, 37, 300])
def test_names_are_unique_and_even_over_actions_performers_and_cameras(count):
    names = synthesize.clip_names(count, seed=0)
    assert len(set(map(str, names))) == count
    actions = Counter(name.action for name in names)
    assert set(actions) == set(ACTIONS)
    assert max(actions.values()) - min(actions.values()) <= 1
    if count == 300:
        assert set(Counter(name.performer for name in names)) == set(range(1, 13))
        assert min(Counter(name.camera for name in names).values()) > 80
        trained = SELECTION.data.is_train(list(map(str, names)), SELECTION.protocol)
        assert 180 <= sum(trained) <= 220
        for action in ACTIONS:
            tested = {n.camera for n, train in zip(names, trained) if n.action == action and not train}
            assert len(tested) == 3


def test_a_longer_list_begins_with_the_shorter_one_and_the_seed_decides():
    assert synthesize.clip_names(300, seed=1)[:50] == synthesize.clip_names(50, seed=1)
    assert synthesize.clip_names(50, seed=1) != synthesize.clip_names(50, seed=2)


def test_all_names_differ_and_more_are_refused():
    most = len(ACTIONS) * 12 * 48
    assert len(set(synthesize.clip_names(most, seed=0))) == most
    with pytest.raises(ValueError, match=f"between 1 and {most}"):
        synthesize.clip_names(most + 1, seed=0)


def test_the_actions_of_a_pair_share_their_sessions():
    sessions = {action: [] for action in ACTIONS}
    for name in synthesize.clip_names(320, seed=0):
        sessions[name.action].append(name[:4])
    for first, second in SAME_OBJECT_PAIRS:
        assert sessions[first] == sessions[second]
    assert sessions[1] != sessions[27]


# --- motions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_length_and_nobody_sinks_into_the_floor(action):
    performance = acted(action)
    assert len(performance.bodies) == (2 if action in (50, 58, 59, 60) else 1)
    child, parent = np.array(LAYOUTS["ntu-25"].bones).T
    for body in performance.bodies:
        lengths = np.linalg.norm(body[:, child] - body[:, parent], axis=-1)
        np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-9)
        assert body[..., 1].min() > 0
        speed = np.linalg.norm(np.diff(body, axis=0), axis=-1).max() * 20
        assert speed < 12  # metres per second


def test_a_left_handed_performer_is_the_mirror_image():
    left = tuple(replace(build, left_handed=True) for build in BUILDS)
    with_right, with_left = acted(23).bodies[0], acted(23, builds=left).bodies[0]
    reach_of = {side: lambda b, j=j: b[:, j, 1].max() for side, j in (("left", HAND_L), ("right", HAND_R))}
    assert reach_of["right"](with_right) > with_right[:, HEAD, 1].max() > reach_of["left"](with_right)
    assert reach_of["left"](with_left) > with_left[:, HEAD, 1].max() > reach_of["right"](with_left)


def test_a_performer_who_faces_camera_1_has_the_right_hand_on_the_right_of_the_mirrored_image():
    body = joints(standing(1), build=BUILDS[0])[0]
    assert body[HAND_R, 0] > 0.1
    assert body[HAND_L, 0] < -0.1


@pytest.mark.parametrize("left_handed", [False, True])
def test_reach_brings_the_wrist_to_a_point_of_the_room(left_handed):
    build = replace(BUILDS[0], left_handed=left_handed)
    posture = replace(standing(1), place=np.array([[0.4, -0.2]]), heading=np.array([1.1]))
    shoulder = joints(posture, build=build)[:, 4 if left_handed else 8]
    point = shoulder + np.array([[0.1, -0.2, 0.15]])
    hands = posture.hands.copy()
    hands[:, 1] = reach(point, posture=posture, build=build, side=1)
    wrist = joints(replace(posture, hands=hands), build=build)[:, 6 if left_handed else WRIST_R]
    np.testing.assert_allclose(wrist, point, atol=1e-9)


def test_each_action_does_what_its_name_says():
    def height(action: int, joint: int = HEAD):
        return acted(action).bodies[0][:, joint, 1]

    assert height(8)[0] - height(8)[-1] > 0.3  # sit down
    assert height(9)[-1] - height(9)[0] > 0.3  # stand up
    assert acted(27).bodies[0][..., 1].min(axis=1).max() > 0.15  # jump up
    box = {action: acted(action).prop.centre[:, 1] for action in (5, 6)}
    assert box[5][0] > 0.8 and box[5][-1] == pytest.approx(BOX_SIZE[1] / 2)  # drop
    assert box[6][-1] > 0.8 and box[6][0] == pytest.approx(BOX_SIZE[1] / 2)  # pick up
    distance = {a: np.linalg.norm(np.subtract(*(b[:, CHEST] for b in acted(a).bodies)), axis=-1) for a in (59, 60)}
    assert distance[59][0] - distance[59][-1] > 1  # walking towards
    assert distance[60][-1] - distance[60][0] > 1  # walking apart
    ball = acted(64, num_frames=60).prop.centre[:, 1]
    falling = np.diff(ball) < 0
    assert ball.min() < BALL_RADIUS + 0.1 and (falling[1:] != falling[:-1]).sum() >= 3  # bounce
    attacker, victim = acted(50).bodies
    assert np.linalg.norm(attacker[:, HAND_R] - victim[:, HEAD], axis=-1).min() < 0.25  # punch
    first, second = acted(58).bodies
    assert np.linalg.norm(first[:, HAND_R] - second[:, HAND_R], axis=-1).min() < 0.12  # shaking hands


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="no motion for action A002"):
        acted(2)


# --- pictures ------------------------------------------------------------------------------------------------------


def test_rays_and_projection_are_inverse():
    camera = Camera((1.0, 1.2, -2.0), pan=-0.6, tilt=0.1)
    rays = colour_rays(camera, width=32, height=18)
    points = camera.see(np.array(camera.position) + 2.0 * rays)
    points[..., 0] -= 0.072  # rays leave from the colour camera
    pixels = colour_pixels(points) / 60
    np.testing.assert_allclose(pixels[3, 5], (5.5, 3.5), atol=1e-6)


def test_near_shapes_hide_far_ones_and_solids_show_their_outside():
    view = View(Camera((0, 0, 0), 0.0, 0.0), 192, 108)
    grey = np.full((108, 192, 3), 128, np.uint8)
    at = [np.array([[[0, 0, z]]], float) for z in (2.0, 3.0)]
    near, far = (blob(c, [0.3], colour=k, view=view, flat=True) for c, k in zip(at, [(255, 0, 0), (0, 0, 255)]))
    centre = (57, 99)
    for shapes in ([near, far], [far, near]):
        assert paint(grey, shapes, frame=0)[centre].tolist() == [255, 0, 0]
    colours = [(0, 0, 0)] * 4 + [(0, 200, 0), (0, 0, 0)]
    box = cuboid(at[0][:, 0], np.eye(3)[None], (0.5, 0.5, 0.5), colours=colours, view=view)
    shown = paint(grey, [box], frame=0)[centre]
    assert shown[1] > 100 and shown[0] == shown[2] == 0
    behind = blob(-at[0], [0.3], colour=(255, 0, 0), view=view)
    assert (paint(grey, [behind], frame=0) == 128).all()


def hue_distance(pixel: np.ndarray, colour: tuple[float, float, float]) -> float:
    first, second = np.asarray(pixel, float), np.asarray(colour, float)
    return 1 - first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1)


@pytest.mark.parametrize(("camera", "action"), [(1, 23), (2, 27), (3, 60)])
def test_colour_coordinates_fall_on_the_shirt_in_a_small_video(camera, action):
    clip = ClipName(2, camera, 6, 1, action)
    place, performance = synthesize.act(clip, seed=3)
    frames = film(performance, session=place, width=256, height=144)
    seen = place.camera(len(performance.bodies))
    recording = record(performance.bodies, name="", camera=seen, rng=np.random.default_rng(1))
    track = next(iter(recording.bodies.values()))
    spot = track.colour[0, SPINE_MID] / 7.5
    pixel = frames[track.frames[0]][int(spot[1]), int(spot[0])]
    assert hue_distance(pixel, place.clothes[0].shirt) < 0.01


GOLDEN = [
    (ClipName(2, 2, 6, 1, 7), 50, (0.0598, 0.6833, 2.5405), (196.87, 184.24, 169.65), (176.62, 151.03, 150.38)),
    (ClipName(5, 3, 11, 2, 58), 57, (-0.2741, 0.7077, 2.7170), (161.53, 166.34, 167.84), (162.9, 168.18, 144.4)),
]
"""Clips with their length, a head in frame 20 (metres), and the mean colours of that frame and of its middle."""


@pytest.mark.parametrize(("clip", "length", "head", "colour", "middle"), GOLDEN)
def test_clips_are_those_of_the_first_release(clip, length, head, colour, middle):
    """Measured figures in docs/ rest on them, and the world shares their bodies, rooms and sensor."""
    place, performance = synthesize.act(clip, seed=0)
    frames = film(performance, session=place, width=128, height=72)
    camera = place.camera(len(performance.bodies))
    recording = record(performance.bodies, name="", camera=camera, rng=np.random.default_rng(0))
    assert len(frames) == length
    np.testing.assert_allclose(next(iter(recording.bodies.values())).joints[20, HEAD], head, atol=1e-3)
    np.testing.assert_allclose(frames[20].mean(axis=(0, 1)), colour, atol=0.2)
    np.testing.assert_allclose(frames[20][30:50, 50:80].mean(axis=(0, 1)), middle, atol=0.5)


def test_a_standing_person_fills_most_of_the_picture():
    for performer in range(1, 13):
        place, performance = synthesize.act(ClipName(1, 1, performer, 1, 10), seed=0)
        body = colour_pixels(place.camera(1).see(performance.bodies[0][-1]))
        assert 0.55 < np.ptp(body[:, 1]) / 1080 < 0.8
        assert body[:, 1].min() > 0 and body[:, 1].max() < 1080


def test_scene_and_sensor_do_not_know_the_action():
    assert session(ClipName(1, 2, 3, 1, 5), seed=0) == session(ClipName(1, 2, 3, 1, 64), seed=0)
    assert session(ClipName(1, 2, 3, 1, 5), seed=0) != session(ClipName(1, 2, 3, 2, 5), seed=0)
    frames = [
        film(p, session=s, width=128, height=72)[0]
        for s, p in (synthesize.act(ClipName(1, 1, 1, 1, a), seed=0) for a in (10, 23))
    ]
    assert (np.abs(frames[0].astype(int) - frames[1]).max(axis=-1) > 8).mean() < 0.1  # the room is the same


# --- sensor and files ----------------------------------------------------------------------------------------------


def test_the_sensor_is_noisy_in_metres_but_not_in_pixels():
    camera = Camera((0, 1.1, -2.5), 0.0, 0.1)
    bodies = acted(10, num_frames=200).bodies
    truth = camera.see(bodies[0])
    track = next(iter(record(bodies, name="", camera=camera, rng=np.random.default_rng(0)).bodies.values()))
    tracked = track.joint_state == 2
    error = (track.joints - truth[track.frames])[tracked]
    assert 0.5 * NOISE < error.std() < 1.5 * NOISE
    np.testing.assert_allclose(track.colour, colour_pixels(truth[track.frames]), atol=1e-2)
    lengths = np.linalg.norm(track.orientation, axis=-1)
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-5)


def test_bodies_are_lost_ghosts_appear_and_cleaning_copes():
    camera = Camera((0, 1.1, -2.5), 0.0, 0.1)
    bodies = acted(10).bodies
    recordings = [record(bodies, name="", camera=camera, rng=np.random.default_rng(s)) for s in range(60)]
    lost = [r for r in recordings if len({f for t in r.bodies.values() for f in t.frames.tolist()}) < 50]
    haunted = [r for r in recordings if len(r.bodies) > 1]
    ghosts = [list(r.bodies.values())[-1] for r in haunted]
    assert 4 <= len(lost) <= 30 and 2 <= len(haunted) <= 20
    assert any(len(g.frames) < 11 for g in ghosts) and any(len(g.frames) > 11 for g in ghosts)
    assert all(body_id > 2**53 for r in recordings for body_id in r.bodies)
    assert all(clean(r).joints.shape[1] == 1 for r in haunted)


@pytest.mark.slow
def test_files_are_genuine_and_agree(folder):
    for path in sorted((folder / "skeletons").iterdir()):
        recording = read_skeleton(path)
        video = folder / "rgb" / f"{recording.name}_rgb.avi"
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width * 9) == ("h264", stream.height * 16)
        assert len(frames_of(video)) == recording.num_frames
        assert len(recording.bodies) >= ACTIONS[parse_name(recording.name).action].num_persons
        write_skeleton(folder / "again" / path.name, recording)
        assert (folder / "again" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path):
    clip = synthesize.clip_names(4, seed=3)[0]
    synthesize.make_clip(clip, out=tmp_path / "same", settings=SETTINGS)
    synthesize.make_clip(clip, out=tmp_path / "other", settings=replace(SETTINGS, seed=4))
    for file in (f"rgb/{clip}_rgb.avi", f"skeletons/{clip}.skeleton"):
        assert (tmp_path / "same" / file).read_bytes() == (folder / file).read_bytes()
        assert (tmp_path / "other" / file).read_bytes() != (folder / file).read_bytes()


@pytest.mark.slow
def test_a_second_run_makes_only_what_is_missing_and_refuses_another_seed(tmp_path, capsys):
    def command(clips: int, seed: int) -> int:
        flags = [
            "--out",
            str(tmp_path),
            "--clips",
            str(clips),
            "--seed",
            str(seed),
            "--size",
            "128x72",
            "--workers",
            "1",
        ]
        return synthesize.main(flags)

    assert command(2, 0) == 0
    first, second = (str(name) for name in synthesize.clip_names(2, seed=0))
    kept = (tmp_path / "rgb" / f"{first}_rgb.avi").stat().st_mtime_ns
    (tmp_path / "skeletons" / f"{second}.skeleton").unlink()
    (tmp_path / "rgb" / f".{second}_rgb.77.partial.avi").write_bytes(b"left by a kill")
    command(3, 0)
    assert "3 clips" in capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / "rgb" / f"{first}_rgb.avi").stat().st_mtime_ns == kept
    assert len(list((tmp_path / "skeletons").glob("*.skeleton"))) == 3
    assert len(list((tmp_path / "rgb").iterdir())) == 3
    assert json.loads((tmp_path / "synthesis.json").read_text())["seed"] == 0
    with pytest.raises(ValueError, match="use another --out"):
        command(3, 1)


@pytest.mark.parametrize("size", ["300x300", "wide", "511x288", "32x18"])
def test_a_video_that_is_not_16_to_9_is_refused(size, tmp_path, capsys):
    with pytest.raises(SystemExit):
        synthesize.main(["--out", str(tmp_path), "--size", size])
    assert "16:9" in capsys.readouterr().err or size == "wide"
