"""Kill a curation run at random moments, let it finish, and compare it with an undisturbed run.

python -m benchmarks.curation_kills --kills 20           # template questions: every file must be byte-equal
python -m benchmarks.curation_kills --kills 20 --server  # a real LLM server: no record twice, none lost
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.campaign import ROOT, count_records, new_folder, run_with_kills, synthesize
from benchmarks.curate import command, start_server
from data_curation.ledger import read_manifest
from ski_lvlm.cli import parser, run

MANIFESTS = ("crops", "captions", "qa")


def written(out: Path) -> list[Path]:
    """Return the manifests' files."""
    return [out / f"{step}.jsonl" for step in (*MANIFESTS, "replies")]


def outputs(out: Path) -> dict[str, bytes]:
    """Return all files but the manifests, which hold times, and the page and summary, which show them."""
    files = [file for file in sorted(out.rglob("*")) if file.is_file() and not file.name.startswith(".")]
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in files
        if file.suffix != ".jsonl" and file.name not in ("report.html", "summary.json")
    }


def check_records(out: Path, whole: Path) -> None:
    """Fail unless each step has every clip of the undisturbed run once, and each request has one answer."""
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
    flags.add_argument("--kills", type=int, default=20, help="number of kills")
    flags.add_argument("--seed", type=int, default=0, help="decides the moments")
    flags.add_argument("--server", action="store_true", help="ask a real LLM server for the pairs")
    flags.add_argument("--out", type=Path, default=ROOT / "runs" / "kills", help="a new folder for clips and results")
    args = flags.parse_args(argv)
    new_folder(args.out / "whole")
    synthesize(args.out / "ntu", args.clips)
    server, qa = None, ["--qa", "template", "--pairs_per_clip", "2"]
    if args.server:
        server, url = start_server(4)
        qa = ["--qa", "openai:smollm2", "--base_url", url, "--pairs_per_clip", "1", "--workers", "4"]
    counts: list[int] = []
    try:
        runs = run_with_kills(
            lambda out: command(args.out / "ntu", out, *qa),
            args.out,
            files=written,
            kills=args.kills,
            seed=args.seed,
            after_kill=lambda out: counts.append(count_records(*written(out))),
        )
    finally:
        if server:
            server.communicate("")
    out, whole = runs.killed, runs.whole
    check_records(out, whole)
    print(
        f"undisturbed {runs.seconds:.1f} s; {len(counts)} kills, records after each: {counts}, at the end "
        f"{count_records(*written(out))}"
    )
    if not args.server:
        files, expected = outputs(out), outputs(whole)
        assert files.keys() == expected.keys(), files.keys() ^ expected.keys()
        differing = [name for name in files if files[name] != expected[name]]
        assert not differing, differing
        print(f"{len(files)} files are byte-equal to those of the undisturbed run")
    return 0


if __name__ == "__main__":
    run(main)
