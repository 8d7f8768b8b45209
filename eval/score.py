"""Grade captions by the five metrics of Video-ChatGPT (0 to 5, reported as mean x 20), with an LLM or offline.

    python eval/score.py --predictions predictions.json --judge llama3.1       # Ollama, also ollama:MODEL
    python eval/score.py --predictions predictions.json --judge openai:MODEL --base_url http://HOST:PORT/v1
    python eval/score.py --predictions predictions.json --judge hf:MODEL       # in this process
    python eval/score.py --predictions predictions.json --judge similarity     # offline; not the paper's judge
    python eval/score.py --predictions predictions.json --rubrics Video-ChatGPT    # published prompts, from a clone
    python eval/score.py --judge llama3.1 --ping                               # is the judge there?
    python eval/score.py --compare SCORES_A SCORES_B                           # two models on the same items
    python eval/score.py --agreement SCORES_A SCORES_B                         # two judges, or repeats of one
    python eval/score.py --aggregate FILE                                      # a published score file, or our own
    python eval/score.py --aggregate correctness=FILE detail=FILE ...          # one published file a metric
    python eval/score.py --predictions temporal.json --metrics temporal        # as Video-ChatGPT does with its files

Without --predictions the last quickstart's are graded. What is to be graded is written to OUT/plan.json first, every
grade to OUT/judgements.jsonl at once, and the table to OUT/scores.json last: a run that was interrupted goes on where
it stopped, and says that it is unfinished until then; a second run asks only for what failed. A reply that could not be
read is asked for again at a temperature above 0, or with --again: at 0 the same would come. A grade that is missing
counts as unscored, never as 0; the exit code is 1 when more than 1 % of a metric are unscored or nothing was scored.
With --scores integer a decimal that comes all the same is kept as it is, and counted. The similarity judge (MiniLM
cosine) is comparable with nothing but itself.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.items.predictions import PredictionsError, Task, all_tasks, left_out, read_predictions
from eval.judges.judge import open_judge
from eval.judges.judgement import Judge
from eval.judges.judging import judge_all
from eval.judges.rubrics import OWN_FILE, load_rubrics
from eval.judges.similarity_judge import SIMILARITY, SIMILARITY_NOTE
from eval.metrics import METRICS
from eval.pages.score_report import write_score_report
from eval.results.aggregate import summarise, too_many_unscored
from eval.results.plan import begin, plan_of
from eval.results.reference_metrics import reference_metrics
from eval.score_flags import arguments
from eval.score_table import TOO_MANY, show
from ski_lvlm.cli import run
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import only_process

ROOT = Path(__file__).resolve().parents[1]

QUICKSTART = ROOT / "runs" / "quickstart" / "predictions.json"
Grades = dict[str, dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> int:
    """Grade, write, print; 0 when at least 99 % of every metric were scored, else 1."""
    options = arguments(argv, description=__doc__ or "")
    if options.compare or options.agreement or options.aggregate:
        return _numbers(options)
    judge = _judge(options)
    if options.ping:
        info = judge.ping()
        print(
            f"{info.name} answers (digest {info.digest or 'not told'}, quantisation {info.quantisation or 'not told'})"
        )
        return 0
    paths = options.predictions or [_quickstart_predictions()]
    out = options.out or paths[0].parent / "scores"
    _check_folders(out, options.videos)
    with only_process(out):
        return _score(judge, paths, out, options)


def _numbers(options: argparse.Namespace) -> int:
    from eval.results.score_files import score_file
    from eval.score_commands import aggregate, agreement, compare

    if options.compare:
        first, second = options.compare
        return compare(first, second, options.out)
    if options.agreement:
        first, second = options.agreement
        return agreement(first, second, options.out)
    return aggregate([score_file(text) for text in options.aggregate], options.out)


def _judge(options: argparse.Namespace) -> Judge:
    return open_judge(
        options.judge,
        base_url=options.base_url,
        timeout=options.timeout,
        rubrics=load_rubrics(options.rubrics or OWN_FILE, scores=options.scores),
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        requests_per_minute=options.requests_per_minute,
    )


def _quickstart_predictions() -> Path:
    if not QUICKSTART.exists():
        raise PredictionsError(
            f"no --predictions given, and there is no {QUICKSTART} of a quickstart; make it with "
            "`bash scripts/quickstart.sh`, or name a file made by eval/describe.py"
        )
    sys.stderr.write(f"no --predictions given: grading the last quickstart's, {QUICKSTART}\n")
    return QUICKSTART


def _check_folders(out: Path, videos: Path | None) -> None:
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"--out {out} is a file; expected a folder for the results, or a name for a new one")
    if videos is not None and not videos.is_dir():
        raise NotADirectoryError(f"--videos {videos} is no folder; name the one with the videos, or leave the flag out")


def _score(judge: Judge, paths: list[Path], out: Path, options: argparse.Namespace) -> int:
    records = read_predictions(paths)
    tasks, not_run = _measurable(judge, *all_tasks(records), options.metrics or METRICS)
    begin(out, plan_of(tasks, judge, seed=options.seed, repeats=options.repeats))
    graded = _grade(tasks, judge, out / "judgements.jsonl", options)
    table = {
        **_about(judge, paths, graded, options),
        **summarise(tasks, not_run, graded, judge=judge.name, repeats=options.repeats),
        "left_out": left_out(records),
        "reference_metrics": None,
    }
    write_json(out / "scores.json", table)  # before anything that might fail
    if not options.no_reference_metrics:
        table["reference_metrics"] = reference_metrics(records)
        write_json(out / "scores.json", table)
    report = write_score_report(
        out, videos=options.videos
    )  # all files first: whoever reads what is printed may be gone
    show(table)
    print(f"written: {out / 'scores.json'}, every grade with its reply: {out / 'judgements.jsonl'}\nreport: {report}")
    if not table["metrics_run"]:
        sys.stderr.write("nothing was scored: not a result; the lines above say why\n")
        return 1
    if too_many_unscored(table["metrics"].values()):
        sys.stderr.write(f"{TOO_MANY}; take another judge, or run again, with --again for unread replies\n")
        return 1
    return 0


def _measurable(
    judge: Judge, tasks: list[Task], not_run: dict[str, str], wanted: Sequence[str]
) -> tuple[list[Task], dict[str, str]]:
    beyond = {metric: why for metric in {task.metric for task in tasks} if (why := judge.not_measured(metric))}
    beyond |= {metric: "not asked for (--metrics)" for metric in METRICS if metric not in wanted}
    return [task for task in tasks if task.metric not in beyond], not_run | beyond


def _grade(tasks: list[Task], judge: Judge, ledger: Path, options: argparse.Namespace) -> Grades:
    from rich.console import Console
    from rich.progress import Progress

    if options.repeats > 1 and options.temperature == 0:
        sys.stderr.write("--repeats at temperature 0 shows only how steady the judge itself is; see --temperature\n")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"judge: {judge.name}", total=len(tasks) * options.repeats)
        return judge_all(
            tasks,
            judge,
            ledger=ledger,
            workers=options.workers,
            repeats=options.repeats,
            seed=options.seed,
            again=options.again,
            advance=lambda count: progress.advance(bar, count),
        )


def _about(judge: Judge, paths: list[Path], graded: Grades, options: argparse.Namespace) -> dict[str, Any]:
    weights = {(record.get("digest"), record.get("quantisation")) for record in graded.values()}
    digest, quantisation = weights.pop() if len(weights) == 1 else (None, None)
    whole = options.scores == "integer" and judge.name != SIMILARITY
    scores = [record["score"] for record in graded.values() if record["score"] is not None]
    return {
        "judge": judge.name,
        "digest": digest,
        "quantisation": quantisation,
        "note": SIMILARITY_NOTE if judge.name == SIMILARITY else None,
        "rubrics": judge.rubrics.digest,
        "server": None,
        **judge.settings,
        "seed": options.seed,
        "decimals": sum(score != int(score) for score in scores) if whole else None,
        "predictions": [str(path) for path in paths],
        "time": max((record.get("time") or "" for record in graded.values()), default="") or _now(),  # the last grade's
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


if __name__ == "__main__":
    run(main)
