import numpy as np
import pytest

from data_curation.captioning.action_names import action_finder, action_sentence, usual_sentence
from data_curation.captioning.key_joints import key_joints
from data_curation.captioning.kinematics import caption, motion_sentences
from data_curation.captioning.measured_motion import Meeting, count_swings, measure, measure_meeting, ruler_path
from data_curation.choice import choose
from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.curation_case import NTU, action, named_action

HEAD, SHOULDERS, HIPS, LEFT_WRIST, RIGHT_WRIST, LEFT_ANKLE, RIGHT_ANKLE = range(7)
FRAMES = 90
STANDING = [(0, 0.6, 0), (0, 0.45, 0), (0, 0, 0), (-0.3, 0, 0), (0.3, 0, 0), (-0.1, -0.9, 0), (0.1, -0.9, 0)]


def standing(seed=0, noise=0.004):
    """The key joints of a person who stands still, three metres from the camera, seen with a Kinect's noise."""
    body = np.repeat(np.array([STANDING], float), FRAMES, axis=0)
    body += np.random.default_rng(seed).normal(0, noise, body.shape) + [0, 0, 3]
    return body.astype(np.float32)


def ramp(start=0.0, end=1.0):
    return np.interp(np.arange(FRAMES), [20, 50], [start, end])


def drinking(wrist=RIGHT_WRIST):
    body = standing()
    to_head = body[:, HEAD] + [0, -0.1, -0.1] - body[:, wrist]
    body[:, wrist] += (ramp()[:, None] * to_head).astype(np.float32)
    return body


def test_standing_still_is_not_motion():
    motion = measure(standing(noise=0.01))
    assert (motion.hands, motion.place, motion.swings, motion.height, motion.leans, motion.legs) == (
        None,
        None,
        0,
        None,
        False,
        "still",
    )
    assert motion_sentences(motion) == ["The hands hardly move; the legs hardly move."]


@pytest.mark.parametrize(("wrist", "side"), [(LEFT_WRIST, "left"), (RIGHT_WRIST, "right")])
def test_the_hand_that_goes_to_the_head_is_told_from_the_other(wrist, side):
    motion = measure(drinking(wrist))
    assert (motion.hands, motion.place, motion.stays) == (side, "head", True)
    assert motion_sentences(motion) == [f"The {side} hand rises to the head and stays there; the legs hardly move."]


def test_the_hand_that_only_moves_along_is_not_said_to_be_at_the_head():
    body = drinking(RIGHT_WRIST)
    body[:, LEFT_WRIST, 0] -= (ramp(0, 0.2) + 0.15 * np.sin(np.linspace(0, 9, FRAMES))).astype(np.float32)
    body[:, LEFT_WRIST, 1] += ramp(0, 0.3)
    assert motion_sentences(measure(body))[0].startswith("The right hand rises to the head")


def test_hands_that_work_together_near_the_head_are_together():
    body = standing()
    for wrist, x in ((LEFT_WRIST, -0.05), (RIGHT_WRIST, 0.05)):
        goal = body[:, HEAD] + [x, -0.25, -0.1] - body[:, wrist]
        body[:, wrist] += (ramp()[:, None] * goal).astype(np.float32)
    assert motion_sentences(measure(body))[0].startswith("The hands come together in front of the body and stay there")


def test_raised_hands():
    body = standing()
    for wrist in (LEFT_WRIST, RIGHT_WRIST):
        body[:, wrist, 1] += ramp(0, 0.8)
    motion = measure(body)
    assert (motion.hands, motion.place) == ("both", "overhead")
    assert motion_sentences(motion)[0].startswith("The hands rise above the head and stay there;")


def test_waving_is_counted():
    body = standing()
    body[:, RIGHT_WRIST] = body[:, HEAD] + [0.35, 0.1, 0]
    body[:, RIGHT_WRIST, 0] += 0.12 * np.cos(np.linspace(0, 5 * 2 * np.pi, FRAMES))
    motion = measure(body)
    assert motion.swings == 5
    assert "back and forth about five times" in motion_sentences(motion)[0]


@pytest.mark.parametrize(("change", "height", "words"), [(-0.45, "sinks", "hips sink"), (0.45, "rises", "hips rise")])
def test_sitting_down_and_standing_up(change, height, words):
    body = standing()
    feet = [LEFT_ANKLE, RIGHT_ANKLE]
    rest = [j for j in range(7) if j not in feet]
    body[:, rest, 1] += ramp(0, change)[:, None].astype(np.float32)
    motion = measure(body)
    assert motion.height == height
    assert motion.drop == pytest.approx(-change, abs=0.02)
    assert words in motion_sentences(motion)[0]


def test_jumping_and_squatting_return_to_where_they_began():
    hop = np.exp(-(((np.arange(FRAMES) - 45) / 8) ** 2))[:, None].astype(np.float32)
    jump, squat = standing(), standing()
    jump[..., 1] += 0.25 * hop
    squat[:, :LEFT_ANKLE, 1] -= 0.4 * hop
    assert measure(jump).height == "jumps"
    assert measure(squat).height == "dips"


def test_walking_and_bowing():
    walk, bow = standing(), standing()
    walk[..., 0] += ramp(0, 1.5)[:, None].astype(np.float32)
    bow[:, SHOULDERS] += (ramp()[:, None] * [0, -0.25, -0.4]).astype(np.float32)
    assert measure(walk).legs == "walk"
    assert motion_sentences(measure(walk)) == ["The person walks."]
    assert measure(bow).leans


def hip_centred(body):
    return body - body[:, HIPS : HIPS + 1]


def test_where_the_hips_are_the_origin_nobody_jumps_walks_or_meets():
    rising, walk = standing(), standing()
    rising[:, :LEFT_ANKLE, 1] += ramp(-0.45, 0)[:, None].astype(np.float32)
    walk[..., 0] += ramp(0, 1.5)[:, None].astype(np.float32)
    assert measure(hip_centred(rising)).height == "rises" and measure(hip_centred(rising)).legs is None
    assert motion_sentences(measure(hip_centred(rising))) == ["The hands hardly move; the hips rise."]
    assert motion_sentences(measure(hip_centred(walk))) == ["The hands hardly move."]
    other = standing(seed=1) + np.array([1.5, 0, 0], np.float32)
    assert measure_meeting(np.stack([hip_centred(walk), hip_centred(other)], axis=1)) is None


@pytest.mark.parametrize(("shift", "change"), [(-0.6, "closer"), (0.6, "apart"), (0.1, "same")])
def test_two_people_and_their_distance(shift, change):
    other = standing(seed=1)
    other[..., 0] += (1.5 + ramp(0, shift))[:, None].astype(np.float32)
    pair = np.stack([standing(), other], axis=1)
    meeting = measure_meeting(pair)
    assert meeting.change == change
    assert meeting.start == pytest.approx(1.5, abs=0.03)


def test_a_touch_is_said_and_a_distant_hand_is_not():
    motion = measure(standing())
    assert "touches the other" in motion_sentences(motion, meeting=Meeting(1, 0.5, touch=0.1, hands=0.5))[1]
    assert "their hands meet" in motion_sentences(motion, meeting=Meeting(1, 0.5, touch=0.5, hands=0.1))[1]
    assert motion_sentences(motion, meeting=Meeting(1, 0.5, touch=0.5, hands=0.5))[1] == (
        "The two people come closer to each other."
    )


def test_hands_that_reach_for_each_other_are_measured():
    one, other = standing(), standing(seed=1)
    other[..., 0] += 1.2
    one[:, RIGHT_WRIST, 0] += ramp(0, 0.59).astype(np.float32)
    meeting = measure_meeting(np.stack([one, other], axis=1))
    assert meeting.hands < 0.05
    assert meeting.touch > 0.25


def test_clapping_is_both_hands_and_counted():
    body = standing()
    gap = 0.22 + 0.16 * np.cos(np.linspace(0, 6 * 2 * np.pi, FRAMES))
    for wrist, sign in ((LEFT_WRIST, -0.5), (RIGHT_WRIST, 0.5)):
        body[:, wrist, 0] = sign * gap
        body[:, wrist, 1] = 0.2
    motion = measure(body)
    assert (motion.hands, motion.place) == ("both", "together")
    assert motion_sentences(motion)[0].startswith(
        "The hands come together in front of the body and move back and forth about six times;"
    )


@pytest.mark.parametrize(("change", "words"), [(0.3, "moves up;"), (-0.3, "moves down;")])
def test_a_hand_without_a_goal_still_has_a_direction(change, words):
    body = standing()
    body[:, RIGHT_WRIST, 1] += 0.15 - change / 2 + ramp(0, change)
    assert words in motion_sentences(measure(body))[0]


def test_up_and_down_again():
    body = standing()
    body[:, RIGHT_WRIST, 1] += 0.3 * np.exp(-(((np.arange(FRAMES) - 45) / 8) ** 2))
    assert measure(body).travel == "up and down"
    body[:, RIGHT_WRIST, 1] = -body[:, RIGHT_WRIST, 1]
    assert measure(body).travel == "down and up"


def test_people_who_never_meet_have_no_distance():
    pair = np.stack([standing(), standing()], axis=1)
    pair[:45, 0], pair[45:, 1] = np.nan, np.nan
    assert measure_meeting(pair) is None
    assert caption("S001C001P001R001A058", action=action(58), joints=pair)


def test_absent_frames_are_left_out_and_an_absent_person_is_refused():
    body = drinking()
    gaps = body.copy()
    gaps[::7] = np.nan
    gaps[3, RIGHT_ANKLE] = np.nan  # one joint alone, as estimators lose it
    assert measure(gaps).hands == measure(body).hands
    nobody = np.full((FRAMES, 2, 7, 3), np.nan, np.float32)
    with pytest.raises(ValueError, match="found 0 frames"):
        measure(nobody[:, 0])
    with pytest.raises(ValueError, match="nobody is in the skeleton"):
        caption("S001C001P001R001A001", action=action(1), joints=nobody)


def test_caption_names_the_action_first_and_is_always_the_same():
    joints = np.stack([drinking(), np.full((FRAMES, 7, 3), np.nan, np.float32)], axis=1)
    text = caption("S001C001P001R001A001", action=action(1), joints=joints)
    first, second = text.split(". ")
    assert named_action(first) == "drink water"
    assert second == "The right hand rises to the head and stays there; the legs hardly move."
    assert text == caption("S001C001P001R001A001", action=action(1), joints=joints)


def test_a_person_behind_a_table_or_without_joints_is_only_named():
    seated = drinking()[:, None].copy()
    seated[:, :, [LEFT_ANKLE, RIGHT_ANKLE]] = np.nan
    for joints in (seated, None):
        assert caption("müller", action=ActionClass("swipe left", "1"), joints=joints) == 'The action is "swipe left".'


@pytest.mark.parametrize("action", NTU.description.classes, ids=lambda action: action.id)
def test_every_action_of_ntu_is_found_in_all_its_sentences(action):
    sentences = {action_sentence(f"clip {i}", action=action) for i in range(40)}
    assert len(sentences) == 3
    assert {named_action(sentence) for sentence in sentences} == {action.name}
    assert all(len(sentence.split()) <= 20 for sentence in sentences)


def test_no_phrase_of_ntu_holds_another():
    phrases = [action.phrase for action in NTU.description.classes]
    held = [(a, b) for a in phrases for b in phrases if a != b and a in b]
    assert held == []
    assert len(set(phrases)) == 120 and all(phrases)


def test_whole_words_count_and_the_first_of_several():
    assert named_action("A person is proofreading.") is None
    assert named_action("A person is sitting down, then standing up.") == "sitting down"
    assert named_action("") is None


OWN = (
    *("walk", "walk apart", "action", "standing up (from bed)", "kämmen"),
    ActionClass("fold", "6", sentences=("Somebody folds cloth", "A towel.")),
    ActionClass("hug", "7", phrase="hugging", persons=2),
)
OWN_CLASSES = [c if isinstance(c, ActionClass) else ActionClass(c, str(n)) for n, c in enumerate(OWN, start=1)]


@pytest.mark.parametrize("own", OWN_CLASSES, ids=lambda own: own.name)
def test_classes_without_a_phrase_are_named_so_that_they_are_found_again(own):
    find, joints = action_finder(OWN_CLASSES), drinking()[:, None]
    assert find(caption("a clip", action=own, joints=joints)) == own.name
    assert find(usual_sentence(own)) == own.name


def test_the_names_of_own_classes_are_found_in_free_text():
    find = action_finder(OWN_CLASSES)
    assert find("The person seems to  WALK APART.") == "walk apart"
    assert find("Hier: Kämmen, then walk.") == "kämmen"
    assert find("She is standing up (from bed)!") == "standing up (from bed)"
    assert find("They sleepwalk.") is None
    assert usual_sentence(OWN_CLASSES[5]) == "Somebody folds cloth."
    assert usual_sentence(OWN_CLASSES[6]) == "Two people are hugging."


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_the_key_joints_of_every_layout_have_the_same_places(layout):
    """A skeleton whose joint is where its name says: left at -1, right at 1, and so high as the body part."""
    heights = {"head": 3, "nose": 3, "shoulder": 2, "thorax": 2, "neck": 2, "hip": 1, "pelvis": 1, "spine base": 1}
    heights |= {"wrist": 0.5, "ankle": 0}
    joints = np.full((2, 1, layout.num_joints, layout.dimensions), 9.0, np.float32)
    for number, name in enumerate(layout.joints):
        height = next((height for part, height in heights.items() if part in name), 9.0)
        joints[:, 0, number, :2] = (-1.0 if "left" in name else 1.0 if "right" in name else 0.0), height
    places = key_joints(joints, layout=layout)
    if layout.dimensions == 2:
        assert places is None
        return
    assert places.shape == (2, 1, 7, 3)
    assert places[0, 0, :, :2].tolist() == [[0, 3], [0, 2], [0, 1], [-1, 0.5], [1, 0.5], [-1, 0], [1, 0]]


def test_a_middle_of_two_joints_is_absent_if_one_is():
    layout = LAYOUTS["blazepose-33"]
    joints = np.zeros((1, 1, 33, 3), np.float32)
    joints[:, :, layout.joints.index("left hip")] = np.nan
    places = key_joints(joints, layout=layout)
    assert np.isnan(places[0, 0, HIPS]).all() and np.isfinite(places[0, 0, SHOULDERS]).all()


def test_choices_are_even():
    counts = np.bincount([choose((0, 1, 2), key=str(i)) for i in range(3000)])
    assert counts.min() > 900


def test_short_and_constant_paths():
    assert ruler_path(np.zeros((1, 3))) == 0
    assert count_swings(np.zeros((2, 3))) == 0
