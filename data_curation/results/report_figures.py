"""Histograms of a curation run's page."""

import numpy as np
from jaxtyping import Int

from ski_lvlm.pages.pictures import ACCENT, INK, quiet_axes, svg_url

_BARS = 30
_SHOWN = 99.5  # per cent of the values that get a bar of their own; one endless answer must not squeeze all others


def bin_edges(values: Int[np.ndarray, " n"]) -> Int[np.ndarray, " e"]:
    """Edges of at most 30 bins of one whole-numbered width that hold all but the longest 0.5 % of the values.

    >>> bin_edges(np.array([3, 4, 6])).tolist()
    [3, 4, 5, 6, 7]
    """
    low, high = int(values.min()), int(np.percentile(values, _SHOWN, method="higher"))
    width = -(-(high - low + 1) // _BARS)
    return np.arange(low, high + width + 1, width)


def histogram(values: Int[np.ndarray, " n"], *, edges: Int[np.ndarray, " e"], unit: str) -> str:
    """How many values fall into each bin, as an SVG data URL; the last bin holds the greater ones too."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    counts, _ = np.histogram(np.minimum(values, edges[-1] - 1), edges)
    figure = Figure(figsize=(3.6, 1.9), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(edges[:-1] - 0.5, counts, np.diff(edges), align="edge", color=ACCENT, edgecolor="white", linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    longer = f" (last bar: {edges[-2]:,} and more)" if values.max() >= edges[-1] else ""
    axes.set_xlabel(unit + longer, fontsize=8, color=INK)
    quiet_axes(axes)
    return svg_url(figure)
