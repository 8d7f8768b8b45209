"""The page of an evaluation: every number of scores.json, the right grades at the right items, safe, never silent."""

import json
import re
import time

import pytest

from eval.items.predictions import NO_ANSWER
from eval.pages.score_figures import Bar, score_bars, score_histogram
from eval.pages.score_items import Grade, GradedItem, read_items
from eval.pages.score_report import METRICS, SHOWN, UNSCORED_SHOWN, extreme_items, is_papers_judge, write_score_report
from eval.pages.table_3 import METRIC_NAMES, PUBLISHED
from ski_lvlm.storage.files import append_jsonl, write_json
from tests.cases.page_tags import HOSTILE, Tags
from tests.cases.video_case import numbered, write_video

ABOUT = {"judge": "llama3.1", "digest": "d1", "quantisation": "Q4_K_M", "rubrics": "r1"}
TWO = ("Q1", "Q2", "A", "pred1", "pred2")


def prediction(number, **changed):
    texts = {"Q": "What happens?", "A": f"Reference {number}.", "pred": f"Answer {number}."}
    return {"video_name": f"v{number:03}", **texts, **changed}


def judgement(metric, record, score, *, key=None, repeat=0, **changed):
    fields = {name: record[name] for name in (TWO if metric == "consistency" else ("Q", "A", "pred"))}
    reason = None if score is not None else "unparsed: no score from 0 to 5 in 3 replies"
    name = record["video_name"]
    return {
        "id": f"{metric}{name}{repeat}",
        "metric": metric,
        "key": key or f"{name}_0",
        "repeat": repeat,
        "score": score,
        "reason": reason,
        "fields": fields,
        "replies": [f"reply {score}"],
        **ABOUT,
        **changed,
    }


def metric(count, *, scored=None, mean=50.0, **changed):
    scored = count if scored is None else scored
    numbers = {"mean": mean, "mean_unscored_as_0": mean, "n_scored": scored, "n_total": count, "unscored": {}}
    return {"status": "run", **numbers, "histogram": [1, 0, 2, 0, 0, 3], **changed}


def evaluation(folder, predictions, judgements, metrics, **changed):
    """A folder as eval/score.py leaves it."""
    write_json(folder / "predictions.json", predictions)
    append_jsonl(folder / "scores" / "judgements.jsonl", *judgements)
    numbers = {"average": None, "average_of_run": 50.0, "metrics_run": len(metrics), "note": None}
    about = {**ABOUT, "time": "2026-11-26T10:00:00Z", "predictions": [str(folder / "predictions.json")]}
    write_json(folder / "scores" / "scores.json", {**about, **numbers, "metrics": metrics, **changed})
    return folder / "scores"


def simple(folder, scores, **changed):
    """One metric, one item a score."""
    predictions = [prediction(number) for number in range(len(scores))]
    judgements = [judgement("correctness", p, score) for p, score in zip(predictions, scores, strict=True)]
    scored = sum(score is not None for score in scores)
    return evaluation(folder, predictions, judgements, {"correctness": metric(len(scores), scored=scored)}, **changed)


def page(out, videos=None):
    return write_score_report(out, videos=videos).read_text()


def section(html, title):
    return html.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]


def keys(text):
    return re.findall(r"<code>(\w+)</code>", text)


def test_published_averages_are_the_means_of_their_columns():
    for model, scores in PUBLISHED.items():
        assert scores["average"] == pytest.approx(sum(scores[name] for name in METRICS) / 5, abs=0.051), model


@pytest.mark.slow
def test_every_number_stands_beside_the_paper_s(tmp_path):
    run = metric(2, mean=61.26, interval=[55.04, 66.0], repeats=3, spread=1.25, mean_unscored_as_0=60.5)
    metrics = {"correctness": run, "temporal": {"status": "not run", "reason": "no order"}}
    reference = {"ROUGE-L": {"value": 0.4123, "interval": [0.3, 0.5], "n": 2, "settings": "stems"}}
    reference |= {"BLEU": {"value": 0.1}, "cosine": {"value": None, "n": 0, "reason": "no MiniLM"}}
    records = [prediction(0), prediction(1)]
    grades = [judgement("correctness", r, 3, repeat=k) for r in records for k in range(3)]
    html = page(evaluation(tmp_path, records, grades, metrics, average_of_run=61.26, reference_metrics=reference))
    for text in ("61.3", "55.0 to 66.0", "60.5", "2 of 2", "no order", "Correctness 1.25", "2026-11-26T10:00:00Z"):
        assert text in html, text
    for text in ("llama3.1", "digest d1", "Q4_K_M", "rubrics r1", "0.412", "0.300 to 0.500", "stems", "no MiniLM"):
        assert text in html, text
    for scores in PUBLISHED.values():
        assert all(f'<td class="number">{score:.1f}</td>' in html for score in scores.values())
    assert "Average of the 2 run (paper: of five)" in html and "Average</td>" not in html
    assert "not in scores.json" in html, "metrics that an older file lacks are said to be absent"
    assert html.count("data:image/svg+xml;base64,") == 2 and 'class="warning"' not in html


@pytest.mark.slow
def test_the_average_of_five_has_its_name_and_its_bar(tmp_path):
    metrics = {name: metric(0) for name in METRICS}
    html = page(evaluation(tmp_path, [], [], metrics, average=43.21, average_interval=[40.0, 45.0]))
    assert "<td>Average</td>" in html and "43.2" in html and "40.0 to 45.0" in html and "of five" not in html


@pytest.mark.slow
@pytest.mark.parametrize(
    "judge", ["similarity", "llama3.1:70b", "openai:gpt-4o", "nvidia/Llama-3.1-Nemotron-70B", None]
)
def test_another_judge_than_the_paper_s_is_a_warning(tmp_path, judge):
    assert "not comparable" in page(simple(tmp_path, [], judge=judge))


@pytest.mark.parametrize(
    "judge", ["llama3.1", "ollama:llama3.1:latest", "llama3.1:8b-instruct-q4_0", "hf:x/Llama-3.1-8B"]
)
def test_the_paper_s_judge_is_none(judge):
    assert is_papers_judge(judge)


@pytest.mark.slow
@pytest.mark.parametrize(("unscored", "warned"), [(1, False), (2, True)])
def test_more_than_one_in_a_hundred_unscored_is_a_warning(tmp_path, unscored, warned):
    html = page(simple(tmp_path, [None] * unscored + [3] * (100 - unscored)))
    assert ("not a result" in html) == warned
    assert keys(section(html, "Unscored")) == [f"v{n:03}_0" for n in range(unscored)]
    assert "unparsed: no score" in html and "reply None" in html


@pytest.mark.slow
def test_the_best_and_the_worst_are_shown_in_order_and_none_twice(tmp_path):
    scores = [n % 50 / 10 for n in range(100)]
    html = page(simple(tmp_path, scores))
    best, worst = keys(section(html, "The 20 best items")), keys(section(html, "The 20 worst items"))
    grades = [scores[int(key[1:4])] for key in best + worst]
    assert grades[:20] == sorted(scores, reverse=True)[:20] and grades[20:] == sorted(scores)[:20]
    assert not set(best) & set(worst)
    few = [GradedItem(str(n), grades=[Grade("detail", 0, float(n))]) for n in range(3)]
    assert [[i.key for i in part] for part in extreme_items(few)] == [["2", "1"], ["0"]]


@pytest.mark.slow
def test_ties_beyond_the_list_are_counted(tmp_path):
    html = page(simple(tmp_path, [5] * 30 + [0] * 50))
    assert "10 more have the mean grade 5.00" in section(html, "The 20 best items")
    assert "30 more have the mean grade 0.00" in section(html, "The 20 worst items")


@pytest.mark.slow
def test_an_item_is_the_mean_over_metrics_of_the_mean_over_repeats(tmp_path):
    record = prediction(0, Q1="one", Q2="two", pred1="a", pred2="b")
    grades = [judgement("correctness", record, 5, repeat=k) for k in (0, 1)] + [judgement("consistency", record, 2)]
    metrics = {"correctness": metric(1, repeats=2), "consistency": metric(1)}
    out = evaluation(tmp_path, [record], grades, metrics)
    (item,) = read_items(out)
    assert item.mean == 3.5 and item.means() == {"correctness": 5, "consistency": 2}
    html = page(out)
    assert "3.50 of 5</strong>, mean of 2 metrics" in html and "Correctness, repeat 2" in html
    assert html.count("Reference 0.") == 1, "the same reference is not shown twice"


def test_alike_predictions_of_several_videos_keep_their_own_grades(tmp_path):
    records = [prediction(0, video_name=name, A="Same.", pred="Same.") for name in ("a_1", "b")]
    grades = [judgement("correctness", record, score) for record, score in zip(records, (1, 4), strict=True)]
    items = read_items(evaluation(tmp_path, records, grades, {"correctness": metric(2)}))
    assert [(item.key, item.video_name, item.mean) for item in items] == [("a_1_0", "a_1", 1), ("b_0", "b", 4)]


def test_grades_of_other_predictions_judges_and_rubrics_do_not_count(tmp_path):
    old, new = prediction(0, pred="Old."), prediction(0)
    others = [
        judgement("correctness", new, 0, **other) for other in ({"judge": "x"}, {"rubrics": "x"}, {"digest": "x"})
    ]
    grades = [judgement("correctness", new, 4), *others, judgement("correctness", old, 1)]
    (item,) = read_items(evaluation(tmp_path, [new], grades, {"correctness": metric(1)}))
    assert item.mean == 4


def test_a_grade_that_came_later_stands_for_one_that_did_not_come(tmp_path):
    records = [prediction(0), prediction(1)]
    grades = [judgement("correctness", record, score) for record in records for score in (None, 2, None)]
    out = evaluation(tmp_path, records, grades, {"correctness": metric(2)})
    assert [[grade.score for grade in item.grades] for item in read_items(out)] == [[2], [2]]
    (tmp_path / "predictions.json").unlink()
    assert [[grade.score for grade in item.grades] for item in read_items(out)] == [[2], [2]]


@pytest.mark.slow
def test_what_was_never_judged_is_listed_with_its_reason(tmp_path):
    records = [prediction(0, pred=None), prediction(1), prediction(2)]
    grades = [judgement("correctness", records[1], 3)]
    out = evaluation(tmp_path, records, grades, {"correctness": metric(3, scored=1)})
    unscored = section(page(out), "Unscored")
    assert keys(unscored) == ["v000_0", "v002_0"] and NO_ANSWER in unscored and "not judged" in unscored
    (tmp_path / "predictions.json").unlink()
    assert "2 are counted in scores.json, but the ledger does not tell which" in page(out)


def test_predictions_that_are_no_longer_those_judged_are_not_taken(tmp_path):
    out = simple(tmp_path, [3, 4])
    write_json(tmp_path / "predictions.json", [prediction(n) for n in range(5)])
    assert [item.mean for item in read_items(out)] == [3, 4]


@pytest.mark.slow
def test_frames_are_shown_and_their_absence_is_said(tmp_path):
    write_video(tmp_path / "videos" / "v000.mp4", numbered(12))
    (tmp_path / "videos" / "v001.mp4").write_bytes(b"no video")
    html = page(simple(tmp_path, [1, 2, 3]), tmp_path / "videos")
    assert html.count("data:image/jpeg;base64,") == 1
    assert html.count('<p class="absent">no video of clip &#39;v002&#39;') == 1 and "v001.mp4" in html
    assert "data:image/jpeg" not in page(tmp_path / "scores")


@pytest.mark.slow
def test_what_models_write_stays_text(tmp_path):
    record = prediction(0, pred=HOSTILE, A=HOSTILE, video_name="v<script>")
    grades = [judgement("correctness", record, 3, replies=[HOSTILE])]
    grades += [judgement("detail", record, None, replies=[HOSTILE], reason=HOSTILE)]
    html = page(evaluation(tmp_path, [record], grades, {"correctness": metric(1), "detail": metric(1, scored=0)}))
    assert "<script" not in html and "onerror=a>" not in html and "{{ 7 * 6 }}" in html
    tags = Tags(html)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.found}
    assert not [name for _, attributes in tags.found for name in attributes if name == "href" or name.startswith("on")]
    assert all(attributes["src"].startswith("data:image/") for tag, attributes in tags.found if tag == "img")


@pytest.mark.slow
def test_nothing_at_all_is_a_page_too(tmp_path):
    html = page(evaluation(tmp_path, [], [], {}, average_of_run=None))
    assert html.count("no item has a grade") == 1 and "there are no grades" in html and "not computed" in html


@pytest.mark.parametrize(("content", "said"), [(None, "does not exist"), ("{", "no JSON"), ("[]", "holds no metrics")])
def test_scores_that_are_none_are_refused(tmp_path, content, said):
    if content is not None:
        (tmp_path / "scores.json").write_text(content)
    with pytest.raises(ValueError, match=rf"{said}.*eval/score\.py --out"):
        write_score_report(tmp_path, videos=None)


@pytest.mark.slow
def test_the_size_of_charades_takes_seconds_and_stays_small(tmp_path):
    text = "A person walks through a doorway, takes a cup and drinks. " * 8
    records = [prediction(n, pred=text, Q1="a", Q2="b", pred1=text, pred2=text) for n in range(1863)]
    grades = [
        judgement(m, r, None if n % 4 else n % 6, replies=["x" * 3000]) for m in METRICS for n, r in enumerate(records)
    ]
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "judgements.jsonl").write_text("".join(json.dumps(grade) + "\n" for grade in grades))
    out = evaluation(tmp_path, records, [], {name: metric(1863, scored=466) for name in METRICS})
    started = time.process_time()
    html = page(out)
    assert time.process_time() - started < 60 and len(html) < 2_000_000
    shown, rest = section(html, "Unscored").split("<details>")
    assert (len(keys(shown)), len(keys(rest))) == (UNSCORED_SHOWN, 1397 * 5 - UNSCORED_SHOWN)
    assert f"and {1397 * 5 - UNSCORED_SHOWN:,} more" in html and html.count('<section class="clip">') == 2 * SHOWN


@pytest.mark.slow
def test_the_same_files_give_the_same_bytes(tmp_path):
    out = simple(tmp_path, [1, 2, None])
    assert page(out) == page(out)
    bars = [Bar("a", None, None, {}), Bar("b", 50.0, (40.0, 60.0), {"x": 1.0})]
    assert score_bars(bars) == score_bars(bars) != score_bars(bars[1:])
    assert score_histogram([0] * 6) != score_histogram([0, 0, 0, 0, 0, 7])


def test_all_metrics_of_the_judge_have_a_name():
    from eval.metrics import METRICS as judged

    assert set(METRIC_NAMES) == {*judged, "average"}
