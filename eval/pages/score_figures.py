"""The figures of a page of scores: ours beside the published ones, and the histogram of grades."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ski_lvlm.pages.pictures import ACCENT, INK, MUTED, quiet_axes, svg_url

_MARKERS = ("o", "^", "s", "D")


class Bar(NamedTuple):
    """One score from 0 to 100 or None, its 95 % interval, and the published ones by model."""

    name: str
    score: float | None
    interval: Sequence[float] | None
    published: Mapping[str, float]


def score_bars(bars: Sequence[Bar]) -> str:
    """Return bars of our scores with intervals, and the published scores as grey marks, as an SVG data URL."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(bars)), [bar.score or 0 for bar in bars], width=0.34, color=ACCENT, alpha=0.85, label="this run")
    for position, bar in enumerate(bars):
        if bar.score is not None and bar.interval:
            axes.plot([position, position], bar.interval, linewidth=1.4, marker="_", color=INK, markersize=9)
    models = list(dict.fromkeys(model for bar in bars for model in bar.published))
    for number, model in enumerate(models):
        # Beside the bar and beside each other, so that equal scores do not overlap.
        positions = [position + 0.26 + 0.09 * number for position in range(len(bars))]
        scores = [bar.published.get(model, float("nan")) for bar in bars]
        axes.plot(positions, scores, linestyle="", marker=_MARKERS[number % 4], color=MUTED, markersize=5, label=model)
    axes.set_xticks(range(len(bars)), [bar.name.replace(" ", "\n") for bar in bars])
    axes.set_xlim(-0.5, len(bars) - 0.3)
    axes.set_ylim(0, 100)
    quiet_axes(axes)
    axes.legend(loc="upper right", ncols=5, fontsize=7, frameon=False, handletextpad=0.3)
    return svg_url(figure)


def score_histogram(counts: Sequence[int]) -> str:
    """Return the histogram of grades by whole score, with the count above each bar, as an SVG data URL."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 1.9), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.bar(range(len(counts)), counts, color=ACCENT, width=0.8)
    axes.bar_label(bars, labels=[f"{count:,}" if count else "" for count in counts], fontsize=7, color=INK)
    axes.set_xticks(range(len(counts)))
    axes.set_yticks([])
    axes.margins(y=0.18)
    axes.set_xlabel("score", fontsize=8, color=INK)
    quiet_axes(axes)
    return svg_url(figure)
