"""Crops per second and core, beside decoding the same videos alone.

    python -m benchmarks.crop_clips [--ntu DIR] [--kinds static tracking]

CPU seconds (user and system) of one thread. Decoding and every kind of crop take turns. For each clip the smallest of
--repeats counts. The boxes come from the skeletons and are made before, and their time is printed as well. Without
--ntu the clips are 12 synthetic ones of 512x288 and, if there is one, the genuine NTU clip of 1920x1080
(SKI_REAL_DATA or ../shared/real).
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import genuine_data, in_turns
from data_curation.cropping.boxes import Boxes, skeleton_boxes
from data_curation.cropping.crop import CropSettings, write_crop
from ski_lvlm import cli
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.videos.decoding import probe
from ski_lvlm.videos.folder import list_videos

KINDS = {
    "static": CropSettings(),
    "tracking": CropSettings(mode="tracking"),
    "aspect": CropSettings(shape="aspect"),
    "fps 10": CropSettings(fps=10),
}


class Clip(NamedTuple):
    """One video and the boxes of its actors."""

    video: Path
    boxes: Boxes


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table for each set of clips."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--ntu", type=Path, help="folder with rgb/ and skeletons/ to measure on")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="which crops")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each way")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        for ntu in [args.ntu] if args.ntu else folders(Path(folder)):
            report(ntu, args.kinds, repeats=args.repeats, scratch=Path(folder) / "crop.mp4")
    return 0


def folders(scratch: Path) -> list[Path]:
    """Return folders of NTU's layout: the synthetic clips, then the genuine one."""
    from data_curation import synthesize

    synthesize.main(["--out", str(scratch / "synthetic"), "--clips", "12", "--workers", "1"])
    real = genuine_data() / "ntu"
    return [scratch / "synthetic", *([real] if real.is_dir() else [])]


def report(ntu: Path, kinds: Sequence[str], *, repeats: int, scratch: Path) -> None:
    """Measure every way on every clip of a folder and print the sums."""
    clips, locating = load(ntu)
    ways: dict[str, Callable[[Clip], object]] = {"decoding alone": decode}
    ways |= {f"crop, {kind}": partial(crop, settings=KINDS[kind], target=scratch) for kind in kinds}
    best: dict[tuple[str, Path], float] = {}
    for clip in clips:
        turns = in_turns({name: partial(way, clip) for name, way in ways.items()}, rounds=repeats)
        best |= {(name, clip.video): min(cost.cpu for cost in costs) for name, costs in turns.items()}
    info = probe(clips[0].video)
    frames = sum(probe(clip.video).num_frames for clip in clips)
    boxes_ms = 1e3 * locating / len(clips)
    print(f"\n{len(clips)} clips, {info.width}x{info.height}, {frames} frames; boxes {boxes_ms:.1f} ms a clip")
    print(f"{'way':22s}{'ms a frame':>12s}{'clips/s':>10s}{'of decoding':>13s}")
    totals = {name: sum(best[name, clip.video] for clip in clips) for name in ways}
    for name, seconds in totals.items():
        share = totals["decoding alone"] / seconds
        print(f"{name:22s}{1e3 * seconds / frames:12.2f}{len(clips) / seconds:10.1f}{share:13.0%}")


def load(ntu: Path) -> tuple[list[Clip], float]:
    """Return the clips with both files, and the CPU seconds for reading skeletons and making boxes."""
    videos = {name: video for name, video in list_videos(ntu).items() if skeleton(ntu, name).exists()}
    if not videos:
        raise ValueError(f"{ntu}: found no video with its .skeleton file; give a folder with rgb/ and skeletons/")
    start = time.process_time()
    return [Clip(video, boxes(ntu, name)) for name, video in videos.items()], time.process_time() - start


def skeleton(ntu: Path, name: str) -> Path:
    """Return the file of a clip's skeleton."""
    below = ntu / "skeletons"
    return (below if below.is_dir() else ntu) / f"{name}.skeleton"


def boxes(ntu: Path, name: str) -> Boxes:
    """Return the boxes of a clip's actors."""
    data = open_data_set("ntu120")
    persons = CropSettings().persons_in(data.action(data.class_of(name)))
    return skeleton_boxes(read_skeleton(skeleton(ntu, name)), persons=persons)


def decode(clip: Clip) -> None:
    """Decode all frames, as `write_crop` opens and decodes them."""
    import av

    with av.open(str(clip.video)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def crop(clip: Clip, *, settings: CropSettings, target: Path) -> None:
    """Write one crop."""
    write_crop(clip.video, target, boxes=clip.boxes, settings=settings, is_kinect=True)


if __name__ == "__main__":
    cli.run(main)
