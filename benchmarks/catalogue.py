"""Time and memory of opening a table of clips, and of dividing them.

    python -m benchmarks.catalogue --clips 114480

The first opening reads and checks the CSV file. Later ones map the cached copy, whose pages all processes share.
"""

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.timing import cost_of
from ski_lvlm.cli import parser, positive, run

CLASSES = 120


def write(folder: Path, clips: int) -> list[str]:
    """Write a data set, and return the names of its clips."""
    protocol = {"xsub": {"train": {"subject": {"from": 1, "to": 53}}}}
    classes = [f"class {number}" for number in range(CLASSES)]
    description = {
        "name": "large",
        "classes": classes,
        "protocols": protocol,
        "splits": {"A": {"unseen": classes[:10]}},
    }
    (folder / "dataset.json").write_text(json.dumps(description))
    names = [f"session {i // 960:03}/clip {i:06}" for i in range(clips)]
    with (folder / "clips.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip", "class", "video", "subject", "camera"])
        table.writerows(
            [name, classes[i % CLASSES], f"videos/{name}.mp4", i % 106, i % 3] for i, name in enumerate(names)
        )
    return names


def unshared_megabytes() -> float:
    """Return the memory of this process that no file backs."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if ":" in line and line.endswith("kB")}
    return int(sizes["Private_Dirty"]) / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    args = arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SKI_CACHE"] = str(Path(folder) / "cache")
        names = write(Path(folder), args.clips)
        from ski_lvlm.datasets.selection import select

        print(f"{args.clips} clips, {(Path(folder) / 'clips.csv').stat().st_size / 1e6:.1f} MB")
        print(f"first opening  {cost_of(lambda: select([folder], split='A')).wall:.3f} s")
        before = unshared_megabytes()
        print(f"later opening  {cost_of(lambda: select([folder], split='A')).wall:.3f} s")
        selection = select([folder], split="A")
        print(f"memory of its own {unshared_megabytes() - before:.1f} MB")
        print(f"division       {cost_of(lambda: selection.clips(names, 'seen_train')).wall:.3f} s")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--clips", type=positive, default=114_480, help="number of clips")
    return p.parse_args(argv)


if __name__ == "__main__":
    run(main)
