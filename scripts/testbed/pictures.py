"""Pictures of the testbed's results: gains with their intervals, curves, and gain against teacher by class."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.tables.results import Comparison, Number, Results
from scripts.testbed.effects import TOP1
from scripts.testbed.recognition import ALPHAS, SHARES, SKI, STUDENT, TEACHER, TWIN, share_name
from scripts.testbed.world import ENDS, MIDDLE
from ski_lvlm.storage.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAIN_ALPHA = 10.0


def draw_gains(results: Results, *, path: Path, measure: str = TOP1, unit: str = "classes") -> None:
    """Draw every difference in a measure as a point with its interval over classes or clips, and its trainings."""
    from matplotlib.figure import Figure

    comparisons = results.comparisons([measure])
    if not comparisons:
        return
    figure = Figure(figsize=(8, 1 + 0.3 * len(comparisons)), layout="constrained")
    axes = figure.add_subplot()
    for place, one in enumerate(reversed(comparisons)):
        trainings = one.points.per_training
        axes.plot(trainings, [place] * len(trainings), "|", color="0.6")
        axes.errorbar([one.points.mean], [place], xerr=_bars([one.points]), fmt="o", color="C0", capsize=3)
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set_yticks(range(len(comparisons)), [f"{one.row} − {one.baseline}" for one in reversed(comparisons)])
    axes.set_xlabel(f"points of {measure}: mean, 95 % over {unit}, and each training (grey)")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def draw_curves(results: Results, *, path: Path) -> None:
    """Draw the gain over α, over the share of clips with skeletons, and over the parameters of difficulty."""
    from matplotlib.figure import Figure

    main = (SKI, TWIN)
    alphas = sorted([*ALPHAS, MAIN_ALPHA])
    curves = {
        "α": [(f"{a:g}", main if a == MAIN_ALPHA else (f"α = {a:g}", TWIN)) for a in alphas],
        "clips with skeletons": [
            *((f"{share:.0%}", (share_name(share), TWIN)) for share in SHARES),
            ("100%", main),
        ],
    } | {
        name: [
            (end, (f"{SKI}, {world}", f"{TWIN}, {world}"))
            for end, world in (("easy", f"{name}_easy"), ("middle", MIDDLE), ("hard", f"{name}_hard"))
        ]
        for name in ENDS
    }
    measured = {
        title: [(label, results.comparison(*pair, TOP1)) for label, pair in points] for title, points in curves.items()
    }
    drawable = {title: points for title, points in measured.items() if sum(bool(one) for _, one in points) > 1}
    if not drawable:
        return
    figure = Figure(figsize=(2.4 * len(drawable), 2.8), layout="constrained")
    panels = figure.subplots(1, len(drawable), sharey=True, squeeze=False)[0]
    for axes, (title, points) in zip(panels, drawable.items(), strict=True):
        _draw_curve(axes, points)
        axes.set_title(title)
    figure.supylabel("gain of the SKI student, points")
    _save(figure, path)


def _draw_curve(axes: "Axes", points: Sequence[tuple[str, Comparison | None]]) -> None:
    numbers = [(place, one.points) for place, (_, one) in enumerate(points) if one]
    axes.axhline(0, color="0.3", linewidth=1)
    if numbers:
        places, cells = zip(*numbers, strict=True)
        axes.errorbar(places, [cell.mean for cell in cells], _bars(cells), marker="o", capsize=3)
    axes.set_xticks(range(len(points)), [label for label, _ in points])
    axes.spines[["top", "right"]].set_visible(False)


def draw_classes(results: Results, *, path: Path) -> None:
    """Draw each class's gain against what the teacher knows of it."""
    from matplotlib.figure import Figure

    ski, twin, teacher, student = (
        results.per_class(results.table.row(name), TOP1) for name in (SKI, TWIN, TEACHER, STUDENT)
    )
    names = sorted(ski.keys() & twin.keys() & teacher.keys() & student.keys())
    if not names:
        return
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    gains = [ski[name] - twin[name] for name in names]
    points = axes.scatter([teacher[n] for n in names], gains, c=[student[n] for n in names], cmap="viridis")
    figure.colorbar(points, label="student's top-1 (%)")
    axes.axhline(0, color="0.3", linewidth=1)
    axes.set_xlabel(f"{TEACHER}'s top-1 on the unseen class (%)")
    axes.set_ylabel("gain of the SKI student, points")
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _bars(cells: Sequence[Number]) -> Any:  # noqa: ANN401  # [2 N] for matplotlib
    ends = [cell.interval or (cell.mean, cell.mean) for cell in cells]
    below = [max(0.0, cell.mean - low) for cell, (low, _) in zip(cells, ends, strict=True)]
    above = [max(0.0, high - cell.mean) for cell, (_, high) in zip(cells, ends, strict=True)]
    return [below, above]


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401  # matplotlib's Figure
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=140)
