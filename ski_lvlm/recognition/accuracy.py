"""Accuracies of recognition."""

import statistics

import numpy as np
from einops import rearrange
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor


def predicted(similarity: Float[Tensor, "B C"], *, k: int = 1) -> Int64[Tensor, "B k"]:
    """Return the `k` most similar classes, best first. Ties go to the lower class number."""
    return similarity.argsort(dim=-1, descending=True, stable=True)[:, :k]


def top_k_accuracy(similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"], *, k: int = 1) -> float:
    """Return the share of samples whose class is among the `k` most similar ones.

    Ties go to the lower class number.

    >>> import torch
    >>> similarity = torch.tensor([[0.9, 0.1, 0.2], [0.4, 0.3, 0.2]])
    >>> top_k_accuracy(similarity, torch.tensor([0, 1])), top_k_accuracy(similarity, torch.tensor([0, 1]), k=2)
    (0.5, 1.0)

    Raises:
        ValueError: no samples, or not more classes than `k`, so that every answer would be right.
    """
    samples, classes = similarity.shape
    if not samples:
        raise ValueError("there are no samples to take an accuracy of")
    if k >= classes:
        raise ValueError(f"top-{k} of {classes} classes is always 100 %; ask for a smaller k")
    return (predicted(similarity, k=k) == rearrange(labels, "b -> b 1")).any(-1).double().mean().item()


def confusion_matrix(similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"]) -> Int64[np.ndarray, "C C"]:
    """Count the samples of each class (row) by the class they were taken for (column).

    >>> import torch
    >>> confusion_matrix(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]]), torch.tensor([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    return count_answers(predicted(similarity)[:, 0], labels, classes=similarity.shape[1])


def count_answers(
    answers: Int[Tensor, " B"], labels: Int[Tensor, " B"], *, classes: int
) -> Int64[np.ndarray, "{classes} {classes}"]:
    """Count the samples of each class (row) by the answer (column)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels.numpy(), answers.numpy()), 1)
    return matrix


def per_class_accuracy(confusion: Int[np.ndarray, "C C"]) -> Float64[np.ndarray, " C"]:
    """Return the share of each class's samples that were recognised, NaN for a class without samples.

    >>> per_class_accuracy(np.array([[1, 0], [1, 1]])).tolist()
    [1.0, 0.5]
    """
    clips = confusion.sum(1)
    return np.divide(confusion.diagonal(), clips, out=np.full(len(clips), np.nan), where=clips > 0)


def mean_class_accuracy(confusion: Int[np.ndarray, "C C"]) -> float:
    """Return the mean of the classes' accuracies, so that a class counts the same however many samples it has.

    >>> mean_class_accuracy(np.array([[1, 0], [1, 1]]))
    0.75

    Raises:
        ValueError: no class has samples.
    """
    accuracies = per_class_accuracy(confusion)
    if np.isnan(accuracies).all():
        raise ValueError("there are no samples to take an accuracy of")
    return float(np.nanmean(accuracies))


def harmonic_mean(first: float, second: float) -> float:
    """Return the harmonic mean, of seen and unseen classes or of the paper's two data sets.

    Paper: Tables 1, 4, 6, 7 (e.g. "Online KD (ours) 52.0 77.5 62.2").

    >>> round(harmonic_mean(52.0, 77.5), 1), harmonic_mean(0.0, 0.9)
    (62.2, 0.0)
    """
    return float(statistics.harmonic_mean([first, second]))
