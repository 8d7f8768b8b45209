"""Pictures inside a page, as data URLs: drawings as SVG, strips of frames as JPEG. The bytes are reproducible."""

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import UInt8

INK, MUTED, ACCENT, FRAME_HEIGHT = "#1f2937", "#9ca3af", "#2563eb", 112


def data_url(content: bytes, kind: str) -> str:
    """Return a URL that contains these bytes.

    >>> data_url(b"hi", "text/plain")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def quiet_axes(axes: Any) -> None:  # noqa: ANN401
    """Give matplotlib axes the look of all drawings: a line below, faint horizontal rules, small figures."""
    axes.tick_params(labelsize=7, colors=INK, length=2)
    axes.grid(axis="y", color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)


def svg_url(figure: Any) -> str:  # noqa: ANN401
    """Return a matplotlib figure as an SVG data URL that depends on the drawing alone."""
    from matplotlib import rc_context

    target = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "ski-lvlm", "font.family": "sans-serif"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return data_url(target.getvalue(), "image/svg+xml")


def strip(frames: UInt8[np.ndarray, "T 3 H W"]) -> str:
    """Return frames side by side, in the order of time, as a JPEG data URL."""
    from einops import rearrange
    from PIL import Image

    gap = np.full((*frames.shape[:3], 3), 255, dtype=np.uint8)
    spaced = np.concatenate([frames, gap], axis=3)
    target = io.BytesIO()
    Image.fromarray(rearrange(spaced, "t c h w -> h (t w) c")).save(target, "JPEG", quality=80)
    return data_url(target.getvalue(), "image/jpeg")


def video_strip(path: str, *, num_frames: int) -> str:
    """Return `num_frames` evenly spaced frames of a video as a strip.

    Raises:
        VideoError: the video cannot be decoded.
    """
    from ski_lvlm.videos.decoding import probe, read_video

    info = probe(path)
    size = (FRAME_HEIGHT, max(1, round(info.width * FRAME_HEIGHT / info.height)))
    return strip(read_video(path, num_frames=num_frames, size=size).numpy())
