"""Decode every video once: keep a few small frames of each clip, so that training never waits for video decoding.

    python scripts/cache_frames.py --ntu DIR --out DIR --num_frames 16 --side 224
    python scripts/cache_frames.py … --shard 1/4   # one of four machines that share OUT, finally once without

Writes OUT/frames.json and for every clip OUT/<clip>.npy (uint8, num_frames x 3 x side x side). 16 frames of 224 px take
2.4 MB a clip, of 112 px 0.6 MB. Give OUT as --frames_cache to train_ski_vlm.py and eval/zero_shot.py. Training draws
from the cached frames, so cache more than a step shows. The same command resumes an interrupted run. With other
settings it refuses to mix. Videos that cannot be read are skipped, listed at the end and in OUT/failures.json, and
tried again by the next run. The exit code is 1 only if no clip could be read.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.extract_features import failures_file, print_skipped
from ski_lvlm import cli
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, shard_of
from ski_lvlm.recipe import FRAMINGS
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache


def main(argv: Sequence[str] | None = None) -> int:
    """Fill the cache and return the exit code."""
    args = arguments().parse_args(argv)
    if args.gpus:
        return run_on_gpus(__file__, argv, args, main, workers=processors)
    from ski_lvlm.videos.frame_cache import FrameCache

    shard = shard_of(args)
    source, clips = clips_to_cache(args)
    names = shard.select(clips)
    with only_process(args.out / ".locks", shard):
        cache = FrameCache.create(args.out, num_frames=args.num_frames, side=args.side, framing=args.framing)
        failures = fill(cache, source, names, workers=args.workers)
        write_json(failures_file(args.out, "failures", shard), failures)
    report(args.out, len(names), failures, shard)
    return 1 if names and len(failures) == len(names) else 0


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--ntu", type=Path, help="folder with rgb/, or with the videos, also in sub-folders")
    cli.add_selection_flags(parser, split="all clips are cached")
    add("--out", type=Path, required=True, help="folder of the cache")
    add("--num_frames", type=cli.positive, default=16, help="frames of each clip, evenly spaced")
    add("--side", type=cli.positive, default=224, help="height and width of a frame in pixels")
    add("--framing", choices=FRAMINGS, default="centre", help="fit the whole frame, or its central square")
    add("--workers", type=int, default=processors(), help="decoding processes (0: decode in this one)")
    add_shard_flags(parser)
    return parser


def clips_to_cache(args: argparse.Namespace) -> tuple["DecodedFrames", list[str]]:
    """Return the videos, and the clips of the split's classes, seen and unseen, or all without a split.

    Raises:
        ValueError: neither a folder nor a data set is given, or no video is of the split.
    """
    from ski_lvlm.datasets.clip_files import video_clips
    from ski_lvlm.datasets.selection import select
    from ski_lvlm.videos.frame_cache import DecodedFrames

    if not (args.ntu or args.data):
        raise ValueError("give --ntu DIR, the folder of the videos, or --data DIR with videos")
    if not (args.data or args.split):
        source = DecodedFrames(args.ntu, side=args.side, framing=args.framing)
        return source, source.names
    selection = select(args.data, split=args.split, protocol=args.protocol, same_classes=args.same_classes)
    source = DecodedFrames(video_clips(selection.data, args.ntu), side=args.side, framing=args.framing)
    classes = {*selection.split.seen, *selection.split.unseen}
    of_clips = zip(source.names, selection.data.classes_of(source.names), strict=True)
    clips = [name for name, class_name in of_clips if class_name in classes]
    if not clips:
        raise ValueError(
            f"none of the {len(source.names)} videos shows an action of the split {args.split}; check --ntu and --split"
        )
    return source, clips


def fill(cache: "FrameCache", source: "DecodedFrames", names: Sequence[str], *, workers: int) -> dict[str, str]:
    """Decode the clips that the cache lacks, and return the errors of those that cannot be read."""
    from ski_lvlm.datasets.reading import batched, read_ahead

    todo = [name for name in names if not cache.has(name)]
    read = partial(source.window, start=0.0, stop=1.0, num_frames=cache.num_frames)
    failures = {}
    with cli.progress("frames", total=len(names), completed=len(names) - len(todo)) as advance:
        for batch in read_ahead(batched(todo, 4), read, workers=workers):
            for clip in batch:
                if clip.content is None:
                    failures[clip.name] = clip.error
                else:
                    cache.write(clip.name, clip.content)
            advance(len(batch))
    return failures


def report(out: Path, total: int, failures: dict[str, str], shard: Shard = WHOLE) -> None:
    """Print how many clips have frames, and the errors of the others."""
    print(f"{out}: frames of {total - len(failures)} of {total} clips")
    print_skipped(failures, listed_in=f"failures{shard.suffix}.json")
    if shard != WHOLE:
        print("when all shards are done, the same command without --shard writes failures.json")


if __name__ == "__main__":
    cli.run(main)
