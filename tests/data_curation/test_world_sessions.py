"""The sessions of the world: drawn apart from the class, one parameter apart from the other."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest

from data_curation.synthetic.camera import colour_pixels
from data_curation.world.actions import ACTIONS
from data_curation.world.clips import MOST, Settings, clip_names, take
from data_curation.world.difficulty import PARAMETERS, PRESETS, SETUPS, VIEWS, Difficulty, changed
from data_curation.world.film import film, person_pixels
from data_curation.world.flags import class_numbers
from data_curation.world.session import Session, session
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import ClipName

DATA = open_data_set("synthetic48")
CLIP = ClipName(105, 2, 7, 3, 1)


def settings(level: str = "default", **changes) -> Settings:
    return Settings(seed=0, level=level, difficulty=PRESETS[level], width=128, height=72, **changes)


def drawn(level: str = "default", clip: ClipName = CLIP, **changes) -> Session:
    return session(clip, difficulty=replace(PRESETS[level], **changes), seed=0)


# --- names ---------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_balanced():
    names = clip_names(48 * 24, settings=settings())
    assert len(set(names)) == len(names)
    assert set(Counter(name.action for name in names).values()) == {24}
    assert len({(name.action, name.performer) for name in names}) == 48 * 24
    for start in (0, 144):
        block = names[start : start + 144]
        trains = DATA.is_train([str(name) for name in block], DATA.protocol("xsub"))
        assert Counter((n.action, t) for n, t in zip(block, trains)) == Counter(
            {(n, t): 2 if t else 1 for n in ACTIONS for t in (True, False)}
        )
    cameras = Counter(name.camera for name in names)
    assert set(cameras) == set(VIEWS) and min(cameras.values()) > 120
    assert {name.setup - SETUPS["default"] for name in names} <= set(range(1, 41))


def test_a_longer_list_begins_with_the_shorter_one_and_the_seed_decides():
    names = clip_names(300, settings=settings())
    assert clip_names(50, settings=settings()) == names[:50]
    assert clip_names(50, settings=replace(settings(), seed=1)) != names[:50]
    for count in (0, MOST + 1):
        with pytest.raises(ValueError, match=f"between 1 and {MOST}"):
            clip_names(count, settings=settings())


def test_chosen_classes_alone_occur_with_two_training_clips_to_one_of_testing():
    classes = (1, 8, 58, 112, 113)
    chosen = settings(classes=classes, actions_per_clip=2)
    names = clip_names(3 * len(classes), settings=chosen)
    assert Counter(name.action for name in names) == dict.fromkeys(classes, 3)
    trains = DATA.is_train([str(name) for name in names], DATA.protocol("xsub"))
    assert Counter(trains) == {True: 2 * len(classes), False: len(classes)}
    assert {action for name in names for action in take(name, settings=chosen).actions} <= set(classes)
    with pytest.raises(ValueError, match="--clips is 4501; the world has between 1 and 4500"):
        clip_names(4501, settings=chosen)
    with pytest.raises(ValueError, match="found no further action of 1 person.* after A1; expected one in --classes"):
        take(CLIP, settings=settings(classes=(1, 58), actions_per_clip=2))


def test_classes_are_named_by_ids_and_splits():
    groups = [class_numbers(f"synthetic48/{number}") for number in range(1, 5)]
    assert [len(group) for group in groups] == [12] * 4 and sorted(sum(groups, ())) == sorted(ACTIONS)
    assert class_numbers("A58, A1,synthetic48/1") == tuple(sorted({1, 58, *groups[0]}))
    for wrong in ("A12", "1", "synthetic48/9", "drink", ",", "A1;A2"):
        with pytest.raises(ValueError, match="--classes.*expected"):
            class_numbers(wrong)


def test_the_place_in_the_list_decides_on_the_session_and_not_the_action(monkeypatch):
    names = clip_names(96, settings=settings())
    shuffled = dict(reversed(ACTIONS.items()))
    monkeypatch.setattr("data_curation.world.clips.ACTIONS", shuffled)
    others = clip_names(96, settings=settings())
    assert [name[:4] for name in names] == [name[:4] for name in others]
    assert [name.action for name in names] != [name.action for name in others]


def test_cameras_and_rooms_say_nothing_about_the_action():
    """Of 48 x 60 clips, the share of a camera among the clips of an action is 1/6, up to chance."""
    names = clip_names(48 * 60, settings=settings())
    counts = np.zeros((48, 6))
    for name in names:
        counts[list(ACTIONS).index(name.action), name.camera - 1] += 1
    expected = counts.sum(0) * counts.sum(1, keepdims=True) / counts.sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 350  # 47 x 5 degrees of freedom: 5 standard deviations above 235


def test_protocols_tell_subjects_views_and_difficulties():
    easy, default, hard = (str(ClipName(setup, 5, 20, 1, 1)) for setup in (1, 101, 201))
    trained = str(ClipName(101, 1, 3, 1, 1))
    split = DATA.split()

    def part(protocol: str, kind: str):
        names = [easy, default, hard, trained]
        return DATA.clips(names, split=split, protocol=DATA.protocol(protocol), part=kind)

    assert part("xsub", "seen_train") == part("xview", "seen_train") == [trained]
    assert part("hard", "seen_test") == part("default-to-hard", "seen_test") == [hard]
    assert part("easy", "seen_test") == [easy] and part("default", "seen_train") == [trained]
    assert part("xsub-xview", "seen_test") == [easy, default, hard]


# --- difficulty ----------------------------------------------------------------------------------------------------


def test_a_session_does_not_know_the_action():
    assert all(drawn(clip=CLIP._replace(action=action)) == drawn() for action in ACTIONS)
    assert drawn(clip=CLIP._replace(replication=4)) != drawn()


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_one_parameter_leaves_what_others_draw_as_it_is(parameter):
    """At an end of a range the number changes, and nothing else is drawn anew."""
    hard, default = PRESETS["hard"], PRESETS["default"]
    session_fields = {field.name for field in fields(Session)}
    concerned = {
        "yaw_spread": {"yaw", "furniture", "wrong_things"}, "camera_height": {"camera_height"},
        "person_share": {"share"}, "facing_spread": {"turned"}, "clutter": {"furniture"},
        "occluder": {"occluder"}, "occlusion": {"occluder"}, "light": {"light"}, "passers_by": {"passers_by"},
        "frame_rate": {"frame_rate"}, "wrong_things": {"wrong_things"}, "held_thing": {"held_thing"},
        "sensor_noise": {"sensor_noise"},
    }[parameter]  # fmt: skip
    clips = [CLIP._replace(replication=number) for number in range(1, 30)]
    differences = set()
    for clip in clips:
        first, second = drawn(clip=clip), drawn(clip=clip, **{parameter: getattr(hard, parameter)})
        differences |= {name for name in session_fields if getattr(first, name) != getattr(second, name)}
    assert getattr(hard, parameter) != getattr(default, parameter)
    assert differences == concerned


def test_another_difficulty_room_and_camera_show_the_same_performance():
    turned = replace(PRESETS["hard"], facing_spread=PRESETS["default"].facing_spread, frame_rate=(20, 20), held_thing=0)
    first = take(
        CLIP, settings=replace(settings(), difficulty=replace(PRESETS["default"], frame_rate=(20, 20), held_thing=0))
    )
    second = take(CLIP._replace(setup=231, camera=5), settings=Settings(0, "hard", turned, 128, 72))
    np.testing.assert_array_equal(first.performance.bodies[0], second.performance.bodies[0])
    assert first.session.share > second.session.share or first.session.light != second.session.light


@pytest.mark.parametrize("level", PRESETS)
def test_persons_have_the_size_that_the_difficulty_says(level):
    low, high = PRESETS[level].person_share
    for number in range(1, 12):
        clip = CLIP._replace(replication=number, performer=number, action=10)
        scene = take(clip, settings=settings(level))
        share = person_pixels(scene.session, 1, 1)
        assert 0.9 * low < share < 1.1 * high
        body = colour_pixels(scene.session.camera(1).see(scene.performance.bodies[0][-1]))
        assert body.min() > 0 and body[:, 0].max() < 1920 and body[:, 1].max() < 1080


def test_views_of_unseen_cameras_differ_from_those_of_training():
    level = replace(PRESETS["default"], yaw_spread=0.0, camera_height=(1.2, 1.2))
    positions = {c: session(CLIP._replace(camera=c), difficulty=level, seed=0) for c in VIEWS}
    for unseen in (4, 5, 6):
        for seen in (1, 2, 3):
            turn = abs(np.rad2deg(positions[unseen].yaw - positions[seen].yaw))
            assert turn > 19 or positions[unseen].camera_height - positions[seen].camera_height > 0.5


def test_light_and_occluders_change_the_picture():
    scene = take(CLIP, settings=settings())

    def picture(**changes):
        return film(
            scene.performance.at(np.array([20])), session=replace(scene.session, **changes), width=128, height=72
        )

    plain = picture(light=(1.0, 0.0), occluder=None, passers_by=())[0].astype(int)
    dark = picture(light=(0.5, 0.0), occluder=None, passers_by=())[0].astype(int)
    np.testing.assert_allclose(dark, plain // 2, atol=1)
    occluder = next(s for n in range(1, 50) if (s := drawn("hard", CLIP._replace(replication=n)).occluder))
    hidden = picture(light=(1.0, 0.0), occluder=occluder, passers_by=())[0]
    assert 0.01 < (np.abs(hidden - plain).max(axis=-1) > 8).mean() < 0.5


def test_frame_rates_and_numbers_of_frames_can_be_given():
    assert len(take(CLIP, settings=settings(num_frames=16)).performance.seconds) == 16
    scene = take(CLIP, settings=settings(fps=12))
    assert scene.rate == 12 and len(scene.performance.seconds) == round(12 * scene.session.length)
    two = take(CLIP, settings=settings(num_frames=32, actions_per_clip=2))
    assert two.actions[0] == 1 and two.actions[1] != 1 and len(two.actions) == 2
    assert len(two.performance.bodies[0]) == 32 and float(two.rate) == pytest.approx(16 / two.session.length, abs=0.01)
    with pytest.raises(ValueError, match="would have 8 frames; expected at least 14"):
        take(CLIP, settings=settings(num_frames=8))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"light": [1.0, 0.5]}, "--light 1 0.5: expected 0.05 to 1.5, the smaller number first"),
        ({"person_share": [0.0, 0.5]}, "--person_share 0 0.5: expected 0.05 to 0.8"),
        ({"occluder": float("nan")}, "--occluder nan: expected 0 to 1"),
        ({"frame_rate": [1, 20]}, "--frame_rate 1 20: expected 6 to 60"),
    ],
)
def test_impossible_parameters_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        changed(PRESETS["easy"], values)


def test_parameters_are_those_of_the_difficulty():
    assert set(PARAMETERS) | {"cameras"} == {field.name for field in fields(Difficulty)}
    assert changed(PRESETS["easy"], {"light": [0.5, 0.6], "occluder": 0.2}) == replace(
        PRESETS["easy"], light=(0.5, 0.6), occluder=0.2
    )
