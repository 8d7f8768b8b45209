import pytest
import torch

from ski_lvlm.datasets.catalogue import BUILT_IN, open_data_set
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.recognition.class_sentences import PROMPT, ClassSentences, class_prompts, described, ensemble


def test_every_class_of_a_split_has_its_own_sentence():
    for data in map(open_data_set, BUILT_IN):
        prompts = class_prompts(data.class_names)
        assert len(set(prompts)) == len(data.class_names)


def test_the_recipe_uses_the_same_template():
    assert SkeletonAlignRecipe().prompt == PROMPT


def test_a_name_with_braces_is_left_alone():
    assert class_prompts(["put {on} hat"]) == ("a photo of a put {on} hat.",)


def test_a_template_without_a_place_for_the_name_is_refused():
    with pytest.raises(ValueError, match=r"has no \{name\} in it"):
        class_prompts(["drink water"], template="a photo of a person.")


def test_an_ensemble_keeps_the_classes_apart():
    sentences = ensemble(["sit", "stand"], templates=["{name}", "a {name}.", "{name}!"])
    assert sentences.prompts == ("sit", "a sit.", "sit!", "stand", "a stand.", "stand!")
    similarity = sentences.per_class(torch.tensor([[0.0, 0.3, 0.6, 1.0, 1.0, 1.0]]))
    torch.testing.assert_close(similarity, torch.tensor([[0.3, 1.0]]))
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
    sentences = described({" Hand Waving ": "x", "a6": ["y", "z"], "A99": "not asked for"}, classes)
    assert sentences.of_class == (("x",), ("y", "z"))


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ({"A23": "x"}, "describes 1 classes, but not A6 = pickup; add them"),
        ({}, "but not A23 = hand waving; A6 = pickup; add them"),
        ({"A23": "x", "hand waving": "y", "A6": "z"}, "A23 = hand waving under more than one name"),
        ({"A23": "x", "A6": []}, "A6 = pickup is .*; expected a sentence or a list of sentences"),
        ({"A23": "x", "A6": ["y", " "]}, "expected a sentence or a list"),
        ({"A23": " ", "A6": "y"}, "A23 = hand waving is ' '; expected"),
    ],
)
def test_bad_descriptions(descriptions, message):
    with pytest.raises(ValueError, match=message):
        described(descriptions, [["A23", "hand waving"], ["A6", "pickup"]])
