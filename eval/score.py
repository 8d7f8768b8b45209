"""Grade captions by the five metrics of Video-ChatGPT (0 to 5, reported as mean x 20), with an LLM or offline.

    python eval/score.py --predictions predictions.json --judge llama3.1       # Ollama, also ollama:MODEL
    python eval/score.py --predictions predictions.json --judge openai:MODEL --base_url http://HOST:PORT/v1
    python eval/score.py --predictions predictions.json --judge similarity     # offline; not the paper's judge
    python eval/score.py --judge llama3.1 --ping                               # is the judge there?

Without --predictions the last quickstart's are graded. Every grade is written to OUT/judgements.jsonl at once: a run
that was interrupted goes on where it stopped, and a second run asks the judge nothing. A grade that is missing counts
as unscored, never as 0; the exit code is 1 when more than 1 % are unscored. The similarity judge (MiniLM cosine) is
comparable with nothing but itself.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from eval.aggregate import summarise, too_many_unscored  # noqa: E402
from eval.judge import SIMILARITY, SIMILARITY_NOTE, Judge, open_judge  # noqa: E402
from eval.judging import judge_all  # noqa: E402
from eval.predictions import PredictionsError, Task, all_tasks, read_predictions  # noqa: E402
from eval.rubrics import rubric_hash  # noqa: E402
from ski_lvlm.cli import parser, run  # noqa: E402
from ski_lvlm.files import write_json  # noqa: E402

QUICKSTART = ROOT / "runs" / "quickstart" / "predictions.json"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.add_argument("--predictions", type=Path, nargs="+", action="extend", help="files made by eval/describe.py")
    flags.add_argument("--judge", default="llama3.1", help="MODEL or ollama:MODEL, openai:MODEL, or similarity")
    flags.add_argument("--base_url", help="address of the judge's server, e.g. http://127.0.0.1:8000/v1")
    flags.add_argument(
        "--out", type=Path, help="folder for judgements.jsonl and scores.json; default: scores/ beside them"
    )
    flags.add_argument("--workers", type=int, default=4, help="records that are with the judge at a time")
    flags.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for one reply")
    flags.add_argument("--ping", action="store_true", help="only check that the judge is there")
    options = flags.parse_args(argv)
    if options.workers < 1:
        flags.error(f"--workers {options.workers}: expected 1 or more")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Grade, write, print; 0 when at least 99 % of every metric were scored, else 1."""
    options = _arguments(argv)
    if options.ping:
        info = open_judge(options.judge, base_url=options.base_url, timeout=options.timeout).ping()
        print(
            f"{info.name} answers (digest {info.digest or 'not told'}, quantisation {info.quantisation or 'not told'})"
        )
        return 0
    paths = options.predictions or [_quickstart_predictions()]
    out = options.out or paths[0].parent / "scores"
    tasks, not_run = all_tasks(read_predictions(paths))
    judge = open_judge(options.judge, base_url=options.base_url, timeout=options.timeout)
    tasks, not_run = _measurable(judge, tasks, not_run)
    graded = _grade(tasks, judge, out / "judgements.jsonl", options.workers)
    table = {**_about(judge.name, paths, graded), **summarise(tasks, not_run, graded, judge=judge.name)}
    write_json(out / "scores.json", table)
    _show(table)
    print(f"written: {out / 'scores.json'}, every grade with its reply: {out / 'judgements.jsonl'}")
    if too_many_unscored(table["metrics"].values()):
        sys.stderr.write("more than 1 % of the records are unscored: not a result; run again or take another judge\n")
        return 1
    return 0


def _quickstart_predictions() -> Path:
    if not QUICKSTART.exists():
        raise PredictionsError(
            f"no --predictions given, and there is no {QUICKSTART} of a quickstart; make it with "
            "`bash scripts/quickstart.sh`, or name a file made by eval/describe.py"
        )
    print(f"no --predictions given: grading the last quickstart's, {QUICKSTART}")
    return QUICKSTART


def _measurable(judge: Judge, tasks: list[Task], not_run: dict[str, str]) -> tuple[list[Task], dict[str, str]]:
    beyond = {metric: why for metric in {task.metric for task in tasks} if (why := judge.not_measured(metric))}
    return [task for task in tasks if task.metric not in beyond], not_run | beyond


def _grade(tasks: list[Task], judge: Judge, ledger: Path, workers: int) -> dict[str, dict[str, Any]]:
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        bar = progress.add_task(f"judge: {judge.name}", total=len(tasks))
        return judge_all(tasks, judge, ledger=ledger, workers=workers, advance=lambda: progress.advance(bar))


def _about(judge: str, paths: list[Path], graded: dict[str, dict[str, Any]]) -> dict[str, Any]:
    weights = {(record.get("digest"), record.get("quantisation")) for record in graded.values()}
    digest, quantisation = weights.pop() if len(weights) == 1 else (None, None)
    return {
        "judge": judge,
        "digest": digest,
        "quantisation": quantisation,
        "note": SIMILARITY_NOTE if judge == SIMILARITY else None,
        "rubrics": rubric_hash(),
        "predictions": [str(path) for path in paths],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _show(table: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("metric", "score (0-100)", "scored", "with unscored as 0", title=f"judge: {table['judge']}")
    for name, metric in table["metrics"].items():
        if metric["status"] == "run":
            scored = f"{metric['n_scored']} of {metric['n_total']}"
            shown.add_row(name, _number(metric["mean"]), scored, _number(metric["mean_unscored_as_0"]))
        else:
            shown.add_row(name, "not run", "", "")
    if table["average"] is not None:
        shown.add_row("average of the five", _number(table["average"]), "", "")
    elif table["average_of_run"] is not None:
        shown.add_row(f"average of the {table['metrics_run']} run", _number(table["average_of_run"]), "", "")
    console = Console()
    console.print(shown)
    for name, metric in table["metrics"].items():
        reasons = [f"{count} unscored: {why}" for why, count in metric.get("unscored", {}).items()]
        for reason in reasons or ([metric["reason"]] if metric["status"] != "run" else []):
            console.print(f"{name}: {reason}", markup=False, highlight=False)
    if table["note"]:
        console.print(table["note"], style="yellow")


def _number(value: float | None) -> str:
    return "unscored" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    run(main)
