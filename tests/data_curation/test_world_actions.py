"""The actions of the world: composed of common parts, performed by bodies that keep their bones, known exactly."""

from dataclasses import replace

import numpy as np
import pytest

from data_curation.synthetic.motion import CHEST, HAND_R, HEAD, Build
from data_curation.world.actions import ACTIONS
from data_curation.world.grammar import steps
from data_curation.world.parts import PARTS, SETTINGS
from data_curation.world.perform import perform
from data_curation.world.places import PLACES, REGIONS
from data_curation.world.sequence import after
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.skeletons.layouts import LAYOUTS

pytestmark = pytest.mark.slow

BUILDS = (Build(1.7, 1.05, 1.1), Build(1.82, left_handed=True))
DATA = open_data_set("synthetic48")
ROTATIONS = ("1", "2", "3", "4")
REACHING = ("bring", "thrust", "wind", "swing")


def performed(action: int, *, seed: int = 0, builds=BUILDS, way: int | None = None, **options):
    """Perform until a way comes up, or in any."""
    for number in range(seed, seed + 200):
        scene = perform(
            action, builds=builds, length=2.7, speed=1.0, turned=0.1, rng=np.random.default_rng(number), **options
        )
        if way is None or scene.ways == (way,):
            return scene
    raise AssertionError(f"way {way} of {action} never came up")


def phrases(action: int):
    return [p for way in ACTIONS[action].ways for step in steps(way) for p in step.phrases if p.verb in PARTS]


def without_hand(phrase) -> str:
    """Return a part, whichever hand does it. Feet that hop are another matter."""
    hands = () if phrase.verb == "hop" else ("main", "other", "both")
    return " ".join(word for word in phrase.name.split() if word not in hands)


def regions(action: int) -> set[str]:
    region = {place: name for name, places in REGIONS.items() for place in places}
    return {region[" ".join(p.words[1:])] for p in phrases(action) if p.verb in REACHING}


# --- the grammar ---------------------------------------------------------------------------------------------------


def test_there_are_48_actions_of_ntu_and_12_are_mutual():
    ntu = open_data_set("ntu120")
    assert len(ACTIONS) == 48
    assert [ntu.action(f"A{number}") for number in ACTIONS] == list(DATA.description.classes)
    for number, action in ACTIONS.items():
        assert action.persons == (1 if DATA.action(f"A{number}").actors == "one" else 2)
        assert len(action.ways) == len(set(action.ways)) >= 2
    assert sum(action.persons == 2 for action in ACTIONS.values()) == 12


def test_all_words_of_the_grammar_are_known():
    for number, action in ACTIONS.items():
        for way in action.ways:
            for step in steps(way):
                for phrase in step.phrases:
                    assert phrase.verb in {**PARTS, **SETTINGS}, way
                    assert phrase.person < action.persons, way
                    if phrase.verb in REACHING:
                        assert " ".join(phrase.words[1:]) in PLACES, way
        assert phrases(number)
    assert sorted(place for places in REGIONS.values() for place in places) == sorted(PLACES)


@pytest.mark.parametrize("text", ["bring main mouth;", "stay*2 + tip down", "; stay", "stay + ", "stay * 2"])
def test_a_way_that_is_no_grammar_is_refused(text):
    with pytest.raises(ValueError, match="expected parts such as"):
        steps(text)


def test_an_unknown_verb_place_or_action_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="no motion for action A012; the world has 1, 2"):
        performed(12)
    monkeypatch.setitem(ACTIONS, 1, replace(ACTIONS[1], ways=("fly away",)))
    with pytest.raises(ValueError, match="no part 'fly'; expected one of with"):
        performed(1)
    monkeypatch.setitem(ACTIONS, 1, replace(ACTIONS[1], ways=("bring main their back",)))
    with pytest.raises(ValueError, match="is on a partner, but the action has one person"):
        performed(1)


# --- the splits ----------------------------------------------------------------------------------------------------


def test_each_class_is_unseen_in_one_of_four_rotations():
    unseen = [name for split in ROTATIONS for name in DATA.split(f"synthetic48/{split}").unseen]
    assert sorted(unseen) == sorted(DATA.class_names)
    for split in ROTATIONS:
        assert (len(DATA.split(split).seen), len(DATA.split(split).unseen)) == (36, 12)
        assert sum(DATA.action(name).actors != "one" for name in DATA.split(split).unseen) == 3


@pytest.mark.parametrize("split", ROTATIONS)
def test_unseen_actions_are_new_combinations_of_parts_that_are_seen(split):
    numbers = {DATA.action(f"A{n}").name: n for n in ACTIONS}
    seen, unseen = ([numbers[name] for name in side] for side in (DATA.split(split).seen, DATA.split(split).unseen))
    verbs = {phrase.verb for number in seen for phrase in phrases(number)}
    where = {region for number in seen for region in regions(number)}
    for number in unseen:
        assert {phrase.verb for phrase in phrases(number)} <= verbs
        assert regions(number) <= where
    known, needed = ({without_hand(phrase) for n in side for phrase in phrases(n)} for side in (seen, unseen))
    assert len(needed & known) >= 0.6 * len(needed)


# --- motions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_length_and_nobody_sinks_into_the_floor_or_tears_off_an_arm(action):
    child, parent = np.array(LAYOUTS["ntu-25"].bones).T
    for way in range(len(ACTIONS[action].ways)):
        scene = performed(action, way=way)
        assert len(scene.bodies) == ACTIONS[action].persons
        for body in scene.bodies:
            lengths = np.linalg.norm(body[:, child] - body[:, parent], axis=-1)
            np.testing.assert_allclose(lengths, np.broadcast_to(lengths[0], lengths.shape), atol=1e-9)
            assert body[..., 1].min() > (-0.25 if action == 43 else 0)
            assert np.linalg.norm(np.diff(body, axis=0), axis=-1).max() * 50 < 20  # metres per second
        for thing in scene.things:
            assert np.isfinite(thing.centre).all() and np.isfinite(thing.axes).all()
            assert thing.centre[:, 1].min() > -0.05


def test_actions_do_what_their_names_say():
    def height(action: int, joint: int = HEAD, **options):
        return performed(action, **options).bodies[0][:, joint, 1]

    assert height(8)[0] - height(8)[-1] > 0.3  # sit down
    assert height(9)[-1] - height(9)[0] > 0.3  # stand up
    assert height(43)[0] - height(43)[-1] > 0.9  # falling
    assert performed(27).bodies[0][..., 1].min(axis=1).max() > 0.1  # jump up
    box = {action: performed(action, way=0).things[0].centre[:, 1] for action in (5, 6)}
    assert box[5][0] > 0.8 and box[5][-1] < 0.2 and box[6][0] < 0.2 and box[6][-1] > 0.8
    hat = {action: performed(action, way=1).things[0].centre[:, 1] for action in (20, 21)}
    assert hat[20][-1] - hat[20][0] > 0.4 and hat[21][0] - hat[21][-1] > 0.4
    gap = {a: np.linalg.norm(np.subtract(*(b[:, CHEST] for b in performed(a).bodies)), axis=-1) for a in (59, 60, 55)}
    assert gap[59][0] - gap[59][-1] > 1 and gap[60][-1] - gap[60][0] > 0.8 and gap[55][-1] < 0.6
    ball = performed(64, way=0).things[0].centre[:, 1]
    falls = np.diff(ball) < -1e-3
    assert ball.min() < 0.2 and (falls[1:] & ~falls[:-1]).sum() >= 2  # bounces


@pytest.mark.parametrize(("action", "joint", "limit"), [(50, HEAD, 0.35), (58, HAND_R, 0.25), (112, HAND_R, 0.25)])
def test_partners_touch_each_other(action, joint, limit):
    right_handed = tuple(replace(build, left_handed=False) for build in BUILDS)
    first, second = performed(action, builds=right_handed, way=0).bodies
    assert np.linalg.norm(first[:, HAND_R] - second[:, joint], axis=-1).min() < limit


def test_a_left_handed_person_is_the_mirror_image():
    builds = (replace(BUILDS[0], left_handed=True), BUILDS[1])
    right, left = performed(23).bodies[0], performed(23, builds=builds).bodies[0]
    assert right[:, HAND_R, 1].max() > right[:, HEAD, 1].max() > left[:, HAND_R, 1].max()


# --- facts of a performance ----------------------------------------------------------------------------------------


def test_parts_follow_each_other_in_time_and_name_their_person():
    scene = performed(113, way=0)
    assert [part.part for part in scene.parts[:3]] == ["bring main meeting", "bring main meeting", "stay"]
    assert [part.person for part in scene.parts[:2]] == [0, 1]
    starts = [part.start for part in scene.parts]
    assert starts == sorted(starts) and all(part.start < part.end <= 2.7 for part in scene.parts)


def test_an_idle_hand_holds_a_wrong_thing_and_a_busy_one_does_not():
    assert performed(24, held_thing=("cup", "main")).held_thing == ("cup", "main")
    assert performed(33, way=0, held_thing=("cup", "other")).held_thing == ("cup", "main")
    assert performed(10, held_thing=("cup", "main")).held_thing is None
    assert performed(1, way=0, held_thing=("cup", "other")).held_thing is None  # it drinks from it
    drawn = {thing.kind for thing in performed(1, way=0, held_thing=("book", "other")).things}
    assert drawn == {"cup", "book"}


def test_two_actions_follow_each_other_without_a_jump():
    first, second = performed(1, seed=1), performed(8, seed=2)
    both = after(first, second)
    assert len(both.seconds) == len(first.seconds) + len(second.seconds) - 1 == len(both.bodies[0])
    assert [p.part for p in both.parts] == [p.part for p in (*first.parts, *second.parts)]
    assert max(p.end for p in both.parts) <= both.seconds[-1]
    speed = np.linalg.norm(np.diff(both.bodies[0], axis=0), axis=-1).max() * 50
    assert speed < 20
    np.testing.assert_array_equal(both.bodies[0][: len(first.seconds) - 1], first.bodies[0][:-1])
    np.testing.assert_allclose(both.bodies[0][-1], second.bodies[0][-1], atol=1e-9)
    chair = next(thing for thing in both.things if thing.kind == "chair").centre[:, 1]
    assert chair[0] < -10 and chair[-1] > 0


def test_the_same_seed_gives_the_same_motion():
    first, again, other = performed(65, seed=3), performed(65, seed=3), performed(65, seed=4)
    np.testing.assert_array_equal(first.bodies[0], again.bodies[0])
    assert first.parts == again.parts and first.parts != other.parts
