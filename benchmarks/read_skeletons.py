"""Read and prepare .skeleton files on one core, beside plain line-by-line readers: files a second.

    python -m benchmarks.read_skeletons                        # made-up recordings of 103 frames, one or two persons
    python -m benchmarks.read_skeletons --file S001C001P001R001A001.skeleton     # copies of a genuine one

The contestants take turns, so that a busy machine slows all of them. Files a second are per second of CPU time (user
and system together), with wall time beside it. prepare_ntu.py runs as a process of its own, start included.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.timing import Cost, in_turns
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording, read_skeleton, write_skeleton

_ROOT = Path(__file__).resolve().parents[1]
_FRAMES = 103
_FIELDS = (
    *("x", "y", "z", "depthX", "depthY", "colorX", "colorY"),
    *("orientationW", "orientationX", "orientationY", "orientationZ", "trackingState"),
)


def read_plainly(path: Path) -> tuple[list[list[dict]], np.ndarray]:
    """Read a file the usual way: line by line, every number under its name, the joints into an array."""
    frames = []
    with path.open() as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body: dict = {"info": file.readline().split(), "joints": []}
                for _ in range(int(file.readline())):
                    body["joints"].append({k: float(v) for k, v in zip(_FIELDS, file.readline().split(), strict=True)})
                bodies.append(body)
            frames.append(bodies)
    joints = np.zeros((3, len(frames), 25, max(map(len, frames))), np.float32)
    for t, bodies in enumerate(frames):
        for m, body in enumerate(bodies):
            for j, joint in enumerate(body["joints"]):
                joints[:, t, j, m] = joint["x"], joint["y"], joint["z"]
    return frames, joints


def read_lists(path: Path) -> dict[str, list[np.ndarray]]:
    """Read a file without names, at the least cost of a line-by-line reader."""
    bodies: dict[str, list[np.ndarray]] = {}
    with path.open() as file:
        for _ in range(int(file.readline())):
            for _ in range(int(file.readline())):
                body_id = file.readline().split()[0]
                joints = [[float(word) for word in file.readline().split()] for _ in range(int(file.readline()))]
                bodies.setdefault(body_id, []).append(np.array(joints))
    return bodies


def make_up(folder: Path, count: int, source: Path | None) -> list[Path]:
    """Write `count` files with NTU's names: copies of `source`, or random walks, every fourth with two persons."""
    names = [
        str(ClipName(1, c, p, r, a)) for p in range(1, 41) for c in (1, 2, 3) for r in (1, 2) for a in range(1, 50)
    ]
    paths = [folder / f"{name}.skeleton" for name in names[:count]]
    for number, path in enumerate(paths):
        if source:
            shutil.copyfile(source, path)
        elif number < 4:
            walks = {person: _walk(number + person) for person in range(1 + (number == 3))}
            write_skeleton(path, Recording(path.stem, _FRAMES, walks))
        else:
            shutil.copyfile(paths[number % 4], path)
    return paths


def _walk(seed: int) -> BodyTrack:
    rng = np.random.default_rng(seed)
    body = np.linspace(0, 1, 25)[:, None] * [0.5, 1.7, 0.3]

    def moving(size: int, scale: float) -> np.ndarray:
        steps = rng.normal(0, scale / 50, (_FRAMES, 25, size)).cumsum(axis=0)
        return (scale * rng.uniform(size=size) + steps).astype(np.float32)

    return BodyTrack(
        frames=np.arange(_FRAMES),
        joints=moving(3, 1) + body.astype(np.float32),
        colour=moving(2, 900),
        depth=moving(2, 250),
        orientation=moving(4, 1),
        joint_state=np.full((_FRAMES, 25), 2),
        states=np.ones((_FRAMES, 7), int),
        lean=moving(2, 1)[:, 0],
    )


def contestants(paths: Sequence[Path], scratch: Path) -> dict[str, Callable[[], object]]:
    """Return the works to measure."""
    command = [sys.executable, str(_ROOT / "scripts" / "prepare_ntu.py"), "--ntu", str(paths[0].parent)]

    def prepare() -> None:
        shutil.rmtree(scratch / "out", ignore_errors=True)
        line = [*command, "--workers", "1", "--out", str(scratch / "out")]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)

    return {
        "plain reader": lambda: [read_plainly(path) for path in paths],
        "plain reader, lists only": lambda: [read_lists(path) for path in paths],
        "read_skeleton": lambda: [read_skeleton(path) for path in paths],
        "read_skeleton, joints only": lambda: [read_skeleton(path, joints_only=True) for path in paths],
        "the same and clean": lambda: [clean(read_skeleton(path, joints_only=True)) for path in paths],
        "the whole prepare_ntu.py": prepare,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser(__doc__ or "")
    options.add_argument("--file", type=Path, help="a .skeleton file to copy (default: made-up recordings)")
    options.add_argument("--count", type=int, default=1000, help="files")
    options.add_argument("--rounds", type=int, default=3, help="turns of every contestant, of which the median counts")
    options.add_argument("--json", type=Path, help="write the figures here too")
    args = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "skeletons").mkdir()
        paths = make_up(Path(scratch) / "skeletons", args.count, args.file)
        turns = in_turns(contestants(paths, Path(scratch)), rounds=args.rounds)
    costs = {name: Cost(*(median(values) for values in zip(*turn, strict=True))) for name, turn in turns.items()}
    plain = costs["plain reader"]
    print(f"{args.count} files        files/s of CPU   times plain   wall s   user s   system s")
    for name, cost in costs.items():
        speed, ratio = args.count / cost.cpu, plain.cpu / cost.cpu
        print(f"{name:28} {speed:8.0f} {ratio:12.1f} x {cost.wall:8.2f} {cost.user:8.2f} {cost.system:8.2f}")
    if args.json:
        args.json.write_text(json.dumps({name: cost._asdict() for name, cost in costs.items()}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    run(main)
