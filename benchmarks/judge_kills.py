"""Kill the judging command again and again, let it finish once, and count at the judge what it was asked twice.

    python -m benchmarks.judge_kills --kills 20

The judge is a test double behind real HTTP that keeps every request. Its grades follow from the prompt, so that all of
them, and every number, must come out as in a run that nobody disturbed. The kills are SIGKILLs of the real process
(`benchmarks/kills.py`). A grade that is on disk when a kill falls must never be asked for again; one that is on its way
then is asked for again, at most --workers of them a kill.
"""

import json
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.judge import made_up_records
from benchmarks.kills import killed, lines
from ski_lvlm.cli import parser, run
from ski_lvlm.storage.digests import digest_number
from ski_lvlm.storage.files import read_jsonl, write_json
from tests.cases.llm_server import Answer, chat_double

ROOT = Path(__file__).resolve().parents[1]

PAUSE = 0.05  # seconds that the judge thinks about a grade


class Grader:
    """A judge whose grades follow from the prompt, and who gives no more of them than allowed.

    Attributes:
        left: grades that it may still give. Whoever asks for another one waits for ever.
    """

    def __init__(self) -> None:
        self.left = math.inf
        self._lock = threading.Lock()

    def allow(self, grades: float) -> None:
        """Give so many grades from now on."""
        with self._lock:
            self.left = grades

    def __call__(self, request: dict[str, Any]) -> Answer:
        """Return the grade."""
        if "Say yes." in str(request["messages"]):
            return Answer("yes")
        with self._lock:
            self.left -= 1
            silent = self.left < 0
        answer = json.dumps({"score": digest_number(prompt_of_request(request), num_bytes=1) % 6})
        return Answer(answer, after=threading.Event()) if silent else Answer(answer, pause=PAUSE)


def prompt_of_request(request: dict[str, Any]) -> str:
    """What the judge was told, as one text."""
    return json.dumps([[message["role"], message["content"]] for message in request["messages"]])


def prompts_on_disk(ledger: Path) -> set[str]:
    """What the judge was told for the grades that are kept."""
    return {json.dumps(record["prompt"]) for record in read_jsonl(ledger)} if ledger.exists() else set()


def outcome(out: Path) -> tuple[dict[str, float], Any]:
    """The score of each grade by its id, and the numbers of the table."""
    grades = read_jsonl(out / "judgements.jsonl")
    twice = [key for key, times in Counter(grade["id"] for grade in grades).items() if times > 1]
    assert not twice, f"two grades of the same: {twice[:5]}"
    return {grade["id"]: grade["score"] for grade in grades}, json.loads((out / "scores.json").read_text())["metrics"]


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, finish, compare, count."""
    flags = parser(__doc__ or "")
    flags.add_argument("--items", type=int, default=200, help="made-up items, each graded by the five metrics")
    flags.add_argument("--kills", type=int, default=20, help="how often")
    flags.add_argument("--workers", type=int, default=8, help="requests at a time")
    flags.add_argument("--seed", type=int, default=0, help="decides the moments")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "judge_kills", help="a new folder")
    args = flags.parse_args(argv)
    if args.out.exists():
        raise ValueError(f"{args.out} exists; name a new folder with --out, or delete it")
    predictions, whole, out = args.out / "predictions.json", args.out / "whole", args.out / "killed"
    write_json(predictions, made_up_records(args.items))
    line = [sys.executable, str(ROOT / "eval" / "score.py"), "--predictions", str(predictions), "--judge"]
    ledger, counts, grader = out / "judgements.jsonl", list[int](), Grader()
    with chat_double(plan=grader, models=("double",)) as double:
        line += ["openai:double", "--base_url", f"{double.url}/v1", "--workers", str(args.workers)]
        line.append("--no_reference_metrics")
        subprocess.run([*line, "--out", str(whole)], stdout=subprocess.DEVNULL, check=True)
        total = lines(whole / "judgements.jsonl")
        before = len(double.requests)
        kept: list[tuple[int, set[str]]] = []  # requests until a kill, and what was on disk then
        for _ in killed(
            [*line, "--out", str(out)],
            lambda: lines(ledger),
            kills=args.kills,
            total=total,
            seed=args.seed,
            allow=grader.allow,
        ):
            time.sleep(2 * PAUSE)  # requests of the killed process still come in
            kept.append((len(double.requests), prompts_on_disk(ledger)))
            counts.append(lines(ledger))
        grader.allow(math.inf)
        assert not (out / "scores.json").exists() and 0 < counts[-1] < total, "a kill came too late"
        subprocess.run([*line, "--out", str(out)], stdout=subprocess.DEVNULL, check=True)
        asked = [prompt_of_request(request) for request in double.requests]
    for until, on_disk in kept:
        again = on_disk & set(asked[until:])
        assert not again, f"{len(again)} grades were asked for though they were on disk, such as {min(again)[:200]}"
    assert outcome(out) == outcome(whole), "the grades or the numbers differ"
    prompts = Counter(text for text in asked[before:] if "Say yes." not in text)
    assert len(prompts) == total, f"{len(prompts)} different prompts for {total} grades"
    on_their_way = prompts.total() - total
    assert on_their_way <= args.kills * args.workers, f"{on_their_way} requests too many"
    print(f"{args.kills} kills, grades on disk after each: {counts}; {total} at the end, none of them twice or lost")
    print(f"{prompts.total()} requests for {total} grades: {on_their_way} were on their way when a kill fell")
    print("no grade on disk was asked for again; the same grades and numbers as in a run that nobody disturbed")
    return 0


if __name__ == "__main__":
    run(main)
