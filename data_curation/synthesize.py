"""Make the synthetic ADL set: NTU RGB+D's folders, names and file formats, filled with figures that act.

    python data_curation/synthesize.py --out DIR                             # 16 actions, the quickstart's
    python data_curation/synthesize.py --out DIR --actions 48 --difficulty hard
    python data_curation/synthesize.py --actions 48 --sheet sheet.png        # twelve clips to look at

It is a toy set for running and testing everything without a licence. Results on it say nothing about NTU. Of the 16
actions (data set `synthetic`), A6, A23, A60 and A64 are never seen in training. The 48 (data set `synthetic48`) are
composed of common parts and have four splits of 36 seen and 12 unseen ones. Their facts are written to facts.jsonl.
"""

import argparse
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from data_curation.synthetic.actions import ACTIONS, SAME_OBJECT_PAIRS, Performance, perform
from data_curation.synthetic.scene import NUM_PERFORMERS, Session, film, session
from data_curation.synthetic.sensor import record
from data_curation.synthetic.video_file import write_video
from data_curation.world.clips import Settings as WorldSettings
from data_curation.world.flags import add_world_flags, check_no_world_flags, world_settings
from data_curation.world.make import make_world
from data_curation.world.sheet import sheet_key, write_sheet
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.skeletons.ntu_file import write_skeleton
from ski_lvlm.storage.files import write_json

FPS = 20
NUM_ROOMS = 8
_MOTION = 4  # separates the motion's random numbers from the session's
_ROUNDS = 48  # passes over the performers until a name would repeat
_TRAINERS, _TESTERS = 8, 4


@dataclass(frozen=True)
class Settings:
    """The settings that determine a clip, besides its name."""

    seed: int
    width: int
    height: int


def clip_names(count: int, *, seed: int) -> list[ClipName]:
    """Return `count` names, evenly distributed over actions, performers, cameras and rooms.

    A longer list begins with a shorter one. Both actions of a same-object pair have the same sessions.

    Raises:
        ValueError: there are fewer names.
    """
    maximum = _ROUNDS * NUM_PERFORMERS * len(ACTIONS)
    if not 1 <= count <= maximum:
        raise ValueError(f"--clips is {count}; the synthetic set has between 1 and {maximum}: change --clips")
    return list(islice(_all_names(seed), count))


def _all_names(seed: int) -> Iterator[ClipName]:
    paired = {action for pair in SAME_OBJECT_PAIRS for action in pair}
    units = [*SAME_OBJECT_PAIRS, *((action,) for action in ACTIONS if action not in paired)]
    rng = np.random.default_rng(seed)
    for turn in range(_ROUNDS):
        performers = _performer_order(rng)
        for step in range(NUM_PERFORMERS):
            for i in rng.permutation(len(units)):
                performer = performers[(step + 5 * i) % NUM_PERFORMERS]
                camera = 1 + (performer + turn + i) % 3
                room = 1 + (5 * performer + 3 * i + turn) % NUM_ROOMS
                replication = 1 + (performer + i + turn + turn // 24) % 2
                for action in units[i]:
                    yield ClipName(int(room), int(camera), performer, int(replication), action)


def _performer_order(rng: np.random.Generator) -> list[int]:
    """Return all performers, shuffled, two of the training set before each of the test set."""
    train = (1 + rng.permutation(_TRAINERS)).tolist()
    test = (1 + _TRAINERS + rng.permutation(_TESTERS)).tolist()
    return [p for i in range(_TESTERS) for p in (train[2 * i], train[2 * i + 1], test[i])]


def act(clip: ClipName, *, seed: int) -> tuple[Session, Performance]:
    """Return the session and the performance of a clip."""
    rng = np.random.default_rng([seed, _MOTION, *clip])
    place = session(clip, seed=seed)
    num_frames = int(rng.integers(46, 61))
    return place, perform(clip.action, builds=place.builds, num_frames=num_frames, fps=FPS, rng=rng)


def make_clip(clip: ClipName, *, out: Path, settings: Settings) -> bool:
    """Write one clip's video and `.skeleton`, unless both exist, and return whether it was missing."""
    video, skeleton = out / "rgb" / f"{clip}_rgb.avi", out / "skeletons" / f"{clip}.skeleton"
    if video.exists() and skeleton.exists():
        return False
    place, performance = act(clip, seed=settings.seed)
    write_video(video, film(performance, session=place, width=settings.width, height=settings.height), rate=FPS)
    rng = np.random.default_rng([settings.seed, _MOTION + 1, *clip])
    camera = place.camera(len(performance.bodies))
    skeleton.parent.mkdir(parents=True, exist_ok=True)
    write_skeleton(skeleton, record(performance.bodies, name=str(clip), camera=camera, rng=rng))
    return True


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 512x288") from error
    if width * 9 != height * 16 or width % 2 or height % 2 or width < 64:
        raise argparse.ArgumentTypeError(f"{text} is not 16:9 with even sides, as NTU's 1920x1080 is; try 512x288")
    return width, height


def _claim(out: Path, settings: Settings) -> None:
    """Record the settings of the folder, or check that they are the same, and remove incomplete files."""
    for half_written in out.glob("*/.*.partial*"):
        half_written.unlink()
    note = out / "synthesis.json"
    current = {"seed": settings.seed, "size": [settings.width, settings.height], "version": 1}
    if note.exists():
        import json

        recorded = json.loads(note.read_text(encoding="utf-8"))
        if recorded != current:
            raise ValueError(f"{out} was made with {recorded}, now asked for {current}; use another --out or delete it")
    else:
        write_json(note, current)


def synthesize(out: Path, *, clips: int, settings: Settings, workers: int) -> int:
    """Make the missing clips with a progress bar, and return their number."""
    import cv2
    from rich.progress import track as progress

    cv2.setNumThreads(1)
    names = clip_names(clips, seed=settings.seed)
    _claim(out, settings)
    make = partial(make_clip, out=out, settings=settings)
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        return sum(progress(pool.map(make, names, chunksize=4), total=len(names), description="synthetic clips"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    args = arguments().parse_args(argv)
    if args.out is None and not args.sheet:
        raise ValueError("nowhere to write; give --out DIR, or --actions 48 --sheet FILE")
    workers = max(1, args.workers)
    if args.actions == 16:
        check_no_world_flags(args)
        settings = Settings(args.seed, *args.size)
        num_new = synthesize(args.out, clips=args.clips, settings=settings, workers=workers)
    else:
        world = world_settings(args)
        if args.sheet:
            print(sheet_key(write_sheet(Path(args.sheet), settings=world)))
        if args.out is None:
            return 0
        if args.text_only:
            return _write_texts(args, world, workers=workers)
        num_new = make_world(args.out, clips=args.clips, settings=world, workers=workers)
    print(f"{args.clips} clips in {args.out} ({num_new} made now)")
    return 0


def _write_texts(args: argparse.Namespace, world: WorldSettings, *, workers: int) -> int:
    from data_curation.fact_texts.corpus import TEXTS, write_corpus

    if (args.out / "rgb").exists():
        raise ValueError(
            f"--text_only: found clips in --out {args.out}, whose facts would be overwritten; choose another"
        )
    count = write_corpus(args.out, clips=args.clips, settings=world, workers=workers)
    print(f"{count} captions about {args.clips} performances in {args.out / TEXTS}")
    return 0


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = parser(__doc__ or "")
    flags.add_argument("--out", type=Path, help="folder for skeletons/ and rgb/")
    flags.add_argument("--actions", type=int, choices=(16, 48), default=16, help="the quickstart's actions, or the "
                       "world's")  # fmt: skip
    flags.add_argument(
        "--clips", type=int, default=300, help="number of clips. A larger number later extends the same folder"
    )
    flags.add_argument("--seed", type=int, default=0, help="seed of all random numbers")
    flags.add_argument("--size", type=_size, default="512x288", help="WIDTHxHEIGHT of the videos, 16:9")
    flags.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes, one thread each")
    add_world_flags(flags)
    return flags


if __name__ == "__main__":
    run(main)
