"""Counting for a curation run's page: nothing is lost between steps, reasons group, costs hide no unknown."""

import re

import pytest

from data_curation.results import report_clips
from data_curation.results.report_costs import spending, step_times
from data_curation.results.report_counts import (
    action_counts,
    clips_left_out,
    discrepancies,
    found_by,
    pairs_by_clip,
    pairs_left_out,
    part_counts,
    reasons,
    step_counts,
)
from data_curation.results.report_words import wording
from tests.cases.curation_case import NTU
from tests.cases.report_case import captioned, clip, cropped, out, paired, request, steps, whole_run

ONE = ("action", "What?", "A person waves.")


@pytest.fixture
def run():
    """Clip 1 goes through, 2 is rejected at once, 3 fails at its caption, 4 is held out, 5 yields no pair."""
    reject = {"reason": "not English", "text": "Was? | Er winkt."}
    return steps(
        crop={clip(1): cropped(), clip(2): out()} | {clip(n): cropped(found_by="nobody") for n in (3, 4, 5)},
        caption={clip(3): out("busy", status="failed")} | {clip(n): captioned() for n in (1, 4, 5)},
        qa={clip(1): paired(ONE, ONE, rejects=[reject]), clip(5): out("no usable pair", rejects=[reject, reject])},
    )


def test_every_clip_is_counted_at_every_step(run):
    assert [row[1:] for row in step_counts(run)] == [(5, 4, 1, 0, 0), (4, 3, 0, 1, 0), (2, 1, 1, 0, 1)]
    assert discrepancies(run, {"train": [clip(1)], "test": [clip(4)]}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run["crop"][clip(1)].update(status="lost"), "crop: 5 went in, not 3 done"),
        (
            lambda run: run["qa"].update({clip(9): paired()}),
            f"qa: 1 clips went in that caption did not pass.*{clip(9)}",
        ),
        (lambda run: run["caption"].update({clip(2): captioned()}), "caption: 1 clips went in that crop did not"),
    ],
)
def test_what_does_not_add_up_is_said(run, change, said):
    change(run)
    assert any(re.search(said, fault) for fault in discrepancies(run, {}))


def test_a_clip_on_two_sides_of_a_split_is_said(run):
    (fault,) = discrepancies(run, {"train": [clip(1), clip(2)], "test": [clip(1)]})
    assert fault == f"parts: 1 clips are listed more than once, such as {clip(1)}"


def test_reasons_that_differ_in_clips_paths_and_numbers_are_one():
    given = [(clip(n), f"/data/{clip(n)}_rgb.avi: only {n}.5 of 1,0{n}0 frames", f"wording {n}") for n in range(1, 8)]
    (reason,) = reasons(given)
    assert reason.reason == "… only … of … frames" and reason.times == 7 and reason.example == "wording 1"
    assert reason.names == [clip(n) for n in range(1, 6)]


def test_statuses_of_a_server_are_different_reasons():
    said = [reason.reason for reason in reasons([("a", f"http://h:80 answered {n}: wait 3 s", "") for n in (429, 500)])]
    assert said == ["… answered 429: wait … s", "… answered 500: wait … s"]


def test_a_clip_that_complains_often_is_named_once():
    (reason,) = reasons([("a", "same", "x")] * 9 + [("b", "same", "y")])
    assert reason.times == 10 and reason.names == ["a", "b"]


def test_a_hostile_reason_is_grouped_in_no_time():
    assert reasons([("a", "x" * 200_000 + "1" * 200_000, "")])[0].times == 1


def test_rejected_pairs_count_wherever_their_clip_ended(run):
    (reason,) = pairs_left_out(run["qa"])
    assert (reason.times, reason.names) == (3, [clip(1), clip(5)])
    assert list(clips_left_out(run)) == ["crop: rejected", "caption: failed", "qa: rejected"]


def test_balance_over_actions_and_parts(run):
    pairs = pairs_by_clip(run)
    assert [tuple(row) for row in action_counts(pairs, data=NTU)[:2]] == [
        ("A1 drink water", 1, 1, 2),
        ("A2 eat meal/snack", 1, 0, 0),
    ]
    train, unseen = part_counts({"train": [clip(1), clip(2)], "unseen": []}, data=NTU, steps=run, pairs=pairs)
    assert train[1:] == (2, 2, 1, 1, 1, 2) and unseen[1:] == (0, 0, 0, 0, 0, 0)
    assert found_by(run["crop"]) == {"nobody": 3, "skeleton": 1}


def test_a_name_of_another_data_set_is_refused():
    with pytest.raises(ValueError, match="holiday"):
        action_counts({"holiday": 1}, data=NTU)


@pytest.mark.parametrize("name", ["müller 1 (küche)", "cam1/v_1.5"])
def test_reasons_that_differ_in_the_names_of_own_clips_are_one(name):
    items = [(clip, f"{clip}_rgb.mp4: a wall, and no person", "x") for clip in (name, "other clip")]
    (reason,) = reasons(items)
    assert reason.reason == "….mp…: a wall, and no person"


def test_money_is_summed_and_the_unknown_is_said():
    rows = spending([request(), request(seconds=3.0), request("caption", model="local", dollars=None, seconds=None)])
    assert [(row.step, row.requests, row.price) for row in rows] == [
        ("qa", 2, "$0.50"),
        ("caption", 1, "price unknown"),
        ("all", 3, "$0.50 + price unknown of 1 request"),
    ]
    assert rows[0].seconds.median == 2.0 and rows[0].seconds.p95 == pytest.approx(2.9) and rows[1].seconds is None
    assert rows[2].prompt_tokens == 900 and rows[2].completion_tokens == 120


@pytest.mark.parametrize(("dollars", "price"), [(0.0, "$0.00"), (0.0004, "$0.0004"), (1234.5, "$1,234.50")])
def test_small_sums_do_not_look_free(dollars, price):
    (row,) = spending([request(dollars=dollars)])
    assert row.price == price


def test_times_are_of_clips_that_were_done(run):
    assert [(row.step, row.model, row.prompt, row.clips) for row in step_times(run)] == [
        ("crop", "crop-4", "", 4),
        ("caption", "m", "p1", 3),
        ("qa", "m", "p2", 1),
    ]


def test_words_and_unique_texts():
    counted = wording(["The cup, the CUP!", "The cup, the CUP!", "Zwei Hände; 3 cups", ""])
    assert (counted.texts, counted.unique) == (4, 2)
    assert (counted.words, counted.distinct_words) == (11, 5), "the, cup, zwei, hände, cups"
    assert (counted.median_length, counted.max_length) == (3.5, 4)


def test_no_text_has_no_words():
    assert wording([]) == (0, 0, 0, 0, 0, 0)


def draw_clips(names, **settings):
    return report_clips.draw_clips(names, data=NTU, **settings)


def test_clips_are_drawn_evenly_over_actions():
    names = [clip(1, performer=n) for n in range(1, 40)] + [clip(2), clip(3)]
    drawn = draw_clips(names, count=5, seed=0)
    assert [name[-3:] for name in drawn] == ["001"] * 3 + ["002", "003"] and len(set(drawn)) == 5
    assert draw_clips(reversed(names), count=5, seed=0) == drawn, "the order of the records does not matter"
    assert any(draw_clips(names, count=5, seed=seed) != drawn for seed in range(1, 5))
    assert draw_clips(names, count=99, seed=0) == sorted(names, key=lambda name: name[-3:]) and not draw_clips(
        [], count=5, seed=0
    )


def test_fewer_clips_than_actions_are_of_different_ones():
    names = [name for run in (whole_run(range(1, 121)),) for name in run["crop"]]
    assert len({name[-3:] for name in draw_clips(names, count=24, seed=3)}) == 24
