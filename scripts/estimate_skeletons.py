"""Estimate skeletons from videos, for data without a Kinect, and pack them into a set for --prepared.

    python scripts/estimate_skeletons.py --videos DIR --out OUT
    python scripts/estimate_skeletons.py --data DIR                  # packs into the data set's own folder
    python scripts/estimate_skeletons.py --videos DIR --out OUT --estimator vitpose:usyd-community/vitpose-base-simple
    python scripts/estimate_skeletons.py … --shard 1/4   # one of four machines that share OUT, finally once without

blazepose gives 33 joints in metres and needs no model hub. vitpose gives COCO's 17 joints in the picture, two
coordinates each. At most two persons are kept. Joints of low confidence are absent (NaN), and never zeros.

Writes OUT/joints.npy and OUT/index.json (the packed set), and OUT/estimates with report.json and every joint of every
clip. Skeletons of another origin are never replaced. The same command resumes an interrupted run. Another
--min_confidence packs again without estimating. Videos that cannot be read and clips without anybody are listed with
the reason and left out. It is an error if no clip remains.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from scripts.extract_features import failures_file, print_skipped
from ski_lvlm import cli
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, shard_of, take_gpu
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, only_process

if TYPE_CHECKING:
    from ski_lvlm.estimation.estimate import Estimator
    from ski_lvlm.estimation.estimate_folder import ClipCounts, EstimateFolder
    from ski_lvlm.videos.folder import VideoClip

_DETECTOR = "PekingU/rtdetr_r50vd_coco_o365"


def main(argv: Sequence[str] | None = None) -> int:
    """Estimate the clips' skeletons, pack them, and return the exit code."""
    parser = arguments()
    args = parser.parse_args(argv)
    if bool(args.videos) == bool(args.data) or not (args.data or args.out):
        parser.error("give either --videos DIR and --out OUT, or --data DIR")
    if args.gpus:
        return run_on_gpus(__file__, argv, args, main, workers=processors)
    from ski_lvlm.estimation.estimate_folder import EstimateFolder
    from ski_lvlm.estimation.loading import load_estimator

    shard = shard_of(args)
    take_gpu(shard)
    out = args.out or args.data
    clips = clips_of(args.videos, args.data)
    estimator = load_estimator(args.estimator, detector=args.detector)
    limit = estimator.min_confidence if args.min_confidence is None else args.min_confidence
    names = shard.select(clips)
    check_own_set(out, estimator.cleaning)
    with only_process(out / ".locks", shard):
        folder = EstimateFolder(
            out / "estimates", estimator=estimator.model, layout=estimator.layout, stride=args.stride
        )
        reader = ClipEstimator(clips, estimator, folder, args.stride)
        failures = fill(reader, names, workers=workers_of(args.workers))
        write_json(failures_file(folder.folder, "failures", shard), failures)
        draw(reader, [name for name in names if name not in failures][: args.overlay], out, limit=limit)
        if shard != WHOLE:
            print(f"{out}: estimated {len(names) - len(failures)} of {len(names)} clips")
            print("when all shards are done, the same command without --shard packs them")
            return 0
        counts, failures = pack(folder, names, failures, out, estimator=estimator, limit=limit)
    report(out, counts, failures, estimator=estimator, limit=limit)
    return 0


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--videos", type=Path, help="folder of videos, also in sub-folders")
    add("--data", type=Path, help="data set folder, whose table may name videos, starts and ends")
    add("--out", type=Path, help="folder of the packed set (default: the folder of --data)")
    add("--estimator", default="blazepose", help="blazepose, or vitpose:ID with a hub id or folder")
    add("--detector", default=_DETECTOR, help="finder of persons for vitpose: blazepose, or an object detector's id")
    add("--min_confidence", type=float, help="joints below are absent (default: 0.5 of blazepose, 0.3 of vitpose)")
    add("--stride", type=cli.positive, default=1, help="estimate every n-th frame")
    add("--overlay", type=int, default=0, help="contact sheets of the first clips, in OUT/overlay, to look at")
    add("--workers", type=int, default=processors(), help="processes (0, and always on a GPU: estimate in this one)")
    add_shard_flags(parser)
    return parser


def clips_of(videos: Path | None, data: Path | None) -> "Mapping[str, VideoClip]":
    """Return the clips of a folder of videos or of a data set."""
    from ski_lvlm.datasets.catalogue import open_data_set
    from ski_lvlm.datasets.clip_files import video_clips
    from ski_lvlm.videos.folder import VideoClip, check_has_videos, list_videos

    if data:
        return video_clips(open_data_set(data))
    assert videos is not None
    files = list_videos(videos)
    check_has_videos(videos, files, flag="--videos")
    return {name: VideoClip(path) for name, path in files.items()}


def check_own_set(out: Path, cleaning: str) -> None:
    """Make sure that a packed set in the folder comes from this estimator.

    Raises:
        ValueError: it holds other skeletons, such as a Kinect's.
    """
    from ski_lvlm.skeletons.packed import PackedSkeletons

    if (out / "index.json").is_file() and (other := PackedSkeletons.open(out).cleaning) != cleaning:
        raise ValueError(
            f"{out}: holds packed skeletons of another origin ({other}), which would be lost; give --out with another "
            "folder"
        )


def workers_of(number: int) -> int:
    """Return the number of worker processes, none on a GPU, which worker processes cannot share with this one."""
    return 0 if cli.device().type == "cuda" else number


class ClipEstimator:
    """Estimates clips, in a worker process, and writes each as it is done."""

    def __init__(
        self, clips: "Mapping[str, VideoClip]", estimator: "Estimator", folder: "EstimateFolder", stride: int
    ) -> None:
        self.clips, self.estimator, self.folder, self.stride = clips, estimator, folder, stride

    def __call__(self, name: str) -> int:
        """Estimate a clip and return the number of its frames."""
        from ski_lvlm.estimation.estimate import estimate_clip

        start = time.perf_counter()
        estimate = estimate_clip(self.clips[name], self.estimator, stride=self.stride)
        self.folder.save(name, estimate, seconds=time.perf_counter() - start)
        return len(estimate.joints)


def fill(reader: ClipEstimator, names: Sequence[str], *, workers: int) -> dict[str, str]:
    """Estimate the clips that the folder lacks, and return the errors of those that cannot be read."""
    from ski_lvlm.datasets.reading import batched, read_ahead

    todo = [name for name in names if not reader.folder.has(name)]
    failures: dict[str, str] = {}
    with cli.progress("skeletons", total=len(names), completed=len(names) - len(todo)) as advance:
        for batch in read_ahead(batched(todo, 1), reader, workers=workers):
            failures |= {clip.name: clip.error for clip in batch if clip.content is None}
            advance(len(batch))
    return failures


def draw(reader: ClipEstimator, names: Sequence[str], out: Path, *, limit: float) -> None:
    """Write contact sheets of some clips."""
    from ski_lvlm.estimation.contact_sheet import write_contact_sheet

    for name in names:
        path, (estimate, _) = out / "overlay" / f"{name}.jpg", reader.folder.load(name)
        layout, stride = reader.folder.layout, reader.stride
        write_contact_sheet(path, reader.clips[name], estimate, layout=layout, min_confidence=limit, stride=stride)


def pack(
    folder: "EstimateFolder",
    names: Sequence[str],
    failures: Mapping[str, str],
    out: Path,
    *,
    estimator: "Estimator",
    limit: float,
) -> "tuple[dict[str, ClipCounts], dict[str, str]]":
    """Write the packed set, and return the counts of its clips and the reasons against the others.

    Raises:
        ValueError: no clip remains.
    """
    from ski_lvlm.datasets.packing import pack as pack_clips
    from ski_lvlm.datasets.reading import load_clip
    from ski_lvlm.skeletons.packed import packed_writer

    counts: dict[str, ClipCounts] = {}

    def joints(name: str) -> Float32[np.ndarray, "T M J D"]:
        usable, counts[name] = folder.joints(name, min_confidence=limit)
        return usable

    clips = (load_clip(name, joints) for name in names if name not in failures)
    source, first = f"{estimator.model}, joints of at least {limit:g} confidence", next(iter(failures.values()), "none")
    with packed_writer(out, layout=folder.layout, cleaning=estimator.cleaning, source=source) as writer:
        without = pack_clips(clips, writer, total=None, source=out, none_left=first)
    return counts, {**failures, **without}


def report(
    out: Path,
    counts: "Mapping[str, ClipCounts]",
    failures: dict[str, str],
    *,
    estimator: "Estimator",
    limit: float,
) -> None:
    """Print and write what was found."""
    frames, seconds = sum(c.frames for c in counts.values()), sum(c.seconds for c in counts.values())
    content: dict[str, Any] = {
        "estimator": estimator.model,
        "layout": estimator.layout,
        "cleaning": estimator.cleaning,
        "min_confidence": limit,
        "clips": {
            name: {**c._asdict(), "share_with_person": round(c.with_person / c.frames, 4)} for name, c in counts.items()
        },
        "failed": failures,
    }
    if counts:
        shares = [c.with_person / c.frames for c in counts.values()]
        absent = sum(c.absent_joints for c in counts.values()) / len(counts)
        two = sum(c.persons == 2 for c in counts.values())
        content |= {"frames": frames, "frames_per_second_and_process": round(frames / max(seconds, 1e-9), 1)}
        print(f"{out}: skeletons of {len(counts):,} of {len(counts) + len(failures):,} clips, {two:,} with two persons")
        print(f"frames with a person: {sum(shares) / len(shares):.1%} of a clip, at least {min(shares):.1%}")
        print(f"absent joints of those persons: {absent:.1%} (confidence below {limit:g})")
        print(f"{frames:,} frames at {content['frames_per_second_and_process']:g} a second and process")
    write_json(out / "estimates" / "report.json", content)
    print_skipped(failures, listed_in="report.json")


if __name__ == "__main__":
    cli.run(main)
