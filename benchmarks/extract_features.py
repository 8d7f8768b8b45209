"""Share of the time for a 1080p clip's features that is not the vision tower's.

    python -m benchmarks.extract_features [--video FILE]

CPU seconds (user and system) to make 100 frames ready for the tower: decode, scale, normalise. Beside it the usual
ways: decord with scaling in its decoder, and full-size frames resized as float tensors. All take turns, the smallest of
--repeats counts. The tower is CLIP ViT-L/14 with random weights (speed does not depend on them), timed on a few frames
and scaled up to 100. It runs on the GPU where there is one. Without --video the clips are a synthetic one of 300 frames
and, if there is one, the genuine NTU clip (SKI_REAL_DATA or ../shared/real).
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import genuine_data, in_turns
from ski_lvlm import cli

FRAMES, SIDE = 100, 224


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table for each clip."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--video", type=Path, help="another clip to measure on")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each way")
    parser.add_argument("--tower_frames", type=int, default=4, help="frames on which the tower is timed")
    args = parser.parse_args(argv)
    tower_seconds, device = time_tower(args.tower_frames)
    print(f"CLIP ViT-L/14 on {device}: {tower_seconds:.2f} s for {FRAMES} frames")
    with tempfile.TemporaryDirectory() as folder:
        for clip in [args.video] if args.video else clips(Path(folder)):
            report(clip, args.repeats, tower_seconds)
    return 0


def clips(folder: Path) -> Iterator[Path]:
    """Yield the synthetic clip, then the genuine one."""
    yield write_clip(folder / "synthetic.avi")
    yield from sorted(genuine_data().glob("ntu/*_rgb.avi"))


def write_clip(path: Path, *, frames: int = 300) -> Path:
    """Write 1080p H.264 with six boxes that move before a textured wall, each frame unlike the others."""
    import av

    wall = np.random.default_rng(0).integers(0, 120, (135, 240, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for t in range(frames):
            frame = wall.copy()
            for box in range(6):
                left, top = int(860 + 850 * np.sin(t / 40 + box)), 20 + 2 * t + 30 * box
                frame[top : top + 200, left : left + 120] = (40 * box + 20, 255 - 40 * box, 128)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def report(clip: Path, repeats: int, tower_seconds: float) -> None:
    """Measure all ways on one clip and print them."""
    from ski_lvlm.videos.decoding import probe

    ways = {"ours": ours, "full-size frames, float resize": full_size}
    try:
        import decord  # noqa: F401
    except ImportError:
        print("(decord is not installed: its row is missing)")
    else:
        ways["decord, scaled while decoding"] = with_decord
    works = {name: partial(prepare, way, clip) for name, way in ways.items()}
    best = {name: min((c.cpu, c.wall) for c in costs) for name, costs in in_turns(works, rounds=repeats).items()}
    info = probe(clip)
    print(f"\n{clip.name}: {info.width}x{info.height}, {info.num_frames} frames, {FRAMES} of them")
    print(f"{'way':34s}{'CPU s':>8s}{'wall s':>8s}{'not the tower':>15s}{'wrong frames':>14s}")
    truth = every_frame(clip)
    for name, (cpu, wall) in best.items():
        wrong = wrong_frames(ways[name](clip), truth)
        print(f"{name:34s}{cpu:8.2f}{wall:8.2f}{wall / (wall + tower_seconds):15.1%}{wrong:14d}")


def ours(clip: Path) -> np.ndarray:
    """Decode as scripts/extract_features.py does, into [T 3 H W] uint8."""
    from ski_lvlm.videos.decoding import read_video

    return read_video(clip, num_frames=FRAMES, size=(SIDE, SIDE)).numpy()


def with_decord(clip: Path) -> np.ndarray:
    """Decode the same frames through decord."""
    import decord

    from ski_lvlm.videos.timeline import sample_indices

    reader = decord.VideoReader(str(clip), width=SIDE, height=SIDE, num_threads=1)
    return reader.get_batch(sample_indices(len(reader), FRAMES)).asnumpy().transpose(0, 3, 1, 2)


def full_size(clip: Path) -> np.ndarray:
    """Decode at full size, convert to float, resize."""
    import torch

    from ski_lvlm.videos.decoding import read_video

    frames = [frame[None].float() for frame in read_video(clip, num_frames=FRAMES)]
    small = [torch.nn.functional.interpolate(frame, size=(SIDE, SIDE), mode="area") for frame in frames]
    return torch.cat(small).round().byte().numpy()


def prepare(way: Callable[[Path], np.ndarray], clip: Path) -> None:
    """Decode one way, and normalise in the tower's passes of 16 frames."""
    import torch

    for part in torch.from_numpy(way(clip)).split(16):
        part.float().sub_(127.0).div_(128.0)


def every_frame(clip: Path) -> np.ndarray:
    """Decode all frames in order of display, small."""
    from ski_lvlm.videos.decoding import probe, read_video

    return read_video(clip, num_frames=probe(clip).num_frames, size=(SIDE, SIDE)).numpy()


def wrong_frames(video: np.ndarray, truth: np.ndarray) -> int:
    """Count the frames that resemble another frame of the clip clearly more than the requested one."""
    from ski_lvlm.videos.timeline import sample_indices

    small, whole = (v[:, :, ::8, ::8].astype(np.float32).reshape(len(v), -1) for v in (video, truth))
    errors = np.abs(small[:, None] - whole[None]).mean(-1)
    requested = errors[np.arange(len(video)), sample_indices(len(truth), FRAMES)]
    return int((requested > 2 * errors.min(1) + 0.5).sum())


def time_tower(frames: int) -> tuple[float, str]:
    """Return the seconds for a clip's 100 frames, and the device."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    device = "cuda" if torch.cuda.is_available() else "cpu"
    frames = FRAMES if device == "cuda" else frames
    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, patch_size=14
    )
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    tower = CLIPVisionModel(config).eval().to(device, dtype)
    pixels = torch.zeros(frames, 3, SIDE, SIDE, device=device, dtype=dtype)
    seconds = []
    with torch.inference_mode():
        for _ in range(2):
            start = time.perf_counter()
            tower(pixel_values=pixels).last_hidden_state.float().mean().item()
            seconds.append(time.perf_counter() - start)
    return min(seconds) * FRAMES / frames, device


if __name__ == "__main__":
    cli.run(main)
