"""Grade a thousand items by a judge that fails at random: the counts must add up, and the run must end.

    python -m benchmarks.hostile_judge --items 1000

The judge is a test double: 429 with and without Retry-After, 500, half a JSON, a closed connection, silence, an empty
text, words, other scales, two scores, null, and now and then a grade. The real command runs until its exit code is 0,
at most --runs times: each run must only request what is unscored, and report it with exit code 1. It runs with --again,
since this judge may answer the same question differently although the temperature is 0.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.campaign import ROOT, RandomAnswers, new_folder
from benchmarks.judge import made_up_records
from eval.judges.score_reading import SampledScore
from ski_lvlm.cli import parser, run
from ski_lvlm.storage.files import read_jsonl, write_json
from tests.cases.llm_server import Answer, chat_double

ATTEMPTS = 4  # of `ChatClient`
TIMEOUT = 1.0  # seconds that the command waits for a reply

WAYS: dict[str, Callable[[], Answer]] = {
    "429": lambda: Answer(status=429, body=b'{"error": {"message": "slow down"}}', headers={"Retry-After": "0.02"}),
    "429, come tomorrow": lambda: Answer(status=429, body=b"{}", headers={"Retry-After": "86400"}),
    "500": lambda: Answer(status=500, body=b"<html>oops</html>", headers={"Retry-After": "0.02"}),
    "400": lambda: Answer(status=400, body=b'{"error": {"message": "content policy"}}'),
    "half a JSON": lambda: Answer(body=b'{"id": "1", "choices": [{"mess', headers={"Retry-After": "0.02"}),
    "no choices": lambda: Answer(body=b'{"id": "1", "choices": []}'),
    "no JSON": lambda: Answer(body=b"\xff\xfe\x00"),
    "empty": lambda: Answer(""),
    "prose": lambda: Answer("I am sorry, but as an AI I cannot watch videos."),
    "a word": lambda: Answer("four"),
    "another scale": lambda: Answer("Score: 8/10"),
    "too much": lambda: Answer('{"score": 45}'),
    "negative": lambda: Answer('{"score": -1}'),
    "NaN": lambda: Answer('{"score": NaN}'),
    "null": lambda: Answer('{"score": null}'),
    "two scores": lambda: Answer("score: 2. No, wait, score: 4"),
    "another key": lambda: Answer('{"points": 4}'),
    "a thought without end": lambda: Answer("<think>score: 4? " * 200),
    "a flood": lambda: Answer("score: " * 20_000),
    "a true grade as prose": lambda: Answer("**Score:** 3/5"),
}
SLOW: dict[str, Callable[[], Answer]] = {  # each costs a time-out or a growing pause
    "silence": lambda: Answer(pause=2 * TIMEOUT),
    "hangs up": lambda: Answer(hangs_up=True),
}


def check(out: Path, items: int, code: int) -> int:
    """Fail unless the table agrees with the file of grades. Return the number of missing grades."""
    table = json.loads((out / "scores.json").read_text())["metrics"]
    last = {record["id"]: record for record in read_jsonl(out / "judgements.jsonl")}
    missing = 0
    for metric, row in table.items():
        grades = [record for record in last.values() if record["metric"] == metric]
        scored = sum(record["score"] is not None for record in grades)
        assert row["n_total"] == items == len(grades) and row["n_scored"] == scored == sum(row["histogram"]), metric
        assert sum(row["unscored"].values()) == items - scored, metric
        assert all(bool(record["reason"]) == (record["score"] is None) for record in grades), metric
        missing += items - scored
    worst = max(row["n_total"] - row["n_scored"] for row in table.values())
    assert code == (1 if worst > 0.01 * items else 0), (code, worst)
    return missing


def main(argv: Sequence[str] | None = None) -> int:
    """Run against it, and count."""
    flags = parser(__doc__ or "")
    flags.add_argument("--items", type=int, default=1000, help="made-up items, each to be graded by the five metrics")
    flags.add_argument("--runs", type=int, default=12, help="maximum number of runs of the command")
    flags.add_argument("--workers", type=int, default=32, help="requests at a time")
    flags.add_argument("--slow", type=float, default=0.01, help="share of requests that end in silence or a hang-up")
    flags.add_argument("--seed", type=int, default=0, help="decides the judge's answers")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "hostile_judge", help="a new folder")
    args = flags.parse_args(argv)
    predictions, out = new_folder(args.out) / "predictions.json", args.out / "scores"
    write_json(predictions, made_up_records(args.items))

    def pick(draw: random.Random) -> str:
        ways = SLOW if draw.random() < args.slow else WAYS
        return draw.choice([*ways, *["good"] * (len(ways) // 2)])

    def good(_: object, draw: random.Random) -> Answer:
        return Answer(json.dumps({"score": draw.randrange(6)}))

    start, answers = time.monotonic(), RandomAnswers(WAYS | SLOW, good, seed=args.seed, pick=pick)
    with chat_double(plan=answers, models=("hostile",)) as double:
        line = [sys.executable, str(ROOT / "eval" / "score.py"), "--predictions", str(predictions)]
        line += ["--judge", "openai:hostile", "--base_url", f"{double.url}/v1", "--workers", str(args.workers)]
        line += ["--timeout", str(TIMEOUT), "--out", str(out), "--no_reference_metrics", "--again"]
        code, runs, missing = 1, 0, 5 * args.items
        while code == 1 and runs < args.runs:
            before = answers.counts.total()
            code = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
            runs, requests, bound = runs + 1, answers.counts.total() - before, missing * SampledScore.asks * ATTEMPTS
            assert code in (0, 1) and missing <= requests <= bound, (code, missing, requests, bound)
            missing = check(out, args.items, code)
            print(f"run {runs}: exit code {code}, {requests} requests of at most {bound}, {missing} grades missing")
    print(f"{time.monotonic() - start:.0f} s; the judge's answers: {dict(answers.counts.most_common())}")
    return code


if __name__ == "__main__":
    run(main)
