"""Check an NTU RGB+D folder, clean its skeletons, and pack them into one file that training maps into memory.

    python scripts/prepare_ntu.py --ntu /data/ntu --out prepared
    python scripts/prepare_ntu.py --import_from NTU120_CSub.npz --out prepared
    python scripts/prepare_ntu.py --import_from my_skeletons/ --layout kinect-20 --out prepared

The folder holds .skeleton files, directly or in skeletons/ or nturgb+d_skeletons/, and if you like videos in rgb/.
Damaged files are listed and left out. What was found is printed and kept in report.json. The same command goes on
where it was stopped, and does nothing when nothing has changed.
"""

import argparse
import json
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.ntu import is_train, missing_skeletons, names_with_skeleton, parse_name
from ski_lvlm.datasets.ntu_folder import NtuFolder, compare, find_files, fingerprint
from ski_lvlm.datasets.skeleton_import import import_skeletons
from ski_lvlm.skeletons.cleaning import CLEANING, CleaningError, clean
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.ntu_file import SkeletonFileError, read_skeleton
from ski_lvlm.skeletons.packed import PackedSkeletons, PackedWriter, Prepared
from ski_lvlm.storage.files import write_json

_CLIPS_BETWEEN_CHECKPOINTS = 200
_PROTOCOLS = {"ntu60": ("xsub", "xview"), "ntu120": ("xsub", "xset"), "synthetic": ("synthetic",)}
_EXPLAINED = {
    "on_missing_list": "on NTU's list of missing skeletons, left out",
    "not_of_this_dataset": "clips that the data set does not have, left out",
    "absent": "clips of the data set that are not in the folder",
    "skeleton_without_video": "skeletons without video",
    "video_without_skeleton": "videos without skeleton",
    "misnamed": "files without an NTU clip name, left out",
    "bad": "damaged or empty skeleton files, left out",
}


def prepare_clip(path: Path) -> Prepared:
    """Read and clean one file; a file that cannot be used is a result, not an error."""
    try:
        return Prepared(path.stem, clean(read_skeleton(path, joints_only=True)).joints)
    except (SkeletonFileError, CleaningError, OSError) as error:
        return Prepared(path.stem, None, str(error))


def prepare_all(paths: Sequence[Path], workers: int) -> Generator[Prepared, None, None]:
    """Prepare many clips in the given order, in `workers` processes."""
    if workers <= 1:
        yield from map(prepare_clip, paths)
        return
    try:
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(prepare_clip, paths, chunksize=32)
    except BrokenProcessPool as error:
        raise OSError("a worker process was killed, perhaps for want of memory; try fewer --workers") from error


def pack(writer: PackedWriter, clips: Iterable[Prepared], progress: Callable[[], None]) -> dict[str, str]:
    """Write what can be used; return the problems of the rest by clip."""
    problems = {}
    for number, clip in enumerate(clips, start=1):
        if clip.joints is None:
            problems[clip.name] = clip.problem
        else:
            writer.add(clip.name, clip.joints)
        if number % _CLIPS_BETWEEN_CHECKPOINTS == 0:
            writer.checkpoint()
        progress()
    return problems


def prepare_folder(found: NtuFolder, out: Path, *, dataset: str, workers: int, console: Console) -> dict:
    """Pack the folder's usable skeletons into `out` and report what was found."""
    lists: dict[str, list[str]] = compare(found, dataset)
    excluded = {*lists["on_missing_list"], *lists["not_of_this_dataset"]}
    paths = [path for name, path in found.skeletons.items() if name not in excluded]
    source = fingerprint(list(found.skeletons.values()), dataset, CLEANING)
    earlier = _earlier_report(out, source)
    if earlier:
        console.print(f"{out}: nothing has changed, the packed set is kept")
        return earlier | lists  # videos may have come or gone since
    with PackedWriter(out, layout=layout_named("ntu-25"), cleaning=CLEANING, source=source) as writer:
        done = set(writer.names)
        with _progress(console) as bar:
            task = bar.add_task("skeletons", total=len(paths), completed=len(done))
            remaining = [path for path in paths if path.stem not in done]
            with closing(prepare_all(remaining, workers)) as clips:  # on an error, start no further file
                problems = pack(writer, clips, lambda: bar.advance(task))
        _require_clips(writer, problems, found.folder)
    report = {"source": source, "folder": str(found.folder), "dataset": dataset, "files": len(found.skeletons)}
    report |= _contents(PackedSkeletons.open(out), dataset) | {"bad": problems} | lists
    write_json(out / "report.json", report)
    return report


def _require_clips(writer: PackedWriter, problems: dict[str, str], source: Path) -> None:
    if not writer.names:
        first = next(iter(problems.values()), "all of them are on NTU's list of missing skeletons")
        raise ValueError(f"{source}: no skeleton in it can be used; the first problem is: {first}")


def _earlier_report(out: Path, source: str) -> dict | None:
    """The report of an earlier run on the same files, if its set is whole."""
    try:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        packed = PackedSkeletons.open(out)
    except (OSError, ValueError):
        return None
    return report if report.get("source") == packed.source == source else None


def _contents(packed: PackedSkeletons, dataset: str) -> dict:
    trained = {p: sum(is_train(name, p) for name in packed.names) for p in _PROTOCOLS[dataset]}  # type: ignore[arg-type]
    return {
        "prepared": len(packed),
        "frames": sum(packed.num_frames(name) for name in packed.names),
        "two_persons": sum(packed.get(name).shape[1] == 2 for name in packed.names),
        "actions": len({parse_name(name).action for name in packed.names}),
        "protocols": {p: {"train": count, "test": len(packed) - count} for p, count in trained.items()},
    }


def show(report: dict, out: Path, console: Console) -> None:
    """Print the report as a table, with the first few names of every problem."""
    dataset = report["dataset"]
    expected = len(names_with_skeleton(dataset)) if dataset != "synthetic" else report["files"]
    table = Table("what", "found", title=f"{report['folder']}: {dataset}", title_justify="left")
    table.add_row("skeleton files", f"{report['files']:,}")
    table.add_row(
        "prepared", f"{report['prepared']:,} of {expected:,}", style="green" if not report["bad"] else "yellow"
    )
    table.add_row("frames; clips of two persons", f"{report['frames']:,}; {report['two_persons']:,}")
    table.add_row("actions", f"{report['actions']}")
    for protocol, count in report["protocols"].items():
        table.add_row(f"{protocol}: train / test", f"{count['train']:,} / {count['test']:,}")
    for kind, explanation in _EXPLAINED.items():
        names = list(report[kind])
        of = f" of {len(missing_skeletons(dataset))}" if kind == "on_missing_list" and dataset != "synthetic" else ""
        table.add_row(explanation, f"{len(names):,}{of}" + (f": {', '.join(names[:3])} …" if names else ""))
    console.print(table)
    _show_problems(report["bad"], console)
    console.print(f"packed set in {out}; all names in {out / 'report.json'}")


def import_file(path: Path, out: Path, *, layout_name: str, console: Console) -> None:
    """Pack skeletons that somebody else prepared."""
    layout = layout_named(layout_name)
    cleaning, clips = import_skeletons(path, layout=layout)
    files = sorted(path.glob("*.np[yz]")) if path.is_dir() else [path]
    source = fingerprint(files, layout.name, cleaning)
    if _earlier_report(out, source):
        console.print(f"{out}: nothing has changed, the packed set is kept")
        return
    with PackedWriter(out, layout=layout, cleaning=cleaning, source=source) as writer, _progress(console) as bar:
        task = bar.add_task("skeletons", total=None)
        done = set(writer.names)
        problems = pack(writer, (clip for clip in clips if clip.name not in done), lambda: bar.advance(task))
        _require_clips(writer, problems, path)
    count = len(PackedSkeletons.open(out))
    report = {"source": source, "imported": str(path), "layout": layout.name, "prepared": count, "bad": problems}
    write_json(out / "report.json", report)
    _show_problems(problems, console)
    console.print(f"packed {count:,} skeletons of {path} in {out} (layout {layout.name}, cleaning {cleaning!r})")


def _show_problems(problems: dict[str, str], console: Console) -> None:
    for problem in list(problems.values())[:10]:
        console.print(f"left out: {problem}", style="yellow", markup=False, highlight=False)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def arguments() -> argparse.ArgumentParser:
    """The command's flags."""
    options = parser(__doc__ or "")
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--ntu", type=Path, help="folder with NTU's skeletons/ and, if you like, rgb/")
    source.add_argument(
        "--import_from", type=Path, help="CTR-GCN or Hyperformer .npz, pyskl .pkl, .npy/.npz or a folder"
    )
    options.add_argument("--out", type=Path, required=True, help="folder for the packed set")
    options.add_argument(
        "--layout", default="ntu-25", help="joint layout of --import_from: ntu-25, kinect-20, coco-17, h36m-17"
    )
    options.add_argument("--dataset", choices=["auto", *_PROTOCOLS], default="auto", help="what the folder should hold")
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = arguments().parse_args(argv)
    console = Console()
    if args.import_from:
        import_file(args.import_from, args.out, layout_name=args.layout, console=console)
        return 0
    if args.layout != "ntu-25":
        raise ValueError(
            f"--layout {args.layout} does not apply to .skeleton files, which are ntu-25; use it with --import_from"
        )
    found = find_files(args.ntu)
    dataset = found.dataset if args.dataset == "auto" else args.dataset
    report = prepare_folder(found, args.out, dataset=dataset, workers=args.workers, console=console)
    show(report, args.out, console)
    return 0


if __name__ == "__main__":
    run(main)
