"""The scores of a zero-shot test as in zero_shot.json: shares between 0 and 1, classes by name."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recognition.accuracy import (
    confusion_matrix,
    harmonic_mean,
    mean_class_accuracy,
    per_class_accuracy,
    top_k_accuracy,
)
from ski_lvlm.recognition.intervals import interval_over

DIGITS = 4
TOP = 5


def split_scores(
    similarity: Float[Tensor, "N C"], names: Sequence[str], *, selection: Selection, classes: Sequence[str]
) -> dict[str, Any]:
    """Return all scores of one test, with generalised ones where `classes` are more than the unseen ones.

    Args:
        similarity: cosines of the clips with `classes`. A row with NaN is skipped.
        names: the clips.
        selection: defines which classes are unseen.
        classes: of the columns.

    Raises:
        ValueError: no readable clip is of an unseen class.
    """
    readable = (~similarity.isnan().any(1)).nonzero().flatten().tolist()
    split, class_of_clip = selection.split, selection.data.classes_of(names)
    unseen = [number for number in readable if class_of_clip[number] in split.unseen]
    if not unseen:
        raise ValueError(f"none of the {len(names)} clips is a readable one of an unseen class of {split.name}")
    among_unseen = similarity[unseen][:, [classes.index(name) for name in split.unseen]]
    truth = torch.tensor(selection.labels([names[number] for number in unseen], split.unseen))
    confusion = confusion_matrix(among_unseen, truth)
    scores: dict[str, Any] = {"unseen": unseen_scores(among_unseen, truth, confusion=confusion, classes=split.unseen)}
    if len(classes) > len(split.unseen):
        seen_clips = sorted(set(readable) - set(unseen))
        every = torch.tensor(selection.labels(names, classes))
        scores["generalised"] = generalised_scores(
            similarity[seen_clips], every[seen_clips], similarity[unseen], every[unseen]
        )
    scores["confusion"] = {"classes": list(split.unseen), "matrix": confusion.tolist()}
    return scores


def unseen_scores(
    similarity: Float[Tensor, "B C"],
    truth: Int[Tensor, " B"],
    *,
    confusion: Int[np.ndarray, "C C"],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Return accuracies among the unseen classes, with 95 % intervals over clips and over classes.

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
    return scores | {
        "top1_interval": interval(confusion, measure="top1", over="clips"),
        "top1_interval_over_classes": interval(confusion, measure="top1", over="classes"),
        "mean_class_interval": interval(confusion, measure="mean_class", over="clips"),
        "mean_class_interval_over_classes": interval(confusion, measure="mean_class", over="classes"),
        "per_class": {name: None if np.isnan(share) else rounded(share) for name, share in shares},
    }


def interval(
    confusion: Int[np.ndarray, "C C"], *, measure: Literal["top1", "mean_class"], over: Literal["clips", "classes"]
) -> list[float]:
    """Return the 95 % bootstrap interval of an accuracy, from the classes that have clips. See `interval_over`."""
    counts = zip(confusion.diagonal(), confusion.sum(1), strict=True)
    correct = [(np.arange(clips) < recognised).astype(float).tolist() for recognised, clips in counts if clips]
    bounds = interval_over(dict(enumerate(correct)), over, classes_alike=measure == "mean_class")
    return [rounded(bound) for bound in bounds]


def generalised_scores(
    seen_similarity: Float[Tensor, "S C"],
    seen_labels: Int[Tensor, " S"],
    unseen_similarity: Float[Tensor, "U C"],
    unseen_labels: Int[Tensor, " U"],
) -> dict[str, Any]:
    """Return top-1 of seen test clips and of unseen clips among all classes, and their harmonic mean."""
    of_seen, of_unseen = top_k_accuracy(seen_similarity, seen_labels), top_k_accuracy(unseen_similarity, unseen_labels)
    return {
        "classes": seen_similarity.shape[1],
        "seen_clips": len(seen_similarity),
        "unseen_clips": len(unseen_similarity),
        "seen": rounded(of_seen),
        "unseen": rounded(of_unseen),
        "harmonic_mean": rounded(harmonic_mean(of_seen, of_unseen)),
    }


def rounded(share: float) -> float:
    """Round a share to the digits that are reported."""
    return round(float(share), DIGITS)
