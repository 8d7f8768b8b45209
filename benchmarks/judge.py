"""Grades a second over HTTP, beside bare requests with the same prompts.

    python -m benchmarks.judge --items 100            # x 5 metrics, twice: some 20 minutes on two idle cores

llama.cpp's server with SmolLM2-135M runs in a process of its own. Its grades are worthless: the benchmark measures the
machinery. Both sides send the same prompts with the same schema, token limit and concurrency, in turns of some items
each, so that other load on the machine slows both alike. The second side of a turn meets a server that has the prompts
in memory, so the sides alternate in beginning, and the number of turns should be even.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.curate import start_server
from eval.items.predictions import Task, all_tasks
from eval.judges.grading import GradingSettings, grade_all
from eval.judges.judge import JudgeSettings
from eval.judges.open_judge import open_judge
from eval.judges.rubrics import OWN, messages
from ski_lvlm.cli import parser, run

ROOT = Path(__file__).resolve().parents[1]

MODEL = "smollm2"
ACTIONS = ("drinks water", "sits down", "reads a book", "makes a phone call", "puts on a jacket", "waves", "claps")


def made_up_records(items: int) -> list[dict[str, str]]:
    """Return predictions about as many videos that do not exist, with all that the five metrics need."""
    return [
        {
            "video_name": f"v{n}",
            "Q": "Describe the video in detail.",
            "A": f"Person {n} {ACTIONS[n % 7]} and then {ACTIONS[n // 7 % 7]}.",
            "pred": f"Somebody, number {n}, {ACTIONS[n % 5]}. Then the person {ACTIONS[n // 5 % 7]}.",
            "Q1": "What is happening?",
            "Q2": "What does the person do?",
            "pred1": f"Person {n} {ACTIONS[n % 5]}.",
            "pred2": f"Person {n} {ACTIONS[n % 3]}.",
        }
        for n in range(items)
    ]


def made_up_tasks(items: int) -> list[Task]:
    """Return five tasks for each of as many made-up items, item by item."""
    tasks, _ = all_tasks(made_up_records(items))
    return sorted(tasks, key=lambda task: int(task.key[1:].split("_")[0]))


def bare(client: Any, tasks: list[Task], *, workers: int, max_tokens: int) -> None:  # noqa: ANN401
    """Send the same requests through the openai package alone."""
    constraint = {"name": "reply", "schema": OWN.schema, "strict": True}

    def ask(task: Task) -> None:
        rubric = OWN.of(task.metric)
        assert rubric and task.fields
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": m.role, "content": m.text} for m in messages(rubric, task.fields)],
            max_tokens=max_tokens,
            temperature=0.0,
            seed=0,
            response_format={"type": "json_schema", "json_schema": constraint},
        )

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(ask, tasks))


def take_turns(sides: dict[str, Callable[[list[Task]], None]], turns: list[list[Task]]) -> dict[str, float]:
    """Return the seconds of each side over all turns."""
    seconds = dict.fromkeys(sides, 0.0)
    for number, tasks in enumerate(turns):
        for name in sorted(sides, reverse=bool(number % 2)):
            started = time.monotonic()
            sides[name](tasks)
            seconds[name] += time.monotonic() - started
        print(f"turn {number + 1} of {len(turns)}: " + ", ".join(f"{n} {s:.1f} s" for n, s in seconds.items()))
    return seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure."""
    flags = parser(__doc__ or "")
    flags.add_argument("--items", type=int, default=100, help="made-up items, each graded by the five metrics")
    flags.add_argument("--turn", type=int, default=10, help="items of a turn")
    flags.add_argument("--workers", type=int, default=4, help="requests at a time, of either side")
    flags.add_argument("--max_tokens", type=int, default=16, help="of a reply")
    args = flags.parse_args(argv)
    import openai

    tasks = made_up_tasks(args.items)
    size = args.turn * len(OWN.metrics)
    turns = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    server, url = start_server(args.workers)
    try:
        judge = open_judge(f"openai:{MODEL}", JudgeSettings(base_url=url, max_tokens=args.max_tokens))
        client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
        with tempfile.TemporaryDirectory() as folder:
            ledger, grades = Path(folder) / "judgements.jsonl", dict[str, dict[str, Any]]()
            judge.ping()  # loads what is loaded once, as the server's first reply does
            seconds = take_turns(
                {
                    "judged": lambda turn: grades.update(
                        grade_all(turn, judge, GradingSettings(ledger, workers=args.workers))
                    ),
                    "bare": lambda turn: bare(client, turn, workers=args.workers, max_tokens=args.max_tokens),
                },
                turns,
            )
    finally:
        server.communicate("")
    questions = sum(len(grade["replies"]) for grade in grades.values())
    assert questions == len(tasks), f"{questions} questions for {len(tasks)} grades: the sides did not do the same"
    for name, spent in seconds.items():
        print(f"{name:7} {len(tasks) / spent:6.2f} grades a second ({len(tasks)} in {spent:.1f} s)")
    print(f"judged / bare: {100 * seconds['bare'] / seconds['judged']:.1f} % of the bare speed")
    return 0


if __name__ == "__main__":
    run(main)
