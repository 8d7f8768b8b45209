"""The power calculation as a part of its own: students that differ in their seed alone."""

from pathlib import Path
from typing import Any

from scripts.tables.recognition_plan import Replicate
from scripts.tables.results import Results
from scripts.testbed.effects import TOP1
from scripts.testbed.power import noise, smallest_gain
from scripts.testbed.recognition import STUDENT, Series, main_series
from scripts.testbed.sizes import Sizes

SEEDS = 2  # a pair for each rotation


def power_series(out: Path, sizes: Sizes) -> list[Series]:
    """Return the students with two seeds, which `main` trains too."""
    (student,) = (one for one in main_series(out, sizes) if one.name == STUDENT)
    trainings = tuple(Replicate(split, seed) for seed in range(SEEDS) for split in sizes.splits)
    return [Series(student.row, student.plan, trainings)]


def power_json(results: Results, sizes: Sizes) -> dict[str, Any]:
    """Return the noise of these trainings and the smallest gain for some numbers of seeds."""
    trainings = results.trainings.get((STUDENT, TOP1), {})
    pairs = [
        (trainings[number], trainings[number + sizes.rotations])
        for number in range(sizes.rotations)
        if number in trainings and number + sizes.rotations in trainings
    ]
    measured = noise(pairs)
    classes = sum(len(first.values) for first, _ in pairs) * sizes.rotations // len(pairs)
    return {
        "noise_over_trainings": measured.over_trainings,
        "noise_over_classes": measured.over_classes,
        "smallest_gain": {
            seeds: smallest_gain(measured, rotations=sizes.rotations, seeds=seeds, classes=classes)
            for seeds in (1, 2, 3, 6)
        },
    }


def power_text(power: dict[str, Any]) -> str:
    """Return the power calculation in words."""
    lines = [
        f"Two students that differ in their seed alone differ by {power['noise_over_trainings']:.1f} points a training "
        f"and {power['noise_over_classes']:.1f} points a class (root mean square). Gains that are significant in 4 of "
        "5 repetitions:"
    ]
    for seeds, gains in power["smallest_gain"].items():
        words = ", ".join(f"{gain:.1f} points {over}" for over, gain in gains.items())
        lines.append(f"- {seeds} seed{'s' if seeds > 1 else ''}: {words}")
    return "\n".join(lines)
