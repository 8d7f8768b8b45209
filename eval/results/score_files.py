"""Several score files as one table: our runs, and published files with one metric each."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval.metrics import METRICS
from eval.results.aggregate import Graded
from eval.results.compare_runs import check_same_judge
from eval.results.graded_run import GradedRun, is_run, read_run
from eval.results.published_scores import read_score_file
from eval.results.score_json import GradesError

ALL = "all"  # the metric of a single file whose name has none


class ScoreFile(NamedTuple):
    """A file or folder of the command line, with its metric if it was given."""

    path: Path
    metric: str | None


class ScoredItems(NamedTuple):
    """The items of each metric, in the order of the paper's table, and messages about unfinished runs."""

    items: dict[str, Sequence[Graded]]
    unfinished: list[str]


def score_file(text: str) -> ScoreFile:
    """Read FILE or METRIC=FILE.

    >>> score_file("detail=a.json").metric, score_file("x=a.json").path.name
    ('detail', 'x=a.json')

    Raises:
        GradesError: FILE exists, but METRIC is no metric.
    """
    metric, sign, path = text.partition("=")
    if sign and metric in METRICS:
        return ScoreFile(Path(path), metric)
    if sign and not Path(text).exists() and Path(path).exists():
        raise GradesError(f"{text}: {metric!r} is no metric; expected one of {', '.join(METRICS)}, or FILE alone")
    return ScoreFile(Path(text), None)


def read_scores_of(files: Sequence[ScoreFile]) -> ScoredItems:
    """Read all files. The metric of a published one is given with it, or part of its name.

    Raises:
        GradesError: a file holds no scores, its metric is unknown or that of another file, or our runs have different
            judges.
    """
    items: dict[str, Sequence[Graded]] = {}
    unfinished, runs = [], list[GradedRun]()
    for file in files:
        if is_run(file.path):
            run = read_run(file.path)
            for earlier in runs[:1]:
                check_same_judge(earlier, run)
            runs.append(run)
            unfinished += [f"{file.path} is {run.unfinished}"] if run.unfinished else []
            graded = {metric: run.items(metric) for metric in _metrics(run, file)}
        else:
            graded = {_metric(file, alone=len(files) == 1): read_score_file(file.path)}
        if twice := [metric for metric in graded if metric in items]:
            raise GradesError(f"{file.path} is the second with {', '.join(twice)}; expected each metric once")
        items |= graded
    in_order = sorted(items, key=lambda metric: METRICS.index(metric) if metric in METRICS else len(METRICS))
    return ScoredItems({metric: items[metric] for metric in in_order}, unfinished)


def _metrics(run: GradedRun, file: ScoreFile) -> list[str]:
    if file.metric is None:
        return run.metrics
    if file.metric not in run.metrics:
        raise GradesError(f"{file.path} has no {file.metric}; it has {', '.join(run.metrics) or 'no metric'}")
    return [file.metric]


def _metric(file: ScoreFile, *, alone: bool) -> str:
    if file.metric is not None:
        return file.metric
    matches = [metric for metric in METRICS if metric in file.path.name.lower()]
    if len(matches) == 1:
        return matches[0]
    if alone:
        return ALL
    raise GradesError(f"which metric is {file.path} of? Say METRIC={file.path}, with one of {', '.join(METRICS)}")
