import numpy as np
import pytest
import torch

from ski_lvlm.recognition.accuracy import (
    confusion_matrix,
    harmonic_mean,
    mean_class_accuracy,
    per_class_accuracy,
    predicted,
    top_k_accuracy,
)


def test_top_5_of_5_classes_is_refused():
    """The published code reports it as 100 %."""
    with pytest.raises(ValueError, match="top-5 of 5 classes is always 100 %"):
        top_k_accuracy(torch.rand(2, 5), torch.tensor([0, 1]), k=5)
    with pytest.raises(ValueError, match="no samples"):
        top_k_accuracy(torch.rand(0, 5), torch.zeros(0, dtype=torch.long))


def test_undecided_models_are_not_favoured():
    """A model that says the same about every class is right by luck only."""
    labels = torch.arange(4)
    assert top_k_accuracy(torch.zeros(4, 4), labels) == 0.25
    assert top_k_accuracy(torch.zeros(4, 4), labels, k=2) == 0.5


def test_ties_go_to_the_lower_class_everywhere():
    similarity = torch.tensor([[0.1, 0.5, 0.5], [0.5, 0.5, 0.5]])
    assert predicted(similarity, k=2).tolist() == [[1, 2], [0, 1]]
    assert confusion_matrix(similarity, torch.tensor([2, 2])).tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0]]


def test_top_1_is_the_trace_of_the_confusion_matrix():
    generator = torch.Generator().manual_seed(0)
    similarity, labels = torch.randn(200, 7, generator=generator), torch.randint(7, (200,), generator=generator)
    matrix = confusion_matrix(similarity, labels)
    assert matrix.sum() == 200 and matrix.sum(1).tolist() == labels.bincount(minlength=7).tolist()
    assert matrix.trace() / 200 == pytest.approx(top_k_accuracy(similarity, labels))


def test_mean_class_accuracy_weighs_rare_classes_like_frequent_ones():
    matrix = np.array([[90, 10, 0], [1, 0, 0], [0, 0, 0]])
    assert per_class_accuracy(matrix)[:2].tolist() == [0.9, 0.0] and np.isnan(per_class_accuracy(matrix)[2])
    assert mean_class_accuracy(matrix) == 0.45
    with pytest.raises(ValueError, match="no samples"):
        mean_class_accuracy(np.zeros((3, 3), np.int64))


@pytest.mark.parametrize(
    ("ntu60", "ntu120", "printed"),
    [
        (52.9, 65.3, 58.4), (53.2, 64.7, 58.4), (53.3, 70.8, 60.8), (52.0, 77.5, 62.2),  # Table 4
        (52.4, 72.2, 60.7),  # Table 6
        (50.0, 10.0, 16.7), (49.2, 38.7, 43.3), (53.0, 69.6, 60.2),  # Table 7
    ],
)  # fmt: skip
def test_the_paper_s_harmonic_means(ntu60, ntu120, printed):
    assert harmonic_mean(ntu60, ntu120) == pytest.approx(printed, abs=0.051)
