import pytest
import torch

from ski_lvlm.ntu import SPLITS, class_names
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.zero_shot import PROMPT, class_prompts, top_k_accuracy


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
