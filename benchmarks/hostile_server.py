"""Build pairs with a server that fails at random, for thousands of requests: every clip must end done or rejected.

    python -m benchmarks.hostile_server --requests 2000

The server is a test double: 429 with and without Retry-After, 500, half a JSON, a closed connection, an empty text,
JSON of another schema, prose, and now and then the answer. The run is started again while its exit code is 1.
"""

import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.campaign import ROOT, RandomAnswers, new_folder, synthesize
from benchmarks.curate import command
from data_curation.ledger import read_manifest
from data_curation.questions.make_qa import ROUNDS
from ski_lvlm.cli import parser, run
from tests.cases.llm_server import Answer, chat_double

ATTEMPTS, PAIRS = 6, 2
WAYS = {
    "429": lambda: Answer(status=429, body=b'{"error": {"message": "slow down"}}'),
    "429, wait": lambda: Answer(status=429, body=b"{}", headers={"Retry-After": "0.2"}),
    "500": lambda: Answer(status=500, body=b"<html>oops</html>"),
    "half a JSON": lambda: Answer(body=b'{"id": "1", "choices": [{"mess'),
    "hangs up": lambda: Answer(hangs_up=True),
    "empty": lambda: Answer(""),
    "another schema": lambda: Answer(json.dumps({"result": {"items": [{"prompt": "What?", "reply": 3}]}})),
    "half a pair": lambda: Answer('{"pairs": [{"kind": "action", "question": "What is do'),
    "prose": lambda: Answer("I am sorry, but as an AI I cannot watch videos."),
}


def good_pairs(request: dict[str, Any], _: random.Random) -> Answer:
    """Return pairs that say what the caption says."""
    caption = str(request["messages"]).split("Account of the video:\\n")[1].split("\\n")[0]
    pairs = [
        {"kind": "detail", "question": "What happens in detail?", "answer": caption},
        {"kind": "action", "question": "What is being done here?", "answer": caption.split(". ")[0] + "."},
    ]
    return Answer(json.dumps({"pairs": pairs}))


def main(argv: Sequence[str] | None = None) -> int:
    """Run against it, and count."""
    flags = parser(__doc__ or "")
    flags.add_argument("--requests", type=int, default=2000, help="approximate number of requests")
    flags.add_argument("--seed", type=int, default=0, help="decides the server's answers")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "hostile", help="a new folder for clips and results")
    args = flags.parse_args(argv)
    ntu, out = args.out / "ntu", new_folder(args.out / "run")
    # two thirds of the clips are for training, and each takes about four requests
    synthesize(ntu, args.requests * 3 // 8, "--size", "256x144")
    start, codes = time.monotonic(), list[int]()
    answers = RandomAnswers(WAYS, good_pairs, seed=args.seed, pick=lambda draw: draw.choice([*WAYS, "good", "good"]))
    log = args.out / "errors.log"
    with chat_double(plan=answers, models=("hostile",)) as double, log.open("w") as errors:
        qa = ("--qa", "openai:hostile", "--base_url", f"{double.url}/v1", "--pairs_per_clip", str(PAIRS))
        line = command(ntu, out, *qa, "--part", "train", "--workers", "32", "--attempts", str(ATTEMPTS))
        while not codes or codes[-1] == 1:
            codes.append(subprocess.run(line, stdout=subprocess.DEVNULL, stderr=errors).returncode)
            print(f"run {len(codes)} ended with {codes[-1]} after {answers.counts.total()} requests")
    check(out, answers.counts.total(), runs=len(codes), code=codes[-1])
    print(f"{time.monotonic() - start:.0f} s; the server's answers: {dict(answers.counts.most_common())}")
    return 0


def check(out: Path, requests: int, *, runs: int, code: int) -> None:
    """Fail unless every clip is done, or rejected with a reason, within the bound of requests."""
    latest = {record["name"]: record for record in read_manifest(out, "qa")}
    ends = Counter(record["status"] for record in latest.values())
    captioned = sum(record["status"] == "done" for record in read_manifest(out, "captions"))
    assert code == 0 and len(latest) == captioned and set(ends) <= {"done", "rejected"}, (code, ends, captioned)
    assert all(record["reason"] for record in latest.values() if record["status"] == "rejected")
    bound = runs * len(latest) * ROUNDS * ATTEMPTS
    assert requests <= bound, (requests, bound)
    reasons = Counter(record["reason"] for record in latest.values() if record["status"] == "rejected")
    pairs = sum(len(record["pairs"]) for record in latest.values() if record["status"] == "done")
    print(f"{len(latest)} clips: {dict(ends)}, {pairs} pairs; {requests} requests of at most {bound}")
    print(f"rejected: {dict(reasons)}")


if __name__ == "__main__":
    run(main)
