import sys

import pytest
import torch
from torch import nn

from ski_lvlm.llm.loading import load_llm
from ski_lvlm.llm.quantisation import linear_layers, num_values, quantise
from tests.cases.tiny_llm import tiny_llm


@pytest.fixture
def model(tmp_path):
    return load_llm(str(tiny_llm(tmp_path, width=64))).model


def test_all_linear_layers_but_the_output_are_packed_and_count_as_before(model):
    before = sum(map(num_values, model.parameters()))
    names = linear_layers(model)
    assert len(names) == 14 and "lm_head" not in names
    quantise(model)
    packed = {name for name, parameter in model.named_parameters() if parameter.dtype == torch.uint8}
    assert packed == {f"{name}.weight" for name in names}
    assert sum(map(num_values, model.parameters())) == before
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_packed_layer_passes_gradients_on_also_after_it_was_asked_without(model):
    """A processor with AVX-512 for bf16 may hold weights in another order, in which there are no gradients."""
    quantise(model)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    assert isinstance(layer, nn.Linear)
    packed = layer.weight.clone()
    with torch.no_grad():
        expected = layer(torch.eye(64))
    assert torch.equal(layer.weight, packed)
    inputs = torch.eye(64, requires_grad=True)
    layer(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, expected.sum(1).expand(64, 64))


def test_a_missing_bitsandbytes_is_named_with_the_remedy(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ValueError, match=r"need bitsandbytes.*pip install -e"):
        quantise(model)
