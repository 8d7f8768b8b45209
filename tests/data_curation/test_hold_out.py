import random
from collections import Counter

import pytest

from data_curation.results import hold_out as module
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import all_names
from tests.cases.curation_case import NTU
from tests.cases.data_set_case import ROWS, write_data_set

SHARES = [0.01, 0.05, 0.2, 0.5, 0.9]
NTU60 = all_names("ntu60")


def hold_out(names, *, data=NTU, **settings):
    return module.hold_out(names, data=data, **settings)


def performer(name):
    return name[8:12]


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_about_the_share_is_held_out_of_every_action(share):
    held = hold_out(NTU60, share=share)
    assert held < set(NTU60)
    assert len(held) / len(NTU60) == pytest.approx(share, rel=0.1)
    total, taken = (Counter(name[-3:] for name in names) for names in (NTU60, held))
    # 316 performances of each action: four standard deviations
    assert all(abs(taken[a] / total[a] - share) < 4 * (share * (1 - share) / 316) ** 0.5 for a in total)


def test_the_order_and_repetition_of_clips_do_not_matter():
    shuffled = [*NTU60[:999], *NTU60[:50]]
    random.Random(0).shuffle(shuffled)
    for by in ("clip", "subject"):
        assert hold_out(iter(shuffled), share=0.3, by=by) == hold_out(NTU60[:999], share=0.3, by=by)


@pytest.mark.slow
def test_a_clip_keeps_its_side_when_others_come_or_go():
    held = hold_out(NTU60, share=0.2)
    for some in (NTU60[:700], NTU60[3::7], NTU60[:1]):
        assert hold_out(some, share=0.2) == held & set(some)


@pytest.mark.slow
def test_a_larger_share_only_adds_clips():
    held = [hold_out(NTU60[:5000], share=share) for share in SHARES]
    assert all(smaller < larger for smaller, larger in zip(held, held[1:], strict=False))


@pytest.mark.slow
def test_the_three_views_of_a_performance_stay_together():
    held = hold_out(NTU60, share=0.2)
    views = Counter(name[:4] + name[8:] for name in held)
    assert set(views.values()) == {3}


def test_clips_of_a_data_set_without_views_are_drawn_one_by_one(tmp_path):
    rows = [{"clip": f"kitchen {i}", "class": "wave"} for i in range(2000)]
    data = open_data_set(write_data_set(tmp_path, rows=rows, protocols={}))
    names = [row["clip"] for row in rows]
    assert len(hold_out(names, data=data, share=0.25)) == pytest.approx(500, rel=0.15)
    with pytest.raises(ValueError, match="the clips of home have no column 'subject', only class; add it, or divide"):
        hold_out(names, data=data, share=0.25, by="subject")
    with pytest.raises(ValueError, match="not a clip name"):
        hold_out(names, share=0.25)


def test_the_views_of_a_data_set_s_own_performances_stay_together(tmp_path):
    rows = [ROWS[0] | {"clip": f"{i} {side} (ü)", "take": i, "side": side} for i in range(99) for side in "abc"]
    data = open_data_set(write_data_set(tmp_path, rows=rows, views=["side"]))
    held = hold_out([row["clip"] for row in rows], data=data, share=0.3)
    takes = Counter(name.split()[0] for name in held)
    assert set(takes.values()) == {3} and 15 < len(takes) < 45


def test_subjects_of_a_data_set_may_be_words_and_must_be_known(tmp_path):
    rows = [row | {"subject": "ana" if number % 3 else "bo"} for number, row in enumerate(ROWS)]
    data = open_data_set(write_data_set(tmp_path / "a", rows=rows, protocols={}))
    held = hold_out([row["clip"] for row in rows], data=data, share=0.4, by="subject")
    assert {row["subject"] for row in rows if row["clip"] in held} in ({"ana"}, {"bo"})
    data = open_data_set(write_data_set(tmp_path / "b", rows=[*rows[1:], rows[0] | {"subject": ""}], protocols={}))
    with pytest.raises(ValueError, match="the subject of 1 clips of home is empty, such as 'müller 1"):
        hold_out([row["clip"] for row in rows], data=data, share=0.4, by="subject")


def test_another_seed_holds_out_others():
    assert hold_out(NTU60[:2000], share=0.2, seed=1) != hold_out(NTU60[:2000], share=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_a_subject_is_on_one_side_only(share):
    names = all_names("ntu120")[::13]
    held = hold_out(names, share=share, by="subject")
    rest = set(names) - held
    assert held and rest
    assert not {performer(n) for n in held} & {performer(n) for n in rest}
    assert len(held) / len(names) == pytest.approx(share, abs=0.02)


def test_subjects_are_chosen_evenly_over_actions_of_different_subjects():
    """Subjects 1 to 10 carry out action 1, subjects 11 to 20 action 2: one group alone would leave a class out."""
    names = [f"S001C001P{p:03}R{r:03}A{1 + (p > 10):03}" for p in range(1, 21) for r in (1, 2)]
    held = hold_out(names, share=0.2, by="subject")
    assert Counter(name[-3:] for name in held) == {"001": 4, "002": 4}


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_two_subjects_are_one_for_each_side(share):
    names = ["S001C001P001R001A001", "S001C001P002R001A001"]
    assert len(hold_out(names, share=share, by="subject")) == 1


def test_nothing_is_held_out_of_share_zero():
    assert (
        hold_out(NTU60[:10], share=0) == hold_out([], share=0, by="subject") == hold_out([], share=0.5) == frozenset()
    )


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(ValueError, match="expected 0"):
        hold_out(NTU60[:10], share=share)


@pytest.mark.parametrize("names", [[], ["S001C001P001R001A001", "S001C002P001R001A002"]], ids=["none", "one subject"])
def test_fewer_than_two_subjects_cannot_be_split(names):
    with pytest.raises(ValueError, match=f"found clips of {bool(names):d} subjects"):
        hold_out(names, share=0.1, by="subject")


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="cannot hold out by 'camera'; expected one of clip, subject"):
        hold_out(NTU60[:10], share=0.1, by="camera")
