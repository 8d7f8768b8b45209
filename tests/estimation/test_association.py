import numpy as np
import pytest

from ski_lvlm.estimation.association import Detections, associate, intersection_over_union


def found(*boxes, score=0.9):
    return Detections(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), score))


def person(x, *, size=100):
    return (x, 0, x + size, 2 * size)


def test_two_who_pass_in_opposite_order_of_detection_stay_two():
    frames = [found(person(0 + 10 * t), person(500 - 10 * t)) for t in range(6)]
    frames[1:] = [Detections(each.boxes[::-1], each.scores[::-1]) for each in frames[1:]]
    one, other = sorted(associate(frames, patience=2), key=lambda each: each.boxes[0][0])
    assert [box[0] for box in one.boxes] == [0, 10, 20, 30, 40, 50]
    assert [box[0] for box in other.boxes] == [500, 490, 480, 470, 460, 450]


def test_a_person_is_the_best_overlap_altogether_not_the_first():
    frames = [found(person(0 + 30 * t), person(40 + 60 * t)) for t in range(4)]
    # the second box at 30 overlaps the person at 40 more, but too little would be left for the one at 0
    paths = [[box[0] for box in each.boxes] for each in associate(frames, patience=0)]
    assert sorted(paths) == [[0, 30, 60, 90], [40, 100, 160, 220]]


def test_somebody_narrow_who_runs_stays_one_person():
    frames = [found(person(120 * t)) for t in range(5)]
    assert [each.frames for each in associate(frames, patience=0)] == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize(("missed", "persons"), [(2, 1), (3, 2)])
def test_a_short_gap_is_bridged_and_a_long_one_is_not(missed, persons):
    frames = [found(person(0))] * 4 + [found()] * missed + [found(person(5))] * 4
    who = associate(frames, patience=2)
    assert len(who) == persons
    assert who[0].frames == ([0, 1, 2, 3, 6, 7, 8, 9] if persons == 1 else [0, 1, 2, 3])


def test_boxes_far_apart_are_not_one_person():
    frames = [found(person(0))] * 4 + [found(person(900))] * 4
    assert [each.frames for each in associate(frames, patience=5)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_longest_and_largest_comes_first():
    small_but_always, large_but_late = person(0, size=40), person(600, size=200)
    frames = [found(small_but_always)] * 3 + [found(small_but_always, large_but_late)] * 5
    assert [each.boxes[0][0] for each in associate(frames, patience=2)] == [600, 0]


def test_somebody_seen_twice_is_a_mistake_unless_nobody_else_is_there():
    blink = found(person(900, size=300))
    assert len(associate([found(person(0))] * 6, patience=2)) == 1
    flash = Detections(*(np.concatenate(both) for both in zip(found(person(0)), blink)))
    assert [each.boxes[0][0] for each in associate([found(person(0))] * 6 + [flash] * 2, patience=2)] == [0]
    assert [each.boxes[0][0] for each in associate([blink], patience=2)] == [900]


def test_nobody_in_any_frame_is_nobody():
    assert associate([found()] * 5, patience=2) == associate([], patience=2) == []


def test_overlap_of_boxes_without_area_is_none():
    nothing = np.zeros((1, 4))
    assert intersection_over_union(nothing, nothing).tolist() == [[0.0]]
