"""Wall time and counts per step of a whole curation run with a real LLM server on this machine.

    python -m benchmarks.curate --clips 1000 --out runs/curate

llama.cpp's server with SmolLM2-135M runs in a process of its own. Its text is weak: the benchmark measures the
machinery. Captions are the offline ones (SmolLM2 sees no pictures). The counts of one step and the next must add up.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.campaign import ROOT, synthesize
from data_curation.ledger import read_manifest
from ski_lvlm.cli import parser, run

STEPS = {"crop": "crops", "caption": "captions", "qa": "qa"}
SERVER = """
import sys
from tests.cases.llm_server import llama_server
with llama_server(parallel=int(sys.argv[1]), context=1024 * int(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def start_server(parallel: int) -> tuple[subprocess.Popen[str], str]:
    """Start the server, which ends when its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(parallel)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def command(ntu: Path, out: Path, *flags: str) -> list[str]:
    """Return the command line of a run."""
    build = str(ROOT / "data_curation" / "build.py")
    return [sys.executable, build, "--ntu", str(ntu), "--out", str(out), "--captioner", "kinematics", *flags]


def report(out: Path, *, clips: int, seconds: float) -> None:
    """Print a row a step, and fail if a clip is lost between them."""
    summary = json.loads((out / "summary.json").read_text())
    steps = summary["steps"]
    print(f"{'step':10}{'in':>8}{'done':>8}{'rejected':>10}{'failed':>8}{'wall s':>9}{'items/s':>9}")
    for step, manifest in STEPS.items():
        row = steps[step]
        assert row["entered"] == row["done"] + row["rejected"] + row["failed"], row
        times = [datetime.fromisoformat(record["at"]) for record in read_manifest(out, manifest)]
        wall = (max(times) - min(times)).total_seconds()
        counts = f"{row['entered']:>8}{row['done']:>8}{row['rejected']:>10}{row['failed']:>8}"
        print(f"{step:10}{counts}{wall:>9.1f}{len(times) / max(wall, 1e-9):>9.1f}")
    assert steps["crop"]["entered"] == clips and steps["caption"]["entered"] == steps["crop"]["done"]
    tests = sum(number for file, number in summary["written"].items() if file.startswith("questions"))
    assert steps["qa"]["entered"] == steps["caption"]["done"] - tests
    print(f"whole command {seconds:.1f} s; written: {summary['written']}; asked: {summary['spent']}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure."""
    flags = parser(__doc__ or "")
    flags.add_argument("--clips", type=int, default=1000, help="synthetic clips")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "curate", help="folder for clips and results")
    flags.add_argument("--pairs_per_clip", type=int, default=1, help="pairs of each training clip")
    flags.add_argument("--parallel", type=int, default=8, help="requests that the server works on at a time")
    args = flags.parse_args(argv)
    ntu = args.out / "ntu"
    synthesize(ntu, args.clips)
    server, url = start_server(args.parallel)
    try:
        qa = ("--qa", "openai:smollm2", "--base_url", url, "--pairs_per_clip", str(args.pairs_per_clip))
        started = time.monotonic()
        code = subprocess.run(command(ntu, args.out / "run", *qa, "--workers", str(args.parallel))).returncode
        seconds = time.monotonic() - started
    finally:
        server.communicate("")
    # every clip of the synthetic set is for training or for testing, so none is left out
    report(args.out / "run", clips=args.clips, seconds=seconds)
    return code


if __name__ == "__main__":
    run(main)
