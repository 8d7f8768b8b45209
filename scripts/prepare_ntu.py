"""Check an NTU RGB+D folder, clean its skeletons, and pack them into one file that training maps into memory.

    python scripts/prepare_ntu.py --ntu /data/ntu --out prepared
    python scripts/prepare_ntu.py --import_from NTU120_CSub.npz --out prepared
    python scripts/prepare_ntu.py --import_from my_skeletons/ --layout kinect-20 --out prepared

The folder holds .skeleton files, directly or in skeletons/ or nturgb+d_skeletons/, and optionally videos in rgb/.
Damaged files are listed and skipped. The report is printed and written to report.json. The output is also a data set's
folder (dataset.json), which --prepared and --data take. The same command does nothing
when no file has changed. After an interruption it starts again (all of NTU120 takes about three minutes on one core).
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.table import Table

from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import BUILT_IN, copy_description, open_data_set
from ski_lvlm.datasets.ntu import NTU, names_with_skeleton
from ski_lvlm.datasets.ntu_folder import NtuFolder, compare, find_files
from ski_lvlm.datasets.packing import BATCH, earlier_report, fingerprint, pack
from ski_lvlm.datasets.reading import batched, read_ahead
from ski_lvlm.datasets.skeleton_import import import_skeletons
from ski_lvlm.skeletons.cleaning import CLEANING, clean
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from ski_lvlm.storage.digests import digest_number
from ski_lvlm.storage.files import write_json

_ALL_LISTED = "all of them are on NTU's list of missing skeletons"
_EXPLAINED = {
    "on_missing_list": "on NTU's list of missing skeletons, skipped",
    "not_of_this_dataset": "clips that the data set does not have, skipped",
    "absent": "clips of the data set that are not in the folder",
    "skeleton_without_video": "skeletons without video",
    "video_without_skeleton": "videos without skeleton",
    "misnamed": "files without an NTU clip name, skipped",
    "bad": "damaged or empty skeleton files, skipped",
}


def clean_clip(name: str, *, files: Mapping[str, Path]) -> Float32[np.ndarray, "T M 25 3"]:
    """Read and clean the `.skeleton` file of one clip."""
    return clean(read_skeleton(files[name], joints_only=True)).joints


def is_in_share(name: str, share: float) -> bool:
    """Return whether a clip belongs to a share of all clips. A larger share holds the clips of a smaller one."""
    return digest_number(name) < share * 256**8


def prepare_folder(
    folder: NtuFolder, out: Path, *, dataset: str, workers: int, console: Console, share: float = 1.0
) -> dict:
    """Pack the folder's usable skeletons into `out`, or a share of them, and return the report."""
    lists: dict[str, list[str]] = compare(folder, dataset)
    excluded = {*lists["on_missing_list"], *lists["not_of_this_dataset"]}
    files = {name: path for name, path in folder.skeletons.items() if name not in excluded}
    packed_files = {name: path for name, path in files.items() if is_in_share(name, share)}
    whole = [] if share == 1 else [f"share {share:g}"]
    source = fingerprint(list(folder.skeletons.values()), dataset, CLEANING, *whole)
    if earlier := earlier_report(out, source):
        console.print(f"{out}: nothing has changed, the packed set is kept")
        return earlier | lists  # videos may have come or gone since
    read = partial(clean_clip, files=packed_files)
    batches = read_ahead(batched(list(packed_files), BATCH), read, workers=workers if workers > 1 else 0)
    with packed_writer(out, layout=layout_named("ntu-25"), cleaning=CLEANING, source=source) as writer:
        errors = pack(
            chain.from_iterable(batches), writer, total=len(packed_files), source=folder.folder, none_left=_ALL_LISTED
        )
    report = {"source": source, "folder": str(folder.folder), "dataset": dataset, "files": len(folder.skeletons)}
    report |= {} if share == 1 else {"share": share}
    copy_description(dataset, out)
    report |= _contents(PackedSkeletons.open(out), dataset) | {"bad": errors} | lists
    write_json(out / "report.json", report)
    return report


def _contents(packed: PackedSkeletons, dataset: str) -> dict:
    data = open_data_set(dataset)
    rules = {(protocol.train, protocol.test): protocol for protocol in reversed([*data.description.protocols.values()])}
    trained = {protocol.name: sum(data.is_train(packed.names, protocol)) for protocol in reversed([*rules.values()])}
    tested = {
        name: len(data.clips(packed.names, split=data.split(), protocol=data.protocol(name), part="seen_test"))
        for name in trained
    }
    return {
        "prepared": len(packed),
        "frames": sum(packed.num_frames(name) for name in packed.names),
        "two_persons": sum(packed.get(name).shape[1] == 2 for name in packed.names),
        "actions": len(set(data.classes_of(packed.names))),
        "protocols": {name: {"train": count, "test": tested[name]} for name, count in trained.items()},
    }


def prepare(ntu: Path, out: Path, *, dataset: str, workers: int, console: Console, share: float = 1.0) -> None:
    """Prepare a folder of NTU RGB+D and print the report. The data set `auto` is told by the clips' names."""
    folder = find_files(ntu)
    name = folder.dataset if dataset == "auto" else dataset
    show(prepare_folder(folder, out, dataset=name, workers=workers, console=console, share=share), out, console)


def show(report: dict, out: Path, console: Console) -> None:
    """Print the report as a table, with the first few names of every kind."""
    dataset = report["dataset"]
    expected = len(names_with_skeleton(dataset)) if dataset in NTU else report["files"]
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
        listed = open_data_set(dataset).description.without_skeleton
        of = f" of {len(listed)}" if kind == "on_missing_list" and listed else ""
        table.add_row(explanation, f"{len(names):,}{of}" + (f": {', '.join(names[:3])} …" if names else ""))
    console.print(table)
    show_errors(report["bad"], console)
    console.print(f"packed set in {out}; all names in {out / 'report.json'}")


def import_file(path: Path, out: Path, *, layout_name: str, console: Console) -> None:
    """Pack skeletons that others prepared."""
    layout = layout_named(layout_name)
    cleaning, clips = import_skeletons(path, layout=layout)
    files = sorted(path.glob("*.np[yz]")) if path.is_dir() else [path]
    source = fingerprint(files, layout.name, cleaning)
    if earlier_report(out, source):
        console.print(f"{out}: nothing has changed, the packed set is kept")
        return
    with packed_writer(out, layout=layout, cleaning=cleaning, source=source) as writer:
        errors = pack(clips, writer, total=None, source=path, none_left="it holds no clip")
    count = len(PackedSkeletons.open(out))
    report = {"source": source, "imported": str(path), "layout": layout.name, "prepared": count, "bad": errors}
    write_json(out / "report.json", report)
    show_errors(errors, console)
    console.print(f"packed {count:,} skeletons of {path} in {out} (layout {layout.name}, cleaning {cleaning!r})")


def show_errors(errors: dict[str, str], console: Console) -> None:
    """Print the first ten errors."""
    for error in list(errors.values())[:10]:
        console.print(f"skipped: {error}", style="yellow", markup=False, highlight=False)


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    options = parser(__doc__ or "")
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--ntu", type=Path, help="folder with NTU's skeletons/ and, optionally, rgb/")
    source.add_argument(
        "--import_from", type=Path, help="CTR-GCN or Hyperformer .npz, pyskl .pkl, .npy/.npz or a folder"
    )
    options.add_argument("--out", type=Path, required=True, help="folder for the packed set")
    options.add_argument(
        "--layout", default="ntu-25", help="joint layout of --import_from: ntu-25, kinect-20, coco-17, h36m-17"
    )
    options.add_argument("--dataset", choices=["auto", *BUILT_IN], default="auto", help="what the folder should hold")
    options.add_argument(
        "--share", type=float, default=1.0, help="pack this share of the clips, to see how many skeletons it takes"
    )
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = arguments().parse_args(argv)
    console = Console()
    if not 0 < args.share <= 1 or (args.import_from and args.share < 1):
        raise ValueError(f"--share {args.share:g}: expected more than 0 and at most 1, and 1 with --import_from")
    if args.import_from:
        import_file(args.import_from, args.out, layout_name=args.layout, console=console)
        return 0
    if args.layout != "ntu-25":
        raise ValueError(
            f"--layout {args.layout} does not apply to .skeleton files, which are ntu-25; use it with --import_from"
        )
    prepare(args.ntu, args.out, dataset=args.dataset, workers=args.workers, share=args.share, console=console)
    return 0


if __name__ == "__main__":
    run(main)
