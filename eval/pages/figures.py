"""Loss curves."""

import math
from typing import Any

from ski_lvlm.pages.pictures import ACCENT, INK, quiet_axes, svg_url


def loss_points(metrics: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Return (step, loss) of a run's `metrics.jsonl`. If a resumed run logged a step again, the last line counts.

    >>> loss_points([{"step": 2, "loss": 3.0}, {"step": 1, "loss": 4.0}, {"step": 2, "loss": 2.5}, {"step": 3}])
    [(1.0, 4.0), (2.0, 2.5)]
    """
    lines = [line for line in metrics if _is_number(line.get("step")) and _is_number(line.get("loss"))]
    return sorted({float(line["step"]): float(line["loss"]) for line in lines}.items())


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def loss_curve(points: list[tuple[float, float]]) -> str:
    """Return the curve as an SVG data URL, with the first and the last loss at its ends."""
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
    quiet_axes(axes)
    return svg_url(figure)
