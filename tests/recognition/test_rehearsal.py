from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ski_lvlm.datasets.selection import select
from ski_lvlm.dual_encoders.language import DualEncoder
from ski_lvlm.recognition.recogniser import Recogniser
from ski_lvlm.recognition.rehearsal import rehearsal_flags, rehearsal_notes, rehearsal_selection
from tests.cases.data_set_case import write_data_set
from tests.cases.skeleton_case import SELECTION, SPLIT

HELD_OUT, REMAINDER = SPLIT.seen[:3], SPLIT.seen[3:]
MODEL = Recogniser(
    "skeleton",
    DualEncoder(),
    "weights",
    [],
    lambda _: torch.zeros(1),
    "here",
    "{name}",
    "canonical",
    SPLIT.seen,
    kind="x",
)
REHEARSAL = replace(MODEL, seen=REMAINDER)


def opened(rehearsal, model=MODEL):
    return rehearsal_selection(SELECTION, [rehearsal], [model], folder=Path("DIR"))


def test_the_classes_that_it_was_not_trained_on_play_the_unseen_ones():
    split = opened(REHEARSAL).split
    assert (split.seen, split.unseen) == (REMAINDER, HELD_OUT)
    assert not {*split.seen, *split.unseen} & {*SPLIT.unseen}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"seen": SPLIT.seen},
            "DIR was trained on 12 of the 12 seen classes of synthetic, so that 0 can play the unseen",
        ),
        ({"seen": (*REMAINDER, *SPLIT.unseen)}, "was trained on .*hand waving, .*, unseen classes of synthetic"),
        ({"encoder_seen": SPLIT.unseen[:1]}, "was trained on pickup, unseen classes"),
        ({"is_optimistic": True}, "was chosen on test clips of its unseen classes, .*--select held_out or last"),
        ({"kind": "y"}, "DIR holds y, the model to test is x"),
    ],
)
def test_a_rehearsal_that_leaks_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        opened(replace(REHEARSAL, **changes))


def test_an_encoder_that_knows_the_held_out_classes_is_noted():
    assert rehearsal_notes([REHEARSAL], HELD_OUT) == ()
    (note,) = rehearsal_notes([replace(REHEARSAL, encoder_seen=SPLIT.seen)], HELD_OUT)
    assert "easier than unseen ones" in note


def test_the_advice_names_a_split_that_can_be_trained_on(tmp_path):
    flags = rehearsal_flags(SELECTION).split('"')
    split = select(["synthetic"], split=flags[1]).split
    assert flags[0] == "--data synthetic --split " and set(SPLIT.unseen) < set(split.unseen)
    small = select([str(write_data_set(tmp_path / "home"))], split="A")
    assert rehearsal_flags(small) == "a --split whose unseen classes are those of the test and some others"
