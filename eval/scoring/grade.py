"""The default mode: grade predictions, print and write the scores."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.items.predictions import Task, all_tasks, left_out, read_predictions
from eval.judges.grading import GradingSettings, grade_all
from eval.judges.judge import Judge
from eval.judges.score_reading import EXPECTED, SAMPLED
from eval.metrics import METRICS
from eval.pages.score_report import write_score_report
from eval.results.aggregate import summarise, too_many_unscored
from eval.results.plan import begin, plan_of
from eval.results.reference_metrics import reference_metrics
from eval.scoring.terminal import TOO_MANY, show_scores
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import only_process

QUICKSTART = Path(__file__).resolve().parents[2] / "runs" / "quickstart" / "predictions.json"
Grades = dict[str, dict[str, Any]]


def grade(judge: Judge, options: argparse.Namespace) -> int:
    """Grade the predictions. Returns 0 if at least 99 % of every metric were scored, else 1."""
    paths = options.predictions or [_quickstart_predictions()]
    out = options.out or paths[0].parent / "scores"
    _check_folders(out, options.videos)
    with only_process(out):
        return _grade(judge, paths, out, options)


def _quickstart_predictions() -> Path:
    if not QUICKSTART.exists():
        raise ValueError(
            f"no --predictions given, and there is no {QUICKSTART} of a quickstart; make it with "
            "`bash scripts/quickstart.sh`, or name a file made by eval/describe.py"
        )
    sys.stderr.write(f"no --predictions given: grading the last quickstart's, {QUICKSTART}\n")
    return QUICKSTART


def _check_folders(out: Path, videos: Path | None) -> None:
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file; expected a folder for the results, or a name for a new one")
    if videos is not None and not videos.is_dir():
        raise NotADirectoryError(f"--videos {videos} is no folder; name the one with the videos, or omit the flag")


def _grade(judge: Judge, paths: list[Path], out: Path, options: argparse.Namespace) -> int:
    records = read_predictions(paths)
    tasks, not_run = _measurable(judge, *all_tasks(records), options.metrics or METRICS)
    begin(out, plan_of(tasks, judge, seed=options.seed, repeats=options.repeats))
    grades = _grades(tasks, judge, out / "judgements.jsonl", options)
    scores = {
        **_facts(judge, paths, grades, options),
        **summarise(tasks, not_run, grades, judge=judge.name, repeats=options.repeats),
        "left_out": left_out(records),
        "reference_metrics": None,
    }
    write_json(out / "scores.json", scores)  # before anything that might fail
    if not options.no_reference_metrics:
        scores["reference_metrics"] = reference_metrics(records)
        write_json(out / "scores.json", scores)
    # All files are written before the first line is printed, because a reader such as `head` may close the pipe.
    report = write_score_report(out, videos=options.videos)
    show_scores(scores)
    print(f"written: {out / 'scores.json'}, every grade with its reply: {out / 'judgements.jsonl'}\nreport: {report}")
    if not scores["metrics_run"]:
        sys.stderr.write("error: no item was scored (reasons above)\n")
        return 1
    if too_many_unscored(scores["metrics"].values()):
        sys.stderr.write(f"{TOO_MANY}; take another judge, or run again, with --again for unreadable replies\n")
        return 1
    return 0


def _measurable(
    judge: Judge, tasks: list[Task], not_run: dict[str, str], metrics: Sequence[str]
) -> tuple[list[Task], dict[str, str]]:
    skipped = {metric: reason for metric in {task.metric for task in tasks} if (reason := judge.not_measured(metric))}
    skipped |= {metric: "not asked for (--metrics)" for metric in METRICS if metric not in metrics}
    return [task for task in tasks if task.metric not in skipped], not_run | skipped


def _grades(tasks: list[Task], judge: Judge, file: Path, options: argparse.Namespace) -> Grades:
    from rich.console import Console
    from rich.progress import Progress

    if options.repeats > 1 and options.temperature == 0:
        remedy = "an expectation has no chance in it" if options.score == EXPECTED else "see --temperature"
        sys.stderr.write(f"--repeats at temperature 0 shows only how steady the judge itself is; {remedy}\n")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"judge: {judge.name}", total=len(tasks) * options.repeats)
        settings = GradingSettings(file, options.workers, options.repeats, options.seed, options.again)
        return grade_all(tasks, judge, settings, advance=lambda count: progress.advance(bar, count))


def _facts(judge: Judge, paths: list[Path], grades: Grades, options: argparse.Namespace) -> dict[str, Any]:
    weights = {(record.get("digest"), record.get("quantisation")) for record in grades.values()}
    digest, quantisation = weights.pop() if len(weights) == 1 else (None, None)
    scores = [record["score"] for record in grades.values() if record["score"] is not None]
    kind = options.score if judge.has_prompts else None
    masses = [record["mass"] for record in grades.values() if record.get("mass") is not None]
    are_integers_asked = options.scores == "integer" and kind == SAMPLED
    last = max((record.get("time") or "" for record in grades.values()), default="")
    return {
        "judge": judge.name,
        "digest": digest,
        "quantisation": quantisation,
        "note": judge.note,
        "rubrics": judge.rubrics.digest,
        "server": None,
        "score_kind": kind,
        **judge.settings,
        "seed": options.seed,
        "decimals": sum(score != int(score) for score in scores) if are_integers_asked else None,
        "mass": {"mean": fmean(masses), "least": min(masses)} if masses else None,
        "predictions": [str(path) for path in paths],
        "time": last or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
