"""The numbers of a zero-shot test as they go into zero_shot.json: shares between 0 and 1, classes by their A-number."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.datasets.ntu import Split, labels, parse_name
from ski_lvlm.recognition.classes import (
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
    similarity: Float[Tensor, "N C"], names: Sequence[str], *, split: Split, actions: Sequence[int]
) -> dict[str, Any]:
    """All numbers of one test; where `actions` are more than the unseen ones, generalised ones too.

    Args:
        similarity: cosines of the clips with `actions`; a row with NaN is left out.
        names: the clips.
        split: says which actions are unseen.
        actions: the classes that sentences were given for.

    Raises:
        ValueError: no clip of an unseen class is left.
    """
    readable = (~similarity.isnan().any(1)).tolist()
    kept = [number for number, good in enumerate(readable) if good]
    unseen = [number for number in kept if parse_name(names[number]).action in split.unseen]
    if not unseen:
        raise ValueError(f"none of the {len(names)} clips is a readable one of an unseen class of {split.name}")
    among_unseen = similarity[unseen][:, [actions.index(action) for action in split.unseen]]
    truth = torch.tensor(labels([names[number] for number in unseen], actions=split.unseen))
    confusion = confusion_matrix(among_unseen, truth)
    found: dict[str, Any] = {"unseen": unseen_scores(among_unseen, truth, confusion=confusion, actions=split.unseen)}
    if len(actions) > len(split.unseen):
        seen = sorted(set(kept) - set(unseen))
        every = torch.tensor(labels(names, actions=actions))
        found["generalised"] = generalised_scores(similarity[seen], every[seen], similarity[unseen], every[unseen])
    found["confusion"] = {"actions": [f"A{action}" for action in split.unseen], "matrix": confusion.tolist()}
    return found


def unseen_scores(
    similarity: Float[Tensor, "B C"],
    truth: Int[Tensor, " B"],
    *,
    confusion: Int[np.ndarray, "C C"],
    actions: Sequence[int],
) -> dict[str, Any]:
    """Accuracies among the unseen classes, with 95 % intervals over clips and over classes; see `interval`.

    A class without clips has no accuracy (None) and is left out of means and intervals, but can be chosen. Top-5 is
    left out where there are not more than five classes.
    """
    chance = rounded(1 / len(actions))
    found: dict[str, Any] = {"clips": len(truth), "classes": len(actions), "chance": chance}
    found["top1"] = rounded(top_k_accuracy(similarity, truth))
    if len(actions) > TOP:
        found["top5"] = rounded(top_k_accuracy(similarity, truth, k=TOP))
    found["mean_class"] = rounded(mean_class_accuracy(confusion))
    shares = zip(actions, per_class_accuracy(confusion), strict=True)
    return found | {
        "top1_interval": interval(confusion, measure="top1", over="clips"),
        "top1_interval_over_classes": interval(confusion, measure="top1", over="classes"),
        "mean_class_interval": interval(confusion, measure="mean_class", over="clips"),
        "mean_class_interval_over_classes": interval(confusion, measure="mean_class", over="classes"),
        "per_class": {f"A{action}": None if np.isnan(share) else rounded(share) for action, share in shares},
    }


def interval(
    confusion: Int[np.ndarray, "C C"], *, measure: Literal["top1", "mean_class"], over: Literal["clips", "classes"]
) -> list[float]:
    """Return the 95 % bootstrap interval of an accuracy, from the classes that have clips; see `interval_over`."""
    counts = zip(confusion.diagonal(), confusion.sum(1), strict=True)
    correct = [(np.arange(clips) < recognised).astype(float).tolist() for recognised, clips in counts if clips]
    bounds = interval_over(dict(enumerate(correct)), over, classes_alike=measure == "mean_class")
    return [rounded(bound) for bound in bounds]


def generalised_scores(
    seen: Float[Tensor, "S C"],
    seen_labels: Int[Tensor, " S"],
    unseen: Float[Tensor, "U C"],
    unseen_labels: Int[Tensor, " U"],
) -> dict[str, Any]:
    """Top-1 of seen test clips and of unseen clips where all classes can be chosen, and their harmonic mean."""
    of_seen, of_unseen = top_k_accuracy(seen, seen_labels), top_k_accuracy(unseen, unseen_labels)
    return {
        "classes": seen.shape[1],
        "seen_clips": len(seen),
        "unseen_clips": len(unseen),
        "seen": rounded(of_seen),
        "unseen": rounded(of_unseen),
        "harmonic_mean": rounded(harmonic_mean(of_seen, of_unseen)),
    }


def rounded(share: float) -> float:
    """A share with as many digits as are reported."""
    return round(float(share), DIGITS)
