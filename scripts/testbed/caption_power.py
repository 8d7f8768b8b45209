"""Power of the captions part: differences that can be told apart, by trainings on video alone that differ in seed."""

from collections.abc import Mapping
from itertools import combinations

from scripts.tables.results import Results
from scripts.testbed.caption_facts import RIGHT
from scripts.testbed.captions import DOMAINS, VIDEO
from scripts.testbed.power import noise, smallest_gain

SEEDS = (3, 4, 6, 8, 12)
Power = Mapping[str, Mapping[int, Mapping[str, float]]]


def power(results: Results) -> Power:
    """Return the smallest difference in right facts by domain, seeds and interval. Empty below 3 trainings.

    Ways of one seed share their start, which these trainings do not. So it is an upper bound.
    """
    smallest = {}
    for domain in DOMAINS:
        trainings = list(results.trainings.get((VIDEO, f"{RIGHT}, {domain}"), {}).values())
        if len(trainings) < 3:
            continue
        measured, clips = noise(list(combinations(trainings, 2))), len(trainings[0].values)
        smallest[domain] = {
            seeds: dict(smallest_gain(measured, rotations=1, seeds=seeds, classes=clips)) for seeds in SEEDS
        }
    return smallest


def power_text(smallest: Power) -> str:
    """Return the power in words, a line for each domain."""
    lines = ["## Power", "Differences in right facts that are significant in 4 of 5 repetitions, in points:"]
    for domain, by_seeds in smallest.items():
        gains = [f"{max(gains.values()):.1f} with {seeds} seeds" for seeds, gains in by_seeds.items()]
        lines.append(f"- {domain}: {', '.join(gains)}")
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n"
