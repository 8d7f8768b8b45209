"""Kill the judging command again and again from outside, let it finish once, and compare with a run nobody disturbed.

    python benchmarks/judge_kills.py --kills 10

The judge is the offline, deterministic one, so that every grade and every number must come out the same. The kills are
SIGKILLs of the real process, each after a number of grades that was drawn, and a random moment later.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.curation_kills import kill_often, lines  # noqa: E402
from benchmarks.judge import made_up_records  # noqa: E402
from ski_lvlm.cli import parser, run  # noqa: E402
from ski_lvlm.files import read_jsonl, write_json  # noqa: E402


def outcome(out: Path) -> tuple[dict[str, float], Any]:
    """The score of each grade by its id, and the numbers of the table."""
    grades = read_jsonl(out / "judgements.jsonl")
    twice = [key for key, times in Counter(grade["id"] for grade in grades).items() if times > 1]
    assert not twice, f"judged twice: {twice[:5]}"
    return {grade["id"]: grade["score"] for grade in grades}, json.loads((out / "scores.json").read_text())["metrics"]


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, finish, compare."""
    flags = parser(__doc__ or "")
    flags.add_argument("--items", type=int, default=200, help="made-up items")
    flags.add_argument("--kills", type=int, default=10, help="how often")
    flags.add_argument("--seed", type=int, default=0, help="decides the moments")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "judge_kills", help="a new folder")
    args = flags.parse_args(argv)
    if args.out.exists():
        raise ValueError(f"{args.out} exists; name a new folder with --out, or delete it")
    predictions, whole, out = args.out / "predictions.json", args.out / "whole", args.out / "killed"
    write_json(predictions, made_up_records(args.items))
    line = [sys.executable, str(ROOT / "eval" / "score.py"), "--predictions", str(predictions), "--judge", "similarity"]
    line.append("--no_reference_metrics")
    subprocess.run([*line, "--out", str(whole)], stdout=subprocess.DEVNULL, check=True)
    total = lines(whole)
    kill_often([*line, "--out", str(out)], out, kills=args.kills, total=total, seed=args.seed)
    assert not (out / "scores.json").exists() and 0 < lines(out) < total, "a kill came too late"
    subprocess.run([*line, "--out", str(out)], stdout=subprocess.DEVNULL, check=True)
    assert outcome(out) == outcome(whole), "the grades or the numbers differ"
    print(f"{args.kills} kills: {total} grades, none twice, none lost, the same numbers as in a run nobody disturbed")
    return 0


if __name__ == "__main__":
    run(main)
