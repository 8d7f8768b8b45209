"""The page of an evaluation: scores beside the paper's Table 3, histograms, the best, worst and unscored items.

The page is a single file without scripts or links. It says what a run does not have.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.judges.grade_file import Record
from eval.judges.score_reading import EXPECTED
from eval.pages.score_figures import Bar, score_bars, score_histogram
from eval.pages.score_items import GradedItem, read_items, read_scores
from eval.pages.table_3 import METRIC_NAMES, PAPER_JUDGE, PUBLISHED
from eval.results.aggregate import too_many_unscored
from ski_lvlm.pages.page import page_template
from ski_lvlm.pages.pictures import video_strip
from ski_lvlm.storage.files import atomic_path

SHOWN, UNSCORED_SHOWN, FRAMES = 20, 200, 6
METRICS = tuple(name for name in METRIC_NAMES if name != "average")
_FIELDS = {
    "Q": "question",
    "Q1": "first wording",
    "Q2": "second wording",
    "A": "reference",
    "pred": "prediction",
    "pred1": "first prediction",
    "pred2": "second prediction",
}
_LLAMA_3_1 = re.compile(r"(?:meta-)?llama-?3\.1(?::latest|[:-]8b(?:[-:].*)?)?", re.IGNORECASE)


def write_score_report(out: Path, *, videos: Path | None) -> Path:
    """Write OUT/report.html from OUT/scores.json and OUT/judgements.jsonl.

    The same files give the same bytes.

    Args:
        out: the folder of eval/score.py.
        videos: the folder of the items' videos, or None for a page without frames.

    Raises:
        ValueError: OUT/scores.json is missing or damaged.
    """
    scores, items = read_scores(out), read_items(out)
    html = page_template(Path(__file__).with_name("score_report.html.j2")).render(
        run=out.resolve().parent.name if out.name == "scores" else out.resolve().name,
        scores=scores,
        warnings=warnings(scores),
        metrics=metric_rows(scores),
        average=average_row(scores),
        models=list(PUBLISHED),
        paper_judge=PAPER_JUDGE,
        repeats=_repeats(scores),
        bars=score_bars(_bars(scores)),
        histograms=_histograms(scores),
        references=_references(scores),
        extremes=_extremes(items, videos),
        unscored=_unscored(items),
        unscored_shown=UNSCORED_SHOWN,
        unscored_counted=sum(m["n_total"] - m["n_scored"] for m in _run(scores).values()),
        items=len(items),
        names=METRIC_NAMES,
    )
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out / "report.html"


def is_papers_judge(name: str) -> bool:
    """Return whether a judge is the paper's Llama 3.1.

    Assumption: 8B, which is Ollama's default for `llama3.1`. The paper does not give the size.

    >>> [is_papers_judge(n) for n in ("llama3.1", "openai:meta-llama/Llama-3.1-8B-Instruct", "llama3.1:70b", "gpt-4")]
    [True, True, False, False]
    """
    name = re.sub(r"^(?:ollama|openai|hf):", "", name)
    return bool(_LLAMA_3_1.fullmatch(name.rpartition("/")[2]))


def judge_notes(scores: Record) -> list[str]:
    """Return what must be known of the judge wherever its scores are shown."""
    judge, messages = scores.get("judge"), []
    if not is_papers_judge(str(judge)):
        messages.append(
            f"The judge is {judge or 'not told'}, the paper's is {PAPER_JUDGE}: these scores are not comparable with "
            "the published ones."
        )
    if scores.get("score_kind") == EXPECTED:
        messages.append(
            "Scores are expected ones: means of the digits 0 to 5 by the judge's probabilities of them. The published "
            "ones were written by the judge, so these are not comparable with them, nor with sampled ones."
        )
    if scores.get("note"):
        messages.append(str(scores["note"]))
    return messages


def warnings(scores: Record) -> list[str]:
    """Return the warnings above the numbers."""
    messages = judge_notes(scores)
    if too_many_unscored(scores["metrics"].values()):
        messages.append("More than 1 % of the items of a metric are unscored: these scores are not a result.")
    return messages


def _run(scores: Record) -> dict[str, Record]:
    return {name: scores["metrics"][name] for name in METRICS if _metric(scores, name)["status"] == "run"}


def _metric(scores: Record, name: str) -> Record:
    return scores["metrics"].get(name) or {"status": "not run", "reason": "not in scores.json"}


def metric_rows(scores: Record) -> list[dict[str, Any]]:
    """Return one row a metric: our score with its interval, and the published ones by model."""
    absent = {"interval": None, "mean_unscored_as_0": None}
    return [
        {**absent, **_metric(scores, name), "name": METRIC_NAMES[name], "published": _published(name)}
        for name in METRICS
    ]


def _repeats(scores: Record) -> dict[str, float | None]:
    """Return the standard deviation of the repeats' means of each metric with several repeats."""
    return {METRIC_NAMES[n]: m.get("spread") for n, m in _run(scores).items() if (m.get("repeats") or 1) > 1}


def average_row(scores: Record) -> dict[str, Any]:
    """Return the average of the five metrics as in Table 3, else that of the metrics that were run."""
    has_all = scores.get("average") is not None
    name = (
        METRIC_NAMES["average"]
        if has_all
        else f"Average of the {scores.get('metrics_run') or len(_run(scores)) or 'metrics'} run (paper: of five)"
    )
    return {
        "name": name,
        "mean": scores["average"] if has_all else scores.get("average_of_run"),
        "interval": scores.get("average_interval"),
        "published": _published("average"),
    }


def _published(name: str) -> dict[str, float]:
    return {model: numbers[name] for model, numbers in PUBLISHED.items()}


def _bars(scores: Record) -> list[Bar]:
    rows = metric_rows(scores)
    if scores.get("average") is not None:
        rows.append(average_row(scores))
    return [Bar(row["name"], row.get("mean"), row["interval"], row["published"]) for row in rows]


def _histograms(scores: Record) -> list[dict[str, str]]:
    counts = {name: metric.get("histogram") for name, metric in _run(scores).items()}
    return [{"title": METRIC_NAMES[name], "image": score_histogram(c)} for name, c in counts.items() if c]


def _references(scores: Record) -> list[dict[str, Any]]:
    metrics = scores.get("reference_metrics") or {}
    absent = {"interval": None, "n": None, "settings": "", "reason": ""}
    return [{**absent, "name": name, **metric} for name, metric in metrics.items()]


def extreme_items(items: Sequence[GradedItem], *, count: int = SHOWN) -> tuple[list[GradedItem], list[GradedItem]]:
    """Return the `count` best and the `count` worst items by mean grade. No item is in both lists."""
    graded = sorted((item for item in items if item.mean is not None), key=lambda item: -(item.mean or 0))
    best = graded[: min(count, (len(graded) + 1) // 2)]
    return best, graded[len(best) :][::-1][:count]


def _extremes(items: Sequence[GradedItem], videos: Path | None) -> list[dict[str, Any]]:
    best, worst = extreme_items(items)
    return [_extreme("best", best, items, videos), _extreme("worst", worst, items, videos)]


def _extreme(
    title: str, selection: Sequence[GradedItem], items: Sequence[GradedItem], videos: Path | None
) -> dict[str, Any]:
    last = selection[-1].mean if selection else None
    ties = sum(item.mean == last for item in items) - sum(item.mean == last for item in selection)
    return {
        "title": title,
        "items": [_item_fields(item, videos) for item in selection],
        "tied": ties if selection else 0,
        "last": last,
    }


def _item_fields(item: GradedItem, videos: Path | None) -> dict[str, Any]:
    texts = [(_FIELDS.get(name, name), name.startswith("pred"), text) for name, text in item.texts]
    return {"item": item, "texts": texts, "means": item.means(), **_frames(item.video_name, videos)}


def _frames(video_name: str, videos: Path | None) -> dict[str, str]:
    from ski_lvlm.videos.folder import VideoError, find_video

    if videos is None:
        return {}
    try:
        return {"frames": video_strip(str(find_video(videos, video_name)), num_frames=FRAMES)}
    except VideoError as error:
        return {"no_frames": str(error)}


def _unscored(items: Sequence[GradedItem]) -> list[dict[str, Any]]:
    return [{"key": item.key, "grade": grade} for item in items for grade in item.grades if grade.score is None]
