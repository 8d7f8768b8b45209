"""Pictures inside a page: loss curves as SVG and strips of frames as JPEG, each as a data URL."""

import base64
import io
import math
from typing import Any

import numpy as np
from jaxtyping import UInt8

INK, MUTED, ACCENT, FRAME_HEIGHT = "#1f2937", "#9ca3af", "#2563eb", 112


def data_url(content: bytes, kind: str) -> str:
    """Bytes as a URL that carries them.

    >>> data_url(b"hi", "text/plain")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def loss_points(metrics: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """(step, loss) of a run's `metrics.jsonl`; where a resumed run logged a step again, the last line counts.

    >>> loss_points([{"step": 2, "loss": 3.0}, {"step": 1, "loss": 4.0}, {"step": 2, "loss": 2.5}, {"step": 3}])
    [(1.0, 4.0), (2.0, 2.5)]
    """
    lines = [line for line in metrics if _is_number(line.get("step")) and _is_number(line.get("loss"))]
    return sorted({float(line["step"]): float(line["loss"]) for line in lines}.items())


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def loss_curve(points: list[tuple[float, float]]) -> str:
    """The curve as an SVG data URL; the first and the last loss are written at its ends."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 2.1), layout="constrained")
    axes = figure.add_subplot()
    steps, losses = zip(*points, strict=True)
    axes.plot(steps, losses, color=ACCENT, linewidth=1.6, marker="o" if len(points) < 3 else None)
    for index in {0, len(points) - 1}:
        axes.annotate(
            f"{losses[index]:.2f}", points[index], (0, 5), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_ylim(bottom=0, top=max(losses) * 1.18 or 1)
    axes.margins(x=0.09)
    axes.set_xlabel("step", fontsize=8, color=INK)
    axes.tick_params(labelsize=7, colors=INK, length=2)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    target = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ski-lvlm", "font.family": "sans-serif"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return data_url(target.getvalue(), "image/svg+xml")


def strip(frames: UInt8[np.ndarray, "T 3 H W"]) -> str:
    """Frames side by side, in the order of time, as a JPEG data URL."""
    from einops import rearrange
    from PIL import Image

    gap = np.full((*frames.shape[:3], 3), 255, dtype=np.uint8)
    spaced = np.concatenate([frames, gap], axis=3)
    target = io.BytesIO()
    Image.fromarray(rearrange(spaced, "t c h w -> h (t w) c")).save(target, "JPEG", quality=80)
    return data_url(target.getvalue(), "image/jpeg")


def video_strip(path: str, *, num_frames: int) -> str:
    """`num_frames` evenly spaced frames of a video as a strip.

    Raises:
        VideoError: the video cannot be decoded.
    """
    from ski_lvlm.video import probe, read_video

    info = probe(path)
    size = (FRAME_HEIGHT, max(1, round(info.width * FRAME_HEIGHT / info.height)))
    return strip(read_video(path, num_frames=num_frames, size=size).numpy())
