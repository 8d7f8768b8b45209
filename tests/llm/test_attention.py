import pytest
import torch

from ski_lvlm.llm.attention import set_attention
from ski_lvlm.llm.loading import load_llm
from tests.cases.tiny_llm import tiny_llm


@pytest.fixture
def llm(tmp_path):
    return load_llm(str(tiny_llm(tmp_path))).model


def test_implementations_agree_and_none_is_transformers_own(llm):
    ids, mask = torch.arange(3, 13).view(2, 5), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    implementation, logits = llm.config._attn_implementation, llm(ids, attention_mask=mask).logits
    set_attention(llm, "")
    assert llm.config._attn_implementation == implementation != "eager"
    set_attention(llm, "eager")
    assert llm.config._attn_implementation == "eager"
    torch.testing.assert_close(llm(ids, attention_mask=mask).logits[:, -1], logits[:, -1])


@pytest.mark.parametrize("name", ["nonsense", "flash_attention_2", "kernels-community/flash-attn"])
def test_what_is_not_there_is_refused_with_what_is(llm, name):
    with pytest.raises(ValueError, match=f"--attn_implementation {name}: not to be had here .*; expected sdpa, eager"):
        set_attention(llm, name)
