"""A confusion matrix as a picture: counts written, colours by the share of each class's clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ski_lvlm.storage.files import atomic_path

LONGEST_NAME, MOST_WITH_COUNTS = 34, 60


def shortened(name: str, *, longest: int = LONGEST_NAME) -> str:
    """Shorten a name to fit beside the matrix.

    >>> shortened("cutting nails", longest=8)
    'cutting…'
    """
    return name if len(name) <= longest else name[: longest - 1].rstrip() + "…"


def draw_confusion(matrix: Int[np.ndarray, "C C"], names: Sequence[str], *, title: str, path: Path) -> None:
    """Draw the matrix as a PNG: a row is a true class, a column what its clips were taken for.

    A class without clips has a grey row. Counts are skipped where they would be too small to read.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    classes = len(names)
    clips = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, clips, out=np.full(matrix.shape, np.nan), where=clips > 0)
    labels = [shortened(name) for name in names]
    side = 2.0 + 0.42 * max(classes, 6)
    figure = Figure(figsize=(side + 2.2, side + 1.4), layout="compressed")
    axes = figure.add_subplot()
    colours = colormaps["Blues"].with_extremes(bad="#d1d5db")
    image = axes.imshow(shares, cmap=colours, vmin=0.0, vmax=1.0)
    counted = [f"{label} ({count})" for label, count in zip(labels, clips[:, 0], strict=True)]
    axes.set_yticks(range(classes), counted, fontsize=8)
    axes.set_xticks(range(classes), labels, fontsize=8, rotation=45, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_ylabel("true class (clips)")
    axes.set_xlabel("recognised as")
    axes.set_title(title, fontsize=10)
    if classes <= MOST_WITH_COUNTS:
        for row, column in zip(*matrix.nonzero(), strict=True):
            ink = "white" if shares[row, column] > 0.55 else "#1f2937"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7, color=ink)
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the true class")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
