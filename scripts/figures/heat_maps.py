"""The picture of Figure 3: for every clip a row of frames, and one of heat for each of two students."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from einops import rearrange
from jaxtyping import Float, Float32, UInt8

from eval.recognition.confusion import shortened
from scripts.figures.students import BEFORE_AFTER
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.storage.files import atomic_path

INK, MUTED, RIGHT, WRONG, JOINTS = "#1f2937", "#6b7280", "#15803d", "#b91c1c", "#22d3ee"
COLOURS = "inferno"
CELL, GAP, LABELS, HEADING, FOOT = 2.1, 0.05, 2.6, 0.42, 0.5  # inches


class MappedClip(NamedTuple):
    """A clip, the joints (x, y) of each person in each frame, its two maps, and their numbers.

    `aspect` is height by width before the frames were squeezed into squares. Joints are in pixels of the maps. The
    frames may be finer.
    """

    frames: UInt8[np.ndarray, "T 3 fine fine"]
    aspect: float
    people: list[list[Float[np.ndarray, "J 2"]]] | None
    maps: list[Float[np.ndarray, "T H W"]]
    record: dict[str, Any]


class _Page(NamedTuple):
    """A figure that is laid out in inches from its upper left corner."""

    figure: Any
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float) -> Any:  # noqa: ANN401
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def text(self, left: float, top: float, words: str, **style: Any) -> None:  # noqa: ANN401
        self.figure.text(left / self.width, 1 - top / self.height, words, **style)


def draw_maps(clips: Sequence[MappedClip], *, titles: Sequence[str], path: Path, columns: int) -> None:
    """Draw all clips below each other, at most `columns` frames of each."""
    from matplotlib.figure import Figure

    count = min(columns, *(len(clip.frames) for clip in clips))
    heights = [HEADING + 3 * (CELL * clip.aspect + GAP) + GAP for clip in clips]
    width, height = LABELS + count * (CELL + GAP) + GAP, sum(heights) + FOOT
    page = _Page(Figure(figsize=(width, height)), width, height)
    for clip, top in zip(clips, np.cumsum([0.0, *heights]), strict=False):
        _clip(page, clip, titles, count, top=float(top))
    _scale(page)
    with atomic_path(path) as temporary:
        page.figure.savefig(temporary, format="png", dpi=130)


def _clip(page: _Page, clip: MappedClip, titles: Sequence[str], count: int, *, top: float) -> None:
    cell = CELL * clip.aspect
    moments = [(2 * i + 1) * len(clip.frames) // (2 * count) for i in range(count)]
    heading = f"{clip.record['true']}   {clip.record['clip']}"
    page.text(GAP, top + HEADING / 2 + 0.05, heading, fontsize=12, weight="bold", color=INK, va="center")
    for row in range(3):
        y = top + HEADING + row * (cell + GAP)
        _label(page, clip, row, titles, top=y, height=cell)
        for column, t in enumerate(moments):
            axes = page.axes(LABELS + column * (CELL + GAP), y, CELL, cell)
            heat = None if row == 0 else clip.maps[row - 1][t]
            _frame(axes, clip, t, heat)


def _label(page: _Page, clip: MappedClip, row: int, titles: Sequence[str], *, top: float, height: float) -> None:
    near = clip.record["area_near_joints"]
    if row == 0:
        lines = [
            ("frames", INK, "bold"),
            ("no skeleton" if near is None else f"{near:.0%} of area near joints", MUTED, ""),
        ]
    else:
        entry = clip.record[BEFORE_AFTER[row - 1]]
        heat = entry["heat_near_joints"]
        colour, mark = (RIGHT, "✓") if entry["right"] else (WRONG, "✗")
        verdict = (f"{mark} {shortened(entry['predicted'], longest=30)}", colour, "")
        lines = [(titles[row - 1], INK, "bold"), verdict]
        lines += [] if heat is None else [(f"{heat:.0%} of heat near joints", MUTED, "")]
    for number, (words, colour, weight) in enumerate(lines):
        y = top + height / 2 + 0.21 * (number - (len(lines) - 1) / 2)
        page.text(GAP, y, words, fontsize=10, color=colour, weight=weight or "normal", va="center")


def _frame(axes: Any, clip: MappedClip, t: int, heat: Float32[np.ndarray, "H W"] | None) -> None:  # noqa: ANN401
    """Draw a frame, in grey below its heat if there is any, and the skeletons on it."""
    from matplotlib import colormaps

    height, width = clip.maps[0].shape[1:]
    placement = {"extent": (0, width, height, 0), "aspect": "auto", "interpolation": "bilinear"}
    image = rearrange(clip.frames[t], "c h w -> h w c") / 255
    if heat is None:
        axes.imshow(image, **placement)
    else:
        axes.imshow(0.25 + 0.75 * image.mean(-1, keepdims=True).repeat(3, -1), **placement)
        opacity = 0.75 * np.sqrt(heat)[..., None]  # without heat, the frame is visible
        axes.imshow(np.concatenate([colormaps[COLOURS](heat)[..., :3], opacity], -1), **placement)
    for joints in clip.people[t] if clip.people else []:
        for child, parent in LAYOUTS["ntu-25"].bones:
            axes.plot(*joints[[child, parent]].T, color=JOINTS, linewidth=0.9, alpha=0.9)
        axes.scatter(*joints.T, s=3.5, color=JOINTS, linewidths=0)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")


def _scale(page: _Page) -> None:
    bar = page.axes(LABELS, page.height - FOOT + 0.16, 2 * CELL, 0.12)
    bar.imshow(np.linspace(0, 1, 256)[None], aspect="auto", cmap=COLOURS, extent=(0, 1, 0, 1))
    bar.set_yticks([])
    bar.set_xticks([0, 1], ["no heat", "hottest of the clip and student"], fontsize=8, color=MUTED)
    bar.tick_params(length=0)
    left, right = bar.get_xticklabels()
    left.set_ha("left")
    right.set_ha("right")
    bar.spines[:].set_visible(False)
