"""Decode every video once: keep a few small frames of each clip, so that training never waits for video decoding.

    python scripts/cache_frames.py --ntu DIR --out DIR --num_frames 16 --side 224
    python scripts/cache_frames.py … --shard 1/4   # one of four machines that share OUT; at last once without

Writes OUT/frames.json and for every clip OUT/<clip>.npy (uint8, num_frames x 3 x side x side; 16 frames of 224 px are
2.4 MB a clip, of 112 px 0.6 MB). Give OUT as --frames_cache to train_ski_vlm.py and eval/zero_shot.py. Training draws
its frames from those kept, so keep more than a step shows. Started again, it goes on where it stopped; with other
settings it refuses to mix. Videos that cannot be read are left out, listed at the end and in OUT/failures.json, and
tried again by the next run; the exit code is 1 only if not one clip could be read.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.extract_features import Clips, failures_file, load_ahead, print_left_out
from ski_lvlm import cli
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, shard_of
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the cache; returns the exit code."""
    args = arguments().parse_args(argv)
    if args.gpus:
        return run_on_gpus(__file__, argv, args, main, workers=processors)
    from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache

    shard = shard_of(args)
    source = DecodedFrames(args.ntu, side=args.side, framing=args.framing)
    names = shard.own(clips_of_split(source.names, args.split) if args.split else source.names)
    with only_process(args.out / ".locks", shard):
        cache = FrameCache.create(args.out, num_frames=args.num_frames, side=args.side, framing=args.framing)
        failures = fill(cache, source, names, workers=args.workers)
        write_json(failures_file(args.out, "failures", shard), failures)
    report(args.out, len(names), failures, shard)
    return 1 if names and len(failures) == len(names) else 0


def arguments() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--ntu", type=Path, required=True, help="folder with rgb/, or with the videos, also in sub-folders")
    add("--out", type=Path, required=True, help="folder of the cache")
    add("--num_frames", type=cli.positive, default=16, help="frames kept of each clip, evenly spaced")
    add("--side", type=cli.positive, default=224, help="height and width of a frame in pixels")
    add("--framing", choices=("whole", "centre"), default="centre", help="fit the whole frame, or its central square")
    add("--split", help="only clips of this zero-shot split's actions, for example ntu60/48-12")
    add("--workers", type=int, default=processors(), help="decoding processes; 0: decode in this one")
    add_shard_flags(parser)
    return parser


def clips_of_split(names: Sequence[str], split: str) -> list[str]:
    """The clips of a split's actions, seen and unseen."""
    from ski_lvlm.datasets.ntu import parse_name, split_named

    chosen = split_named(split)
    kept = [name for name in names if parse_name(name).action in (*chosen.seen, *chosen.unseen)]
    if not kept:
        raise ValueError(
            f"none of the {len(names)} videos shows an action of the split {split}; check --ntu and --split"
        )
    return kept


def fill(cache: "FrameCache", source: "DecodedFrames", names: Sequence[str], *, workers: int) -> dict[str, str]:
    """Decode the clips that the cache lacks, side by side; returns those that cannot be read, with the reasons."""
    from ski_lvlm.parallel.progress import progress_bar

    todo = [name for name in names if not cache.has(name)]
    read = partial(source.window, start=0.0, stop=1.0, num_frames=cache.num_frames)
    failures = {}
    with progress_bar("frames", total=len(names), completed=len(names) - len(todo)) as advance:
        for batch in load_ahead(Clips(todo, read), batch_size=4, workers=workers):
            for name, frames, reason in batch:
                if frames is None:
                    failures[name] = reason
                else:
                    cache.write(name, frames)
            advance(len(batch))
    return failures


def report(out: Path, total: int, failures: dict[str, str], shard: Shard = WHOLE) -> None:
    """Say how many clips have frames and which have not, with the reason."""
    print(f"{out}: frames of {total - len(failures)} of {total} clips")
    print_left_out(failures, listed_in=f"failures{shard.suffix}.json")
    if shard != WHOLE:
        print("when all shards are done, the same command without --shard writes failures.json")


if __name__ == "__main__":
    cli.run(main)
