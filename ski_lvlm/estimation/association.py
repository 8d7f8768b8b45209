"""Persons over time from detections in single frames.

Consecutive boxes belong to one person if they overlap most (intersection over union, solved as an assignment). A person
may be missing for some frames. Boxes are widened to squares first, because a person who runs sideways would leave a
narrow box between two frames. Assumption: those who act are visible longest and largest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_OVERLAP = 0.2  # minimum intersection over union of one person's squares: 1.1 m apart at a height of 1.7 m
_GHOST = 2  # detections up to which a person is an error of the detector, if others have more


class Detections(NamedTuple):
    """The persons in one frame: left, top, right and bottom in pixels, and scores from 0 to 1."""

    boxes: Float[np.ndarray, "k 4"]
    scores: Float[np.ndarray, " k"]


@dataclass
class Person:
    """One person's boxes with their frame numbers, ascending."""

    frames: list[int] = field(default_factory=list)
    boxes: list[Float[np.ndarray, "4"]] = field(default_factory=list)
    weight: float = 0.0

    def add(self, number: int, box: Float[np.ndarray, "4"], score: float) -> None:
        """Add a detection, weighted by the size of its box and its score."""
        self.frames.append(number)
        self.boxes.append(box)
        self.weight += float((box[2] - box[0]) * (box[3] - box[1]) * score)


def associate(frames: Sequence[Detections], *, patience: int) -> list[Person]:
    """Return all persons, those who act first. A person may be missing for `patience` frames."""
    persons: list[Person] = []
    for number, detections in enumerate(frames):
        recent = [person for person in persons if number - person.frames[-1] <= patience + 1]
        matches = _match(detections.boxes, recent)
        for i, (box, score) in enumerate(zip(detections.boxes, detections.scores, strict=True)):
            if i not in matches:
                persons.append(Person())
            matches.get(i, persons[-1]).add(number, box, float(score))
    lasting = [person for person in persons if len(person.frames) > _GHOST] or persons
    return sorted(lasting, key=lambda person: -person.weight)


def _match(boxes: Float[np.ndarray, "k 4"], persons: Sequence[Person]) -> dict[int, Person]:
    """Assign boxes to persons, by the index of the box."""
    from scipy.optimize import linear_sum_assignment

    if not len(boxes) or not persons:
        return {}
    last = np.stack([person.boxes[-1] for person in persons])
    overlap = intersection_over_union(_squared(boxes), _squared(last))
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return {i: persons[j] for i, j in zip(rows.tolist(), columns.tolist()) if overlap[i, j] >= _OVERLAP}


def _squared(boxes: Float[np.ndarray, "k 4"]) -> Float[np.ndarray, "k 4"]:
    middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    reach = sides.max(axis=-1, keepdims=True) / 2
    return np.concatenate([middle - reach, middle + reach], axis=-1)


def intersection_over_union(one: Float[np.ndarray, "k 4"], other: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "k m"]:
    """Return the overlap of boxes, from 0 to 1.

    >>> intersection_over_union(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 0, 3, 2], [5, 5, 6, 6]])).round(2).tolist()
    [[0.33, 0.0]]
    """
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)
