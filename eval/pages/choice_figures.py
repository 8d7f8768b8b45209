"""The figure of positions: how often each letter is chosen, beside how often it is right."""

from collections.abc import Mapping, Sequence
from typing import Any

from ski_lvlm.pages.pictures import ACCENT, INK, MUTED, quiet_axes, svg_url


def position_bars(positions: Sequence[Mapping[str, Any]]) -> str:
    """Return bars of both shares for each letter, with the interval of their difference, as an SVG data URL."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(positions))
    for name, offset, color in (("right", -0.19, MUTED), ("chosen", 0.19, ACCENT)):
        shares = [100 * row[name] for row in positions]
        axes.bar([place + offset for place in places], shares, width=0.36, color=color, label=name)
    for place, row in zip(places, positions):
        if row["difference_interval"]:  # at the bar of the choices: their share, were the right ones as they are
            ends = [100 * (row["right"] + end) for end in row["difference_interval"]]
            axes.plot([place + 0.19] * 2, ends, linewidth=1.2, marker="_", color=INK, markersize=6)
    axes.set_xticks(places, [row["letter"] for row in positions])
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of answers", fontsize=8, color=INK)
    quiet_axes(axes)
    axes.legend(loc="upper right", ncols=2, fontsize=7, frameon=False)
    return svg_url(figure)
