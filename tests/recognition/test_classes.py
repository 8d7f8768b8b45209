import numpy as np
import pytest
import torch

from ski_lvlm.datasets.ntu import SPLITS, class_names
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.recognition.classes import (
    PROMPT,
    ClassSentences,
    class_prompts,
    confusion_matrix,
    described,
    ensemble,
    harmonic_mean,
    mean_class_accuracy,
    per_class_accuracy,
    predicted,
    top_k_accuracy,
)


def test_every_class_of_a_split_has_its_own_sentence():
    for split in SPLITS.values():
        prompts = class_prompts(class_names(actions=split.seen + split.unseen))
        assert len(set(prompts)) == len(split.seen) + len(split.unseen)


def test_the_recipe_uses_the_same_template():
    assert SkeletonAlignRecipe().prompt == PROMPT


def test_a_name_with_braces_is_left_alone():
    assert class_prompts(["put {on} hat"]) == ("a photo of a put {on} hat.",)


def test_a_template_without_a_place_for_the_name_is_refused():
    with pytest.raises(ValueError, match=r"has no \{name\} in it"):
        class_prompts(["drink water"], template="a photo of a person.")


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


def test_an_ensemble_keeps_the_classes_apart():
    sentences = ensemble(["sit", "stand"], templates=["{name}", "a {name}.", "{name}!"])
    assert sentences.prompts == ("sit", "a sit.", "sit!", "stand", "a stand.", "stand!")
    found = sentences.per_class(torch.tensor([[0.0, 0.3, 0.6, 1.0, 1.0, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.3, 1.0]]))
    with pytest.raises(ValueError, match="give at least one"):
        ensemble(["sit"], templates=[])


def test_one_sentence_per_class_changes_nothing():
    similarity = torch.randn(5, 3)
    torch.testing.assert_close(ensemble(["a", "b", "c"]).per_class(similarity), similarity)


def test_classes_may_have_different_numbers_of_sentences():
    sentences = ClassSentences((("one",), ("two", "three")))
    torch.testing.assert_close(sentences.per_class(torch.tensor([[0.1, 0.2, 0.4]])), torch.tensor([[0.1, 0.3]]))


def test_descriptions_are_found_by_any_name_of_a_class():
    classes = [["A23", "hand waving", "wave"], ["A6", "pickup"]]
    found = described({" Hand Waving ": "x", "a6": ["y", "z"], "A99": "not asked for"}, classes)
    assert found.of_class == (("x",), ("y", "z"))


@pytest.mark.parametrize(
    ("descriptions", "says"),
    [
        ({"A23": "x"}, "describes 1 classes, but not A6 = pickup; add them"),
        ({}, "but not A23 = hand waving; A6 = pickup; add them"),
        ({"A23": "x", "hand waving": "y", "A6": "z"}, "A23 = hand waving under more than one name"),
        ({"A23": "x", "A6": []}, "A6 = pickup is .*; expected a sentence or a list of sentences"),
        ({"A23": "x", "A6": ["y", " "]}, "expected a sentence or a list"),
        ({"A23": " ", "A6": "y"}, "A23 = hand waving is ' '; expected"),
    ],
)
def test_bad_descriptions(descriptions, says):
    with pytest.raises(ValueError, match=says):
        described(descriptions, [["A23", "hand waving"], ["A6", "pickup"]])
