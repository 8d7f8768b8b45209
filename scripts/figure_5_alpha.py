"""Figure 5: zero-shot accuracy of SKI-ViFiCLIP over α, the weight of the distillation loss, as a picture.

    python scripts/figure_5_alpha.py  # in miniature, on the synthetic set
    python scripts/figure_5_alpha.py --data ntu --ntu DIR --prepared DIR

Besides figure_5.png the numbers are written, as for a table. The paper prints no numbers beside its curve. Its best
ones, at α = 0.01 on NTU60 and 10 on NTU120, are SKI-ViFiCLIP's. The rows of the cosine scale are not the paper's: they
show the same α under Eq. (1) as printed, where its gradient is thousands of times smaller.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.tables.methods import SKI_VIFICLIP, Recogniser
from scripts.tables.recognition_command import flags_of, make
from scripts.tables.results import Results
from scripts.tables.rows import Row, Table, heading
from ski_lvlm.cli import run
from ski_lvlm.storage.files import atomic_path

# fmt: off
PUBLISHED = {
    #      48/12  110/10
    0:     (None, None),
    0.001: (None, None),
    0.01:  (52.0, None),
    0.1:   (None, None),
    1:     (None, None),
    10:    (None, 77.5),
    100:   (None, None),
}
# fmt: on
COSINE_ALPHAS = (0, 10, 1000)
CURVE: tuple[Row[Recogniser], ...] = tuple(
    Row((f"α = {alpha:g}", "published"), numbers, replace(SKI_VIFICLIP, alpha=alpha))
    for alpha, numbers in PUBLISHED.items()
)
TABLE: Table[Recogniser] = Table(
    *("figure_5", "α in SKI-ViFiCLIP: zero-shot top-1 (%)", ("Method", "scale"), ("ntu60/48-12", "ntu120/110-10")),
    CURVE
    + tuple(
        Row((f"α = {alpha:g}", "cosine †"), (None, None), replace(SKI_VIFICLIP, alpha=alpha, scale="cosine"))
        for alpha in COSINE_ALPHAS
    ),
    reference=CURVE[0].name,
)
DODGE = 0.06  # between the curves, so that their bars can be told apart


def draw(results: Results, *, path: Path) -> None:
    """Draw one curve for each column, with the intervals as bars and chance as a dotted line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for index, column in enumerate(results.columns):
        cells = [results.number(row, column) for row in CURVE]
        points = [(position + DODGE * index, cell) for position, cell in enumerate(cells) if cell]
        if not points:
            continue
        places, numbers = zip(*points, strict=True)
        means = [cell.mean for cell in numbers]
        intervals = [cell.interval or (cell.mean, cell.mean) for cell in numbers]
        below = [max(0.0, cell.mean - low) for cell, (low, _) in zip(numbers, intervals, strict=True)]
        above = [max(0.0, high - cell.mean) for cell, (_, high) in zip(numbers, intervals, strict=True)]
        colour = f"C{index}"
        axes.errorbar(places, means, [below, above], marker="o", capsize=3, color=colour, label=heading(column))
        axes.axhline(numbers[0].chance, linestyle=":", linewidth=1, color=colour)
    axes.set_xticks(range(len(PUBLISHED)), [f"{alpha:g}" for alpha in PUBLISHED])
    axes.set_xlabel("α")
    axes.set_ylabel("top-1 on unseen classes (%)")
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        title = "95 % intervals over classes; dotted: chance"
        figure.legend(loc="outside upper center", ncols=len(results.columns), frameon=False, title=title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=160)


def main(flags: Sequence[str] | None = None) -> int:
    """Make the numbers, then the picture. The exit code is 1 if a step failed."""
    args = flags_of(TABLE, __doc__ or "").parse_args(flags)
    table = make(TABLE, args)
    if table.results and table.results.trainings:
        draw(table.results, path=table.out / "figure_5.png")
        print(table.out / "figure_5.png")
    return exit_code(table.failed)


if __name__ == "__main__":
    run(main)
