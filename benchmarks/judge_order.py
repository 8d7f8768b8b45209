"""Measure whether a judge gives the better of two predictions the higher grade, on pairs with a known order.

    python -m benchmarks.judge_order --judge llama3.1                          # 40 pairs for each of the five metrics
    python -m benchmarks.judge_order --judge llama3.1 --score expected
    python -m benchmarks.judge_order --judge openai:MODEL --base_url http://127.0.0.1:8080/v1 --pairs 20

References and predictions come from the exact facts of the synthetic world's clips. No video is made. A good prediction
tells all facts in other words. A bad one has one fault: another action, object, count or order, an invented thing, less
detail, or a contradiction between two answers. Half of the bad ones are in the reference's own words. Sentence
similarity grades the same pairs, for comparison. OUT keeps each grade, so the same command resumes. Run it on your
judge before you believe its scores.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.order_numbers import GradedPair, graded_pairs, order_row
from benchmarks.order_pairs import FAULTS, Pair, pairs
from eval.judges.grading import GradingSettings, grade_all
from eval.judges.judge import Judge, JudgeSettings
from eval.judges.open_judge import JUDGE_NAMES, judge_class, open_judge
from eval.judges.rubrics import OWN_FILE, load_rubrics
from eval.judges.score_reading import EXPECTED, SAMPLED
from eval.metrics import METRICS
from eval.pages.score_report import is_papers_judge
from eval.pages.table_3 import PAPER_JUDGE
from ski_lvlm.cli import expect_at_least, parser, progress, run
from ski_lvlm.storage.files import write_json

SIMILARITY = "similarity"


def main(argv: Sequence[str] | None = None) -> int:
    """Grade the pairs, and print and write the numbers. Returns 0."""
    args = _arguments(argv)
    every_pair = [pair for metric in args.metrics for pair in pairs(metric, args.pairs, seed=args.seed)]
    names = list(dict.fromkeys([args.judge, SIMILARITY]))
    rows = {name: _rows(_judge(name, args), every_pair, args) for name in names}
    for name, by_metric in rows.items():
        kind = f", {args.score} scores" if judge_class(name).has_prompts else ""
        print(f"\n{name}{kind}, {args.pairs} pairs a metric, seed {args.seed}")
        print("\n".join(_table(by_metric)))
        if not is_papers_judge(name):
            print(f"{name} is not the paper's judge, {PAPER_JUDGE}")
    settings = {"judge": args.judge, "score": args.score, "pairs": args.pairs, "seed": args.seed}
    write_json(args.out / "order.json", {**settings, "judges": rows})
    print(f"written: {args.out / 'order.json'}")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.add_argument("--judge", default="llama3.1", help=f"one of {JUDGE_NAMES}, as in eval/score.py")
    flags.add_argument("--base_url", help="address of the judge's server")
    flags.add_argument("--score", choices=(SAMPLED, EXPECTED), default=SAMPLED, help="as in eval/score.py")
    flags.add_argument("--rubrics", type=Path, help="questions to the judge, as in eval/score.py")
    flags.add_argument("--metrics", nargs="+", choices=METRICS, default=list(METRICS), help="grade only these")
    flags.add_argument("--pairs", type=int, default=40, help="pairs for each metric, evenly over its kinds of faults")
    flags.add_argument("--seed", type=int, default=0, help="seed of the clips and faults")
    flags.add_argument("--workers", type=int, default=1, help="grades at a time")
    flags.add_argument("--timeout", type=float, default=300.0, help="seconds to wait for one reply")
    flags.add_argument("--out", type=Path, default=Path("runs/judge_order"), help="folder for grades and numbers")
    args = flags.parse_args(argv)
    expect_at_least(flags, args, pairs=1, workers=1, timeout=0.001)
    return args


def _judge(name: str, args: argparse.Namespace) -> Judge:
    rubrics = load_rubrics(args.rubrics or OWN_FILE, scores="digit" if args.score == EXPECTED else "integer")
    settings = JudgeSettings(base_url=args.base_url, timeout=args.timeout, rubrics=rubrics, score_kind=args.score)
    return open_judge(name, settings)


def _rows(judge: Judge, every_pair: Sequence[Pair], args: argparse.Namespace) -> dict[str, Any]:
    """Return the numbers of each metric and of each of its kinds of faults."""
    args.out.mkdir(parents=True, exist_ok=True)
    measured_pairs = [pair for pair in every_pair if judge.not_measured(pair.metric) is None]
    tasks = [task for pair in measured_pairs for task in pair.tasks()]
    file = args.out / f"{judge.name.replace('/', '_').replace(':', '_')}.jsonl"
    with progress(judge.name, total=len(tasks)) as advance:
        grades = grade_all(tasks, judge, GradingSettings(file, workers=args.workers), advance=advance)
    scored_pairs = graded_pairs(measured_pairs, grades, judge=judge.name)
    return {metric: _metric_rows(metric, measured_pairs, scored_pairs) for metric in args.metrics}


def _metric_rows(metric: str, every_pair: Sequence[Pair], scored_pairs: Sequence[GradedPair]) -> dict[str, Any]:
    """Return the numbers of all pairs of a metric, by the words of the worse prediction, and by fault."""
    kinds: dict[str, Callable[[Pair], bool]] = {
        "all": lambda _: True,
        "in the better one's words": lambda pair: not pair.is_near,
        "in the reference's words": lambda pair: pair.is_near,
        **{fault: partial(_has_fault, fault) for fault in FAULTS[metric]},
    }
    of_metric = [pair for pair in every_pair if pair.metric == metric]
    graded = [pair for pair in scored_pairs if pair.pair.metric == metric]
    return {
        kind: order_row([g for g in graded if belongs(g.pair)], total=sum(map(belongs, of_metric)))
        for kind, belongs in kinds.items()
    }


def _has_fault(fault: str, pair: Pair) -> bool:
    return pair.fault == fault


def _table(rows: Mapping[str, Any]) -> list[str]:
    """Return a Markdown table."""
    lines = ["| metric | the worse one | scored | AUC | right order | ties | good | bad |"]
    lines.append("|---|---|---:|---|---|---:|---:|---:|")
    for metric, kinds in rows.items():
        lines += [_line(metric if kind == "all" else "", kind, row) for kind, row in kinds.items()]
    return lines


def _line(metric: str, kind: str, row: Mapping[str, Any]) -> str:
    if not row["scored"]:
        return f"| {metric} | {kind} | 0 of {row['pairs']} | – | – | – | – | – |"
    numbers = " | ".join(f"{row[name]:.2f}{_ends(row[f'{name}_interval'])}" for name in ("auc", "right"))
    counts, means = f"{row['scored']} of {row['pairs']}", f"{row['good']:.2f} | {row['bad']:.2f}"
    return f"| {metric} | {kind} | {counts} | {numbers} | {row['ties']} | {means} |"


def _ends(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})"


if __name__ == "__main__":
    run(main)
