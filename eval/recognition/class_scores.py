"""The scores of a zero-shot test as in zero_shot.json: shares between 0 and 1, classes by name."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recognition.accuracy import (
    confusion_matrix,
    count_answers,
    harmonic_mean,
    mean_class_accuracy,
    per_class_accuracy,
    top_k_accuracy,
)
from ski_lvlm.recognition.intervals import interval_over

DIGITS = 4
TOP = 5


def split_scores(
    similarity: Float[Tensor, "N U"], names: Sequence[str], *, selection: Selection, are_seen: bool = False
) -> dict[str, dict[str, Any]]:
    """Return the scores among the unseen classes of a split, and the confusion of these.

    Args:
        similarity: of the clips with the unseen classes. A row with NaN is skipped.
        names: the clips. Those of other classes are skipped.
        selection: defines which classes are unseen.
        are_seen: a closed-set test, whose classes were seen in training after all.

    Raises:
        ValueError: no readable clip is of an unseen class.
    """
    split, class_of_clip = selection.split, selection.data.classes_of(names)
    rows = [number for number in readable_rows(similarity) if class_of_clip[number] in split.unseen]
    if not rows:
        raise ValueError(f"none of the {len(names)} clips is a readable one of an unseen class of {split.name}")
    truth = torch.tensor(selection.labels([names[number] for number in rows], split.unseen))
    confusion = confusion_matrix(similarity[rows], truth)
    return {
        "seen" if are_seen else "unseen": class_scores(
            similarity[rows], truth, confusion=confusion, classes=split.unseen
        ),
        "confusion": {"classes": list(split.unseen), "matrix": confusion.tolist()},
    }


def readable_rows(scores: Float[Tensor, "N C"]) -> list[int]:
    """Return the positions of the clips that could be read."""
    return [int(number) for number in (~scores.isnan().any(1)).nonzero().flatten()]


def class_scores(
    similarity: Float[Tensor, "B C"],
    truth: Int[Tensor, " B"],
    *,
    confusion: Int[np.ndarray, "C C"],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return accuracies among classes, with 95 % intervals over clips and over classes.

    A class without clips has no accuracy (None) and no part in means and intervals, but can be predicted. Top-5 needs
    more than five classes.
    """
    chance = rounded(1 / len(classes))
    scores: dict[str, Any] = {"clips": len(truth), "classes": len(classes), "chance": chance}
    scores["top1"] = rounded(top_k_accuracy(similarity, truth))
    if len(classes) > TOP:
        scores["top5"] = rounded(top_k_accuracy(similarity, truth, k=TOP))
    scores["mean_class"] = rounded(mean_class_accuracy(confusion))
    shares = zip(classes, per_class_accuracy(confusion), strict=True)
    counts = confusion.diagonal(), confusion.sum(1)
    return scores | {
        "top1_interval": interval(*counts, measure="top1", over="clips"),
        "top1_interval_over_classes": interval(*counts, measure="top1", over="classes"),
        "mean_class_interval": interval(*counts, measure="mean_class", over="clips"),
        "mean_class_interval_over_classes": interval(*counts, measure="mean_class", over="classes"),
        "per_class": {name: None if np.isnan(share) else rounded(share) for name, share in shares},
    }


def interval(
    correct: Int[np.ndarray, " C"],
    clips: Int[np.ndarray, " C"],
    *,
    measure: Literal["top1", "mean_class"],
    over: Literal["clips", "classes"],
) -> list[float]:
    """Return the 95 % bootstrap interval of an accuracy, from the classes that have clips. See `interval_over`."""
    counts = zip(correct, clips, strict=True)
    of_class = [(np.arange(number) < recognised).astype(float).tolist() for recognised, number in counts if number]
    bounds = interval_over(dict(enumerate(of_class)), over, classes_alike=measure == "mean_class")
    return [rounded(bound) for bound in bounds]


def answer_scores(
    answers: Int[Tensor, " N"], labels: Int[Tensor, " N"], *, is_seen: Bool[Tensor, " C"]
) -> dict[str, Any]:
    """Return top-1 of clips of seen and of unseen classes with their 95 % intervals, and the harmonic mean.

    Args:
        answers: classes that the clips were taken for, of all classes.
        labels: classes of the clips.
        is_seen: of all classes.

    Raises:
        ValueError: there is no clip of a seen class, or none of an unseen class.
    """
    matrix = count_answers(answers, labels, classes=len(is_seen))
    scores: dict[str, Any] = {}
    shares = {}
    for kind, rows in (("seen", is_seen.numpy()), ("unseen", ~is_seen.numpy())):
        correct, clips = matrix.diagonal()[rows], matrix.sum(1)[rows]
        if not clips.sum():
            raise ValueError(f"none of the clips is a readable one of the {kind} classes; leave out --generalised")
        shares[kind] = correct.sum() / clips.sum()
        scores[kind] = rounded(shares[kind])
        scores[f"{kind}_interval"] = interval(correct, clips, measure="top1", over="clips")
        scores[f"{kind}_interval_over_classes"] = interval(correct, clips, measure="top1", over="classes")
    return scores | {"harmonic_mean": rounded(harmonic_mean(float(shares["seen"]), float(shares["unseen"])))}


def rounded(share: float) -> float:
    """Round a share to the digits that are reported."""
    return round(float(share), DIGITS)
