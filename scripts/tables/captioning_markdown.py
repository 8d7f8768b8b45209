"""Table 3 as Markdown and JSON: metrics down and models across as printed, the published number beside ours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from eval.pages.score_report import is_papers_judge
from eval.pages.table_3 import METRIC_NAMES, PAPER_JUDGE, PUBLISHED
from scripts.tables.captioning_results import ACTION, Comparison, Training, compare, number
from scripts.tables.markdown import NOTHING, grid
from ski_lvlm.recognition.intervals import Interval
from ski_lvlm.storage.files import atomic_path, write_json

MEASURES = (*METRIC_NAMES, ACTION)
COMPARED = ("average", ACTION)
_HEAD = ["Row", "minus", "measure", "verdict", "points", "over videos", "over trainings", "items", "trainings"]
Rows = Mapping[str, Mapping[int, Training]]  # model → seed → what was measured
LEGEND = (
    "Ours: mean over trainings ± their standard deviation, in brackets the 95 % bootstrap interval over videos. All "
    "trainings of a model share one skeleton encoder and one set of features: how another encoder would change the "
    "numbers they do not say."
)
ASKED = (
    "The judge is asked in our words (eval/judges/rubrics.json), not the authors', which the paper does not print; and "
    "so is the model about each video, unless --questions named the published file. Both move the numbers, whoever "
    "judges: read the paper's beside ours as where they stood, not as a target."
)
TOY = "The synthetic set is a toy in miniature: its numbers say whether everything runs, and nothing about Charades."
VERDICTS = (
    "A row is better or worse than another only if both intervals of the difference say so: the one over videos "
    "(bootstrap) and the one over trainings (Student's t on the differences of trainings with the same seed)."
)


def write(
    out: Path, rows: Rows, pairs: Sequence[tuple[str, str]], *, reasons: Mapping[str, str], judge: str, toy: bool
) -> None:
    """Print the table, and keep it as OUT/table_3.md and .json, with the difference of each pair of models.

    `reasons` says of models why they have no number of ours.
    """
    text = markdown(rows, comparisons(rows, pairs, COMPARED), reasons=reasons, judge=judge, toy=toy)
    with atomic_path(out / "table_3.md") as path:
        path.write_text(text, encoding="utf-8")
    numbers = {
        model: {m: asdict(cell) for m in MEASURES if (cell := number(list(trainings.values()), m))}
        for model, trainings in rows.items()
    }
    differences = [{**asdict(found), "verdict": found.verdict} for found in comparisons(rows, pairs, MEASURES)]
    table = {"table": "table_3", "judge": judge, "published": PUBLISHED, "ours": numbers, "comparisons": differences}
    write_json(out / "table_3.json", table)
    print(f"\n{text}\n{out / 'table_3.md'} (and .json)")


def comparisons(rows: Rows, pairs: Sequence[tuple[str, str]], measures: Iterable[str]) -> list[Comparison]:
    """The difference of each pair in each measure, where both have it."""
    found = [compare(rows[row], rows[other], names=(row, other), measure=m) for m in measures for row, other in pairs]
    return [comparison for comparison in found if comparison]


def markdown(
    rows: Rows, differences: Sequence[Comparison], *, reasons: Mapping[str, str], judge: str, toy: bool
) -> str:
    """The table with its legend, and the comparisons below it."""
    head = ["Metric"]
    for model in rows:
        head += [f"{model} paper", "ours"] if model in PUBLISHED else [f"{model} ours"]
    lines = [_line(rows, measure) for measure in MEASURES if measure in METRIC_NAMES or _any(rows, measure)]
    parts = [
        "## Dense captions: five metrics, from 0 to 100",
        grid(head, lines, left=1),
        LEGEND,
        _judged(rows, judge),
        ASKED,
    ]
    parts += [TOY] if toy else []
    parts += [f"{NOTHING} {model}: {reason}." for model, reason in reasons.items() if not rows[model]]
    if differences:
        parts += [grid(_HEAD, map(_difference, differences), left=4), VERDICTS]
    return "\n\n".join(parts) + "\n"


def _judged(rows: Rows, judge: str) -> str:
    run = [name for name in METRIC_NAMES if name != "average" and _any(rows, name)]
    said = [f"Judge: {judge}."]
    if not is_papers_judge(judge):
        said.append(f"The paper's is {PAPER_JUDGE}: the published numbers are not comparable with ours.")
    if run and len(run) < len(METRIC_NAMES) - 1:
        said.append(f"Our average is over the {len(run)} metrics that were run, the paper's over five.")
    return " ".join(said)


def _any(rows: Rows, measure: str) -> bool:
    return any(training.get(measure) for trainings in rows.values() for training in trainings.values())


def _line(rows: Rows, measure: str) -> list[str]:
    cells = [_title(measure)]
    for model, trainings in rows.items():
        if model in PUBLISHED:
            cells.append(f"{PUBLISHED[model][measure]:.1f}" if measure in PUBLISHED[model] else "")
        cell = number(list(trainings.values()), measure)
        spread = f" ± {cell.spread:.1f}" if cell and cell.spread is not None else ""
        cells.append(f"{cell.mean:.1f}{spread} ({_span(cell.interval)})" if cell else NOTHING)
    return cells


def _title(measure: str) -> str:
    return METRIC_NAMES.get(measure, "Names the right action (%)")


def _difference(found: Comparison) -> list[str]:
    cells = [found.row, found.baseline, _title(found.measure), found.verdict, f"{found.difference:+.1f}"]
    return [*cells, _span(found.over_videos), _span(found.over_trainings), str(found.items), str(found.trainings)]


def _span(interval: Interval | None) -> str:
    return "{:.1f} to {:.1f}".format(*interval) if interval else NOTHING
