"""Two performances in order, with a short way from the end of the first to the beginning of the second."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from data_curation.world.perform import RATE, PartTime, Performance
from data_curation.world.thing_paths import ThingPath

_BLEND = 0.3
"""Seconds in which bodies pass from one performance to the next."""
_AWAY = np.array([0.0, -50.0, 0.0])
"""Where a thing is while its action is not on: below the floor, out of every picture."""


def after(first: Performance, second: Performance) -> Performance:
    """Return both performances in order. Each action's things are there as long as the action."""
    split, total = len(first.seconds) - 1, len(first.seconds) + len(second.seconds) - 1
    start = float(first.seconds[-1])
    later = tuple(PartTime(p.part, p.person, p.start + start, p.end + start) for p in second.parts)
    return replace(
        first,
        seconds=np.arange(total) / RATE,
        bodies=tuple(map(_joined, first.bodies, second.bodies)),
        headings=tuple(np.concatenate([a[:-1], b]) for a, b in zip(first.headings, second.headings)),
        things=(
            *(_present(thing, 0, split, total) for thing in first.things),
            *(_present(thing, split, total, total) for thing in second.things),
        ),
        parts=(*first.parts, *later),
        ways=(*first.ways, *second.ways),
    )


def _joined(first: Float[np.ndarray, "T 25 3"], second: Float[np.ndarray, "S 25 3"]) -> Float[np.ndarray, "U 25 3"]:
    """Join two bodies. The second starts where the first one stopped and leaves that smoothly."""
    share = np.clip(np.arange(len(second)) / RATE / _BLEND, 0, 1)[:, None, None]
    eased = share**2 * (3 - 2 * share)
    return np.concatenate([first[:-1], first[-1] + eased * (second - first[-1])])


def _present(thing: ThingPath, start: int, stop: int, total: int) -> ThingPath:
    moments = np.arange(total)
    inside = np.clip(moments - start, 0, len(thing.centre) - 1)
    is_there = (moments >= start) & (moments < stop)
    centre = np.where(is_there[:, None], thing.centre[inside], _AWAY)
    return ThingPath(thing.kind, centre, thing.axes[inside])
