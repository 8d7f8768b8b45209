"""Several score files as one table: own runs, and published files of which each holds one metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval.metrics import METRICS
from eval.results.aggregate import Graded
from eval.results.compare_runs import check_same_judge
from eval.results.graded_run import Run, is_run, read_run
from eval.results.published_scores import read_score_file
from eval.results.score_json import GradesError

ALL = "all"  # the metric of a single file that names none


class ScoreFile(NamedTuple):
    """A file or folder as the command names it, and the metric that is meant, where that was said."""

    path: Path
    metric: str | None


class Scores(NamedTuple):
    """The items of each metric, in the order of the paper's table, and what is unfinished of the files."""

    items: dict[str, Sequence[Graded]]
    unfinished: list[str]


def score_file(text: str) -> ScoreFile:
    """Read FILE or METRIC=FILE.

    >>> score_file("detail=a.json").metric, score_file("x=a.json").path.name
    ('detail', 'x=a.json')

    Raises:
        GradesError: FILE is there, METRIC is none.
    """
    metric, found, path = text.partition("=")
    if found and metric in METRICS:
        return ScoreFile(Path(path), metric)
    if found and not Path(text).exists() and Path(path).exists():
        raise GradesError(f"{text}: {metric!r} is no metric; expected one of {', '.join(METRICS)}, or FILE alone")
    return ScoreFile(Path(text), None)


def read_scores_of(files: Sequence[ScoreFile]) -> Scores:
    """Read all files; a published one's metric is the one said, or the one that its name holds.

    Raises:
        GradesError: a file holds no scores or does not say of which metric, two are about the same one, or own runs
            were graded by different judges.
        OSError: a file cannot be read.
    """
    items: dict[str, Sequence[Graded]] = {}
    unfinished, runs = [], list[Run]()
    for file in files:
        if is_run(file.path):
            run = read_run(file.path)
            for earlier in runs[:1]:
                check_same_judge(earlier, run)
            runs.append(run)
            unfinished += [f"{file.path} is {run.unfinished}"] if run.unfinished else []
            found = {metric: run.items(metric) for metric in _metrics(run, file)}
        else:
            found = {_metric(file, alone=len(files) == 1): read_score_file(file.path)}
        if twice := [metric for metric in found if metric in items]:
            raise GradesError(f"{file.path} is the second with {', '.join(twice)}; expected each metric once")
        items |= found
    in_order = sorted(items, key=lambda metric: METRICS.index(metric) if metric in METRICS else len(METRICS))
    return Scores({metric: items[metric] for metric in in_order}, unfinished)


def _metrics(run: Run, file: ScoreFile) -> list[str]:
    if file.metric is None:
        return run.metrics
    if file.metric not in run.metrics:
        raise GradesError(f"{file.path} has no {file.metric}; it has {', '.join(run.metrics) or 'no metric'}")
    return [file.metric]


def _metric(file: ScoreFile, *, alone: bool) -> str:
    if file.metric is not None:
        return file.metric
    named = [metric for metric in METRICS if metric in file.path.name.lower()]
    if len(named) == 1:
        return named[0]
    if alone:
        return ALL
    raise GradesError(f"which metric is {file.path} of? Say METRIC={file.path}, with one of {', '.join(METRICS)}")
