"""Picture of Figure 1: two planes of videos and class sentences, and the distances beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from eval.recognition.confusion import shortened
from scripts.figures.students import BEFORE_AFTER
from ski_lvlm.storage.files import atomic_path

DISTANCES = {"own": "to own\nsentence", "nearest_other": "to nearest\nother", "margin": "margin"}
LEGEND_CLASSES = 30  # with more, the legend does not name them
INK, MUTED, WHEN_COLOURS = "#1f2937", "#9ca3af", {"before": "#9ca3af", "after": "#2563eb"}


class Embedded(NamedTuple):
    """Clips and class sentences in the space of one student."""

    title: str
    videos: Float[np.ndarray, "N D"]
    sentences: Float[np.ndarray, "C D"]
    similarity: Float[np.ndarray, "N C"]
    has_video_prompts: bool  # X-CLIP adapts sentences to each video; `sentences` is without that


class Plane(NamedTuple):
    """Two principal components, and the share of all variation that each has."""

    videos: Float[np.ndarray, "N 2"]
    sentences: Float[np.ndarray, "C 2"]
    shares: tuple[float, float]


def plane(model: Embedded) -> Plane:
    """Return the plane with most of the variation of unit-length features. Videos and sentences weigh half each."""
    videos, sentences = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (model.videos, model.sentences))
    centre = (videos.mean(0) + sentences.mean(0)) / 2
    videos, sentences = videos - centre, sentences - centre
    weighted = np.concatenate([videos / np.sqrt(len(videos)), sentences / np.sqrt(len(sentences))])
    _, spreads, axes = np.linalg.svd(weighted.astype(np.float64), full_matrices=False)
    share = spreads**2 / (spreads**2).sum()
    flat = sentences @ axes[:2].T
    farthest = flat[np.abs(flat[:, 1]).argmax(), 1]
    # The signs of principal axes are arbitrary: sentences go to the right, the farthest one up.
    signs = np.where([flat[:, 0].mean() < 0, farthest < 0], -1, 1)
    axes = axes[:2] * signs[:, None]
    return Plane(videos @ axes.T, sentences @ axes.T, (float(share[0]), float(share[1])))


def draw_planes(
    models: Sequence[Embedded],
    classes: Int[np.ndarray, " N"],
    titles: Sequence[str],
    *,
    result: dict[str, Any],
    path: Path,
) -> None:
    """Draw both planes to one scale, and the distances beside them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[2.7, 1])  # type: ignore[misc]
    panels = left.subplots(1, 2)
    planes = [plane(model) for model in models]
    reach = 1.08 * max(float(np.abs(np.concatenate([p.videos, p.sentences])).max()) for p in planes)
    colours = class_colours(len(titles))
    for axes, model, flat in zip(panels, models, planes, strict=True):
        _panel(axes, flat, classes, colours)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        note = "\nsentences without X-CLIP's video prompts" if model.has_video_prompts else ""
        axes.set_title(f"{model.title}{note}", fontsize=12, color=INK)
    _legend(left, titles, colours)
    _distances_panels(right, result)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def class_colours(count: int) -> list[Any]:
    """Return colours as far apart as their number allows."""
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](i) for i in range(count)]
    return [colormaps["turbo"](0.03 + 0.94 * i / (count - 1)) for i in range(count)]


def _panel(axes: Any, flat: Plane, classes: Int[np.ndarray, " N"], colours: list[Any]) -> None:  # noqa: ANN401
    for c, colour in enumerate(colours):
        videos = flat.videos[classes == c]
        axes.scatter(videos[:, 0], videos[:, 1], s=16, color=colour, alpha=0.45, linewidths=0)
        if len(videos):
            middle = videos.mean(0)
            axes.plot(*zip(middle, flat.sentences[c], strict=True), color=colour, linewidth=1.1, linestyle=":")
            axes.scatter(*middle, s=62, facecolor=colour, edgecolor="white", linewidths=1.2, zorder=3)
        axes.scatter(*flat.sentences[c], s=260, marker="*", color=colour, edgecolor=INK, linewidths=0.9, zorder=4)
    for label, share in zip((axes.set_xlabel, axes.set_ylabel), flat.shares, strict=True):
        label(f"{share:.0%} of the variation", fontsize=9, color=MUTED)
    axes.tick_params(labelsize=8, colors=MUTED, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)


def _legend(figure: Any, titles: Sequence[str], colours: list[Any]) -> None:  # noqa: ANN401
    from matplotlib.lines import Line2D

    def entry(label: str, colour: Any, marker: str, size: float, alpha: float = 1.0) -> Line2D:  # noqa: ANN401
        edge = INK if marker == "*" else "none"
        line = Line2D([], [], linestyle="", marker=marker, markersize=size, color=colour, label=label)
        line.set(markeredgecolor=edge, alpha=alpha)
        return line

    names = titles if len(titles) <= LEGEND_CLASSES else []
    classes = [entry(shortened(name, longest=23), colour, "o", 8) for name, colour in zip(names, colours, strict=False)]
    kinds = [
        entry("a video", INK, "o", 4, 0.5),
        entry("mean of a class", INK, "o", 8),
        entry("its sentence", "white", "*", 14),
    ]
    handles = classes + kinds
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), frameon=False, fontsize=8.5)


def _distances_panels(figure: Any, result: dict[str, Any]) -> None:  # noqa: ANN401
    above, below = figure.subplots(2, 1, height_ratios=[2, 1])
    _bars(above, result, ["own", "nearest_other"])
    _bars(below, result, ["margin"])
    above.set_title("mean cosine distance of a video …", fontsize=11, color=INK)
    above.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False, fontsize=9.5)
    below.set_xlabel("in the full space; with 95 % intervals", fontsize=9, color=MUTED)


def _bars(axes: Any, result: dict[str, Any], keys: Sequence[str]) -> None:  # noqa: ANN401
    for k, key in enumerate(keys):
        for moment, offset in zip(BEFORE_AFTER, (-0.18, 0.18), strict=True):
            mean, (low, high) = result[moment][key]["mean"], result[moment][key]["interval"]
            axes.barh(
                k + offset, mean, height=0.32, color=WHEN_COLOURS[moment], label=None if k else result[moment]["model"]
            )
            axes.errorbar(mean, k + offset, xerr=[[mean - low], [high - mean]], color=INK, linewidth=1.2, capsize=4)
            side = 1 if mean >= 0 else -1
            place, align = (high, "left") if mean >= 0 else (low, "right")
            text = {"ha": align, "va": "center", "fontsize": 9, "color": INK}
            axes.annotate(f"{mean:.3f}", (place, k + offset), (6 * side, 0), textcoords="offset points", **text)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.margins(x=0.3, y=0.1)
    axes.set_yticks(range(len(keys)), [DISTANCES[key] for key in keys], fontsize=10, color=INK)
    axes.invert_yaxis()
    axes.tick_params(labelsize=9, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
