"""From what a detector sees in single frames to persons over time.

Boxes found one after the other belong to one person if they overlap most (intersection over union, solved as an
assignment); a person may be missed for a while. The boxes are widened to squares for that, since somebody who stands
sideways and runs leaves a narrow box between two looks. Assumption: those who act are seen longest and largest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_OVERLAP = 0.2  # least intersection over union of one person's squares; of a height of 1.7 m they are 1.1 m apart
_GHOST = 2  # sightings; somebody seen no more often is a mistake of the detector, if others are seen more


class Found(NamedTuple):
    """The persons in one frame: left, top, right and bottom in pixels, and how sure the detector is (0 to 1)."""

    boxes: Float[np.ndarray, "k 4"]
    scores: Float[np.ndarray, " k"]


@dataclass
class Person:
    """One person's sightings: numbers of the looked-at frames, ascending, and the box in each."""

    seen: list[int] = field(default_factory=list)
    boxes: list[Float[np.ndarray, "4"]] = field(default_factory=list)
    weight: float = 0.0

    def add(self, number: int, box: Float[np.ndarray, "4"], score: float) -> None:
        """Note one more sighting; it weighs as much as the box is large and the detector sure."""
        self.seen.append(number)
        self.boxes.append(box)
        self.weight += float((box[2] - box[0]) * (box[3] - box[1]) * score)


def associate(frames: Sequence[Found], *, patience: int) -> list[Person]:
    """Everybody who was found, those who act first; `patience` is for how many frames a person may be missed."""
    persons: list[Person] = []
    for number, found in enumerate(frames):
        waiting = [person for person in persons if number - person.seen[-1] <= patience + 1]
        known = _match(found.boxes, waiting)
        for i, (box, score) in enumerate(zip(found.boxes, found.scores, strict=True)):
            if i not in known:
                persons.append(Person())
            known.get(i, persons[-1]).add(number, box, float(score))
    lasting = [person for person in persons if len(person.seen) > _GHOST] or persons
    return sorted(lasting, key=lambda person: -person.weight)


def _match(boxes: Float[np.ndarray, "k 4"], persons: Sequence[Person]) -> dict[int, Person]:
    """Which box is whose."""
    from scipy.optimize import linear_sum_assignment

    if not len(boxes) or not persons:
        return {}
    last = np.stack([person.boxes[-1] for person in persons])
    overlap = intersection_over_union(_squared(boxes), _squared(last))
    return {i: persons[j] for i, j in zip(*linear_sum_assignment(overlap, maximize=True)) if overlap[i, j] >= _OVERLAP}


def _squared(boxes: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "k 4"]:
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    reach = sides.max(axis=-1, keepdims=True) / 2
    return np.concatenate([middle - reach, middle + reach], axis=-1)


def intersection_over_union(one: Float[np.ndarray, "k 4"], other: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "k m"]:
    """How much boxes overlap, from 0 to 1.

    >>> intersection_over_union(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(2).tolist()
    [[0.33, 0.0]]
    """
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)
