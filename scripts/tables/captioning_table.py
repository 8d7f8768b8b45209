"""Table 3: grades read, verdicts, and the table as Markdown (metrics down, models across as printed) and JSON."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.describing.model_flags import other_kind
from eval.items.predictions import video_of
from eval.pages.score_items import read_items, read_scores
from eval.pages.score_report import is_papers_judge
from eval.pages.table_3 import METRIC_NAMES, PAPER_JUDGE, PUBLISHED
from scripts.tables.captioning_plan import CaptioningPlan
from scripts.tables.markdown import NOTHING, empty_rows, grid, span, with_spread
from scripts.tables.methods import Captioner, OtherModel, PublishedProjector, TrainedLvlm
from scripts.tables.results import Comparison, Number, Results, Training, over_trainings, verdict_of_both
from scripts.tables.rows import Row, Table

ACTION = "action"  # captions that name the right action, in percent
MEASURES = (*METRIC_NAMES, ACTION)
COMPARED = ("average", ACTION)
DROPOUT = "SKI-LVLM, skeletons in half †"
LEGEND = (
    "Ours: mean over trainings ± their standard deviation, in brackets the 95 % bootstrap interval over videos. All "
    "trainings of a model share one skeleton encoder and one set of features: the numbers do not say how another "
    "encoder would change them."
)
WORDING = (
    "The judge is asked in our words (eval/judges/rubrics.json), not the authors', which the paper does not print; and "
    "so is the model about each video, unless --questions named the published file. Both move the numbers, whoever "
    "judges: read the paper's beside ours as where they stood, not as a target."
)
TOY = "The synthetic set is a toy in miniature: its numbers say whether everything runs, and nothing about Charades."
OTHERS = (
    "Models of hf: and openai: are not the paper's. Nobody trained them here. They see frames of their own number and "
    "size, and answer the same questions, graded by the same judge. What they were trained on is not known here."
)
VERDICTS = (
    "A row is better or worse than another only if both intervals of the difference say so: the one over videos "
    "(bootstrap) and the one over trainings (Student's t on the differences of trainings with the same seed)."
)


def _row(name: str, method: Captioner, *against: str) -> Row[Captioner]:
    published = PUBLISHED.get(name, {})
    return Row((name,), tuple(published.get(measure) for measure in MEASURES), method, against=against)


TABLE: Table[Captioner] = Table(
    *("table_3", "Dense captions: five metrics, from 0 to 100", ("Metric",), MEASURES),
    rows=(
        _row("VCGPT", PublishedProjector()),
        _row("NTU-VCGPT", TrainedLvlm(), "VCGPT"),
        _row("SK-VCGPT", TrainedLvlm("pretrained"), "NTU-VCGPT"),
        _row("SKI-LVLM", TrainedLvlm("aligned"), "NTU-VCGPT", "SK-VCGPT"),
        _row(DROPOUT, TrainedLvlm("aligned", dropout=0.5), "NTU-VCGPT", "SKI-LVLM"),
    ),
)


def with_models(models: Iterable[str]) -> Table[Captioner]:
    """Return the table with a row for each of these models of today, marked †, beside the paper's.

    Raises:
        ValueError: a name is not of a kind that eval/describe.py knows, or is given twice.
    """
    names = list(models)
    for name in names:
        if other_kind(name) is None or names.count(name) > 1:
            raise ValueError(f"--add {name}: expected hf:ID or openai:MODEL, each once")
    rows = tuple(_row(f"{name} †", OtherModel(name), "NTU-VCGPT", "SKI-LVLM") for name in names)
    return replace(TABLE, rows=TABLE.rows + rows)


def read_values(scores: Path, predictions: Path, *, actions: bool) -> dict[str, dict[str, float]]:
    """Read the items of each metric that was run, x 20, and their average over those metrics.

    The average is over the items that have a score in every metric that was run. With `actions`, a further measure is
    whether a caption names the clip's action.
    """
    run = {name for name, metric in read_scores(scores)["metrics"].items() if metric["status"] == "run"}
    measures: dict[str, dict[str, float]] = {name: {} for name in (*sorted(run), "average")}
    for item in read_items(scores):
        means = item.means()
        for name, mean in means.items():
            measures[name][item.key] = 20 * mean
        if means.keys() == run:
            measures["average"][item.key] = 20 * fmean(means.values())
    return measures | ({ACTION: action_accuracy(predictions)} if actions else {})


def action_accuracy(predictions: Path) -> dict[str, float]:
    """Return 100 for each clip, by item key, whose caption names its action, else 0, also without a caption."""
    from data_curation.captioning.action_names import action_finder
    from ski_lvlm.datasets.catalogue import open_data_set

    data = open_data_set("ntu120")  # whose classes are those of the synthetic set, and more
    find, items = action_finder(data.description.classes), json.loads(predictions.read_text(encoding="utf-8"))
    classes = data.classes_of([item["video_name"] for item in items])
    return {
        f"{item['video_name']}_0": 100.0 * (find(item.get("pred") or "") == class_name)
        for item, class_name in zip(items, classes, strict=True)
    }


def collect(plan: CaptioningPlan, seeds: int, *, actions: bool, table: Table[Captioner] = TABLE) -> Results:
    """Read the finished grades of all rows."""
    values: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for row in table.rows:
        for seed, step in plan.trainings(row.method, seeds).items():
            if isinstance(step, str) or not step.is_finished():
                reasons[row.name, "average"] = step if isinstance(step, str) else "not run"
                continue
            (captions,) = step.needs
            scores = (step.folder / step.product).parent
            for measure, items in read_values(scores, captions.folder / captions.product, actions=actions).items():
                values.setdefault((row.name, measure), {})[seed] = items
    return results_of(values, reasons, table=table)


def results_of(
    values: Mapping[tuple[str, str], Mapping[int, Mapping[str, float]]],
    reasons: Mapping[tuple[str, str], str],
    *,
    table: Table[Captioner] = TABLE,
) -> Results:
    """Return the table of values by (row, measure), seed and item."""
    trainings: dict[tuple[str, str], dict[int, Training]] = {}
    for cell, by_seed in values.items():
        for seed, items in by_seed.items():
            if items:
                trainings.setdefault(cell, {})[seed] = Training(fmean(items.values()), items)
    measured = {measure for _, measure in trainings}
    measures = tuple(measure for measure in MEASURES if measure in METRIC_NAMES or measure in measured)
    return Results(table, measures, trainings, verdict, group_of=video_of, reasons=reasons)


def verdict(points: Number, baseline: Number) -> str:
    """Judge a difference by its intervals over videos and over trainings."""
    reason = "no conclusion: one video" if points.interval is None else "no conclusion: one training"
    return verdict_of_both(points) or reason


def markdown(results: Results, *, judge: str, toy: bool) -> str:
    """Write the table with its legend, and the comparisons below it."""
    head = ["Metric"]
    for row in results.table.rows:
        head += [f"{row.name} paper", "ours"] if _is_published(row) else [f"{row.name} ours"]
    parts = [
        f"## {TABLE.caption}",
        grid(head, [_line(results, measure) for measure in results.columns], words=1),
        LEGEND,
        _judge_note(results, judge),
        WORDING,
    ]
    parts += [TOY] if toy else []
    parts += [OTHERS] if any(isinstance(row.method, OtherModel) for row in results.table.rows) else []
    parts += empty_rows(results)
    if comparisons := _comparisons(results, COMPARED):
        titles = ["Row", "minus", "measure", "verdict", "points", "over videos", "over trainings", "items", "trainings"]
        lines = [
            [
                *(c.row, c.baseline, _title(c.column), c.verdict, f"{c.points.mean:+.1f}", span(c.points.interval)),
                *(span(over_trainings(c.points.per_training)), str(c.points.items), str(len(c.points.per_training))),
            ]
            for c in comparisons
        ]
        parts += [grid(titles, lines, words=4), VERDICTS]
    return "\n\n".join(parts) + "\n"


def _comparisons(results: Results, measures: Iterable[str]) -> list[Comparison]:
    return [comparison for measure in measures for comparison in results.comparisons([measure])]


def _is_published(row: Row[Captioner]) -> bool:
    return any(value is not None for value in row.published)


def _judge_note(results: Results, judge: str) -> str:
    run = {measure for _, measure in results.trainings} & METRIC_NAMES.keys() - {"average"}
    notes = [f"Judge: {judge}."]
    if not is_papers_judge(judge):
        notes.append(f"The paper's is {PAPER_JUDGE}: the published numbers are not comparable with ours.")
    if run and len(run) < len(METRIC_NAMES) - 1:
        notes.append(f"Our average is over the {len(run)} metrics that were run, the paper's over five.")
    return " ".join(notes)


def _line(results: Results, measure: str) -> list[str]:
    cells = [_title(measure)]
    for row in results.table.rows:
        if _is_published(row):
            published = row.published[MEASURES.index(measure)]
            cells.append("" if published is None else f"{published:.1f}")
        cell = results.number(row, measure)
        cells.append(f"{with_spread(cell)} ({span(cell.interval)})" if cell else NOTHING)
    return cells


def _title(measure: str) -> str:
    return METRIC_NAMES.get(measure, "Names the right action (%)")


def as_json(results: Results, *, judge: str) -> dict[str, Any]:
    """Return everything that the Markdown shows, with each training's own number, and all comparisons."""
    return {
        "table": TABLE.name,
        "judge": judge,
        "published": PUBLISHED,
        "ours": {
            row.name: {
                measure: {
                    "mean": cell.mean,
                    "spread": cell.spread,
                    "interval": cell.interval,
                    "per_training": cell.per_training,
                    "items": cell.items,
                }
                for measure in results.columns
                if (cell := results.number(row, measure))
            }
            for row in results.table.rows
        },
        "comparisons": [
            {
                "row": c.row,
                "baseline": c.baseline,
                "measure": c.column,
                "difference": c.points.mean,
                "over_videos": c.points.interval,
                "over_trainings": over_trainings(c.points.per_training),
                "items": c.points.items,
                "trainings": len(c.points.per_training),
                "verdict": c.verdict,
            }
            for c in _comparisons(results, results.columns)
        ],
    }
