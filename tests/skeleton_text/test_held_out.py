import pytest

from ski_lvlm.datasets.selection import select
from ski_lvlm.skeleton_text.held_out import held_out_classes
from tests.cases.skeleton_case import SELECTION


@pytest.mark.parametrize(
    ("split", "count"), [("ntu60/55-5", 5), ("ntu60/48-12", 12), ("ntu120/110-10", 10), ("ntu120/96-24", 24)]
)
def test_the_published_lists_are_seen_classes(split, count):
    selection = select(split=split)
    classes = held_out_classes(selection)
    assert len(classes) == count and set(classes) < set(selection.split.seen)


def test_another_split_holds_out_a_quarter_at_most():
    classes = held_out_classes(SELECTION)
    assert len(set(classes)) == 3 and set(classes) < set(SELECTION.split.seen)


def test_classes_are_taken_by_name_or_id():
    drink, throw = (SELECTION.data.action(name).id for name in SELECTION.split.seen[:2])
    assert held_out_classes(SELECTION, [throw, f" {drink}"]) == SELECTION.split.seen[:2]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (SELECTION.split.unseen[:2], "is not a seen class"),
        (SELECTION.split.seen[:1], "found 1 of 12"),
        (SELECTION.split.seen[:11], "found 11 of 12"),
        (["fly"], "no class 'fly'"),
    ],
)
def test_classes_that_cannot_be_held_out_are_told(names, message):
    with pytest.raises(ValueError, match=message):
        held_out_classes(SELECTION, names)
