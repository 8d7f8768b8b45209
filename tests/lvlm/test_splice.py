import pytest
import torch

from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm.splice import splice, trained_positions

VIDEO, SKELETON = PLACEHOLDER_IDS["video"], PLACEHOLDER_IDS["skeleton"]


def test_splice_puts_tokens_in_order_and_leaves_words_alone():
    ids = torch.tensor([[5, VIDEO, VIDEO, SKELETON], [VIDEO, 6, VIDEO, 7]])
    words = torch.zeros(2, 4, 1)
    spliced = splice(words, ids, {"video": torch.tensor([[1.0], [2], [3], [4]]), "skeleton": torch.tensor([[9.0]])})
    assert spliced.squeeze(-1).tolist() == [[0, 1, 2, 9], [3, 0, 4, 0]]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_splice_refuses_another_number_of_tokens(count):
    with pytest.raises(ValueError, match=f"found {count} video tokens, expected 2"):
        splice(torch.zeros(1, 3, 4), torch.tensor([[5, VIDEO, VIDEO]]), {"video": torch.zeros(count, 4)})


def test_placeholders_without_any_tokens_are_refused():
    with pytest.raises(ValueError, match="found 0 skeleton tokens, expected 1"):
        splice(torch.zeros(1, 1, 4), torch.tensor([[SKELETON]]), {})


def test_only_positions_before_a_label_are_computed():
    labels = torch.tensor([[IGNORED, IGNORED, 4, 5], [IGNORED, IGNORED, IGNORED, 6]])
    assert trained_positions(labels).tolist() == [1, 2]
