"""Kill the judging command at random moments, let it finish, and count the requests that the judge got twice.

    python -m benchmarks.judge_kills --kills 20

The judge is a test double behind real HTTP that records every request. Its grades follow from the prompt, so that all
of them, and every number, must be as in an undisturbed run. A grade that is on disk when a kill falls must never be
requested again. One that is under way is requested again: at most --workers of them for each kill.
"""

import json
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.campaign import ROOT, is_ping, new_folder, run_with_kills
from benchmarks.judge import made_up_records
from ski_lvlm.cli import parser, run
from ski_lvlm.storage.digests import digest_number
from ski_lvlm.storage.files import read_jsonl, write_json
from tests.cases.llm_server import Answer, chat_double

PAUSE = 0.05  # seconds that the judge takes for a grade


class Grader:
    """Judge whose grades follow from the prompt, and who gives only as many as allowed.

    Attributes:
        remaining: grades that it may still give. Further requests wait for ever.
    """

    def __init__(self) -> None:
        self.remaining = math.inf
        self._lock = threading.Lock()

    def allow(self, grades: float) -> None:
        """Allow a number of grades from now on."""
        with self._lock:
            self.remaining = grades

    def __call__(self, request: dict[str, Any]) -> Answer:
        """Return the grade."""
        if is_ping(request):
            return Answer("yes")
        with self._lock:
            self.remaining -= 1
            is_silent = self.remaining < 0
        answer = json.dumps({"score": digest_number(prompt_of_request(request), num_bytes=1) % 6})
        return Answer(answer, after=threading.Event()) if is_silent else Answer(answer, pause=PAUSE)


def prompt_of_request(request: dict[str, Any]) -> str:
    """Return the prompt as one text."""
    return json.dumps([[message["role"], message["content"]] for message in request["messages"]])


def ledger(out: Path) -> Path:
    """Return the file of the grades."""
    return out / "judgements.jsonl"


def prompts_on_disk(out: Path) -> set[str]:
    """Return the prompts of the grades on disk."""
    return {json.dumps(record["prompt"]) for record in read_jsonl(ledger(out))} if ledger(out).exists() else set()


def outcome(out: Path) -> tuple[dict[str, float], Any]:
    """Return the score of each grade by its id, and the numbers of the table."""
    grades = read_jsonl(ledger(out))
    doubles = [key for key, times in Counter(grade["id"] for grade in grades).items() if times > 1]
    assert not doubles, f"two grades of the same: {doubles[:5]}"
    return {grade["id"]: grade["score"] for grade in grades}, json.loads((out / "scores.json").read_text())["metrics"]


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, finish, compare, count."""
    flags = parser(__doc__ or "")
    flags.add_argument("--items", type=int, default=200, help="made-up items, each graded by the five metrics")
    flags.add_argument("--kills", type=int, default=20, help="number of kills")
    flags.add_argument("--workers", type=int, default=8, help="requests at a time")
    flags.add_argument("--seed", type=int, default=0, help="decides the moments")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "judge_kills", help="a new folder")
    args = flags.parse_args(argv)
    predictions = new_folder(args.out) / "predictions.json"
    write_json(predictions, made_up_records(args.items))
    grader = Grader()
    kills: list[tuple[int, set[str]]] = []  # requests until a kill, and the prompts on disk then
    with chat_double(plan=grader, models=("double",)) as double:
        line = [sys.executable, str(ROOT / "eval" / "score.py"), "--predictions", str(predictions)]
        line += ["--judge", "openai:double", "--base_url", f"{double.url}/v1", "--workers", str(args.workers)]

        def after_kill(out: Path) -> None:
            time.sleep(2 * PAUSE)  # requests of the killed process still come in
            assert not (out / "scores.json").exists(), "a kill came too late"
            kills.append((len(double.requests), prompts_on_disk(out)))

        runs = run_with_kills(
            lambda out: [*line, "--no_reference_metrics", "--out", str(out)],
            args.out,
            files=lambda out: [ledger(out)],
            kills=args.kills,
            seed=args.seed,
            after_kill=after_kill,
            allow=grader.allow,
        )
        prompts = [prompt_of_request(request) for request in double.requests]
    for until, on_disk in kills:
        again = on_disk & set(prompts[until:])
        assert not again, f"{len(again)} grades were requested though they were on disk, such as {min(again)[:200]}"
    assert outcome(runs.killed) == outcome(runs.whole), "the grades or the numbers differ"
    times = Counter(text for text in prompts if "Say yes." not in text)
    assert len(times) == runs.total, f"{len(times)} different prompts for {runs.total} grades"
    requests = times.total() - runs.total  # without those of the undisturbed run
    under_way = requests - runs.total
    assert under_way <= args.kills * args.workers, f"{under_way} requests too many"
    counts = [len(on_disk) for _, on_disk in kills]
    print(
        f"{args.kills} kills, grades on disk after each: {counts}; {runs.total} at the end, none of them twice or lost"
    )
    print(f"{requests} requests for {runs.total} grades: {under_way} were under way when a kill fell")
    print("no grade on disk was requested again; the same grades and numbers as in an undisturbed run")
    return 0


if __name__ == "__main__":
    run(main)
