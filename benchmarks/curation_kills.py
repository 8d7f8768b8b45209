"""Kill a curation run again and again from outside, let it finish once, and compare with one that nobody disturbed.

    python -m benchmarks.curation_kills --kills 20                  # template questions: every file must be byte-equal
    python -m benchmarks.curation_kills --kills 20 --server         # a real LLM server: none twice, none lost

The kills are SIGKILLs of the real process (`benchmarks/kills.py`).
"""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.curate import command, start_server
from benchmarks.kills import killed, lines
from data_curation.ledger import read_manifest
from ski_lvlm.cli import parser, run

ROOT = Path(__file__).resolve().parents[1]

MANIFESTS = ("crops", "captions", "qa")


def records(out: Path) -> int:
    """How many records the manifests have."""
    return sum(len(read_manifest(out, step)) for step in (*MANIFESTS, "replies"))


def written(out: Path) -> list[Path]:
    """The manifests' files."""
    return [out / f"{step}.jsonl" for step in (*MANIFESTS, "replies")]


def outputs(out: Path) -> dict[str, bytes]:
    """All files but the manifests, which hold times, and the page and summary, which show them."""
    files = [file for file in sorted(out.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in files
        if file.suffix != ".jsonl" and file.name not in ("report.html", "summary.json")
    }


def check_records(out: Path, whole: Path) -> None:
    """Every clip is final once in each step, as in the undisturbed run, and no request was answered twice."""
    for step in MANIFESTS:
        times = Counter(record["name"] for record in read_manifest(out, step))
        assert set(times.values()) == {1}, f"{step}: done twice: {[n for n, k in times.items() if k > 1][:5]}"
        assert times.keys() == {record["name"] for record in read_manifest(whole, step)}, f"{step}: clips differ"
    requests = Counter(record["request"] for record in read_manifest(out, "replies"))
    assert not requests or set(requests.values()) == {1}, "a request was paid for twice"


def main(argv: Sequence[str] | None = None) -> int:
    """Kill, finish, compare."""
    flags = parser(__doc__ or "")
    flags.add_argument("--clips", type=int, default=160, help="synthetic clips")
    flags.add_argument("--kills", type=int, default=20, help="how often")
    flags.add_argument("--seed", type=int, default=0, help="decides the moments")
    flags.add_argument("--server", action="store_true", help="ask a real LLM server for the pairs")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "kills", help="a new folder for clips and results")
    args = flags.parse_args(argv)
    ntu, whole, out = args.out / "ntu", args.out / "whole", args.out / "killed"
    if whole.exists() or out.exists():
        raise ValueError(f"{args.out} holds an earlier result; name a new folder with --out, or delete it")
    synthesize = str(ROOT / "data_curation" / "synthesize.py")
    subprocess.run([sys.executable, synthesize, "--out", str(ntu), "--clips", str(args.clips)], check=True)
    server, qa = None, ["--qa", "template", "--pairs_per_clip", "2"]
    if args.server:
        server, url = start_server(4)
        qa = ["--qa", "openai:smollm2", "--base_url", url, "--pairs_per_clip", "1", "--workers", "4"]
    try:
        started = time.monotonic()
        subprocess.run(command(ntu, whole, *qa), stdout=subprocess.DEVNULL, check=True)
        seconds = time.monotonic() - started
        total = lines(*written(whole))
        moments = killed(
            command(ntu, out, *qa), lambda: lines(*written(out)), kills=args.kills, total=total, seed=args.seed
        )
        counts = [records(out) for _ in moments]
        subprocess.run(command(ntu, out, *qa), stdout=subprocess.DEVNULL, check=True)
    finally:
        if server:
            server.communicate("")
    check_records(out, whole)
    print(f"undisturbed {seconds:.1f} s; {len(counts)} kills, records after each: {counts}, at the end {records(out)}")
    if not args.server:
        found, expected = outputs(out), outputs(whole)
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        differing = [name for name in found if found[name] != expected[name]]
        assert not differing, differing
        print(f"{len(found)} files are byte-equal to those of the undisturbed run")
    return 0


if __name__ == "__main__":
    run(main)
