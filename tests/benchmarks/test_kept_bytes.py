import torch
from transformers import LlamaConfig

from benchmarks.kept_bytes import count, difference


def test_a_7b_model_of_one_layer_keeps_less_with_the_same_operations():
    eager, lean = (count(LlamaConfig(num_hidden_layers=1), way, samples=2, tokens=762) for way in ("eager", "lean"))
    assert lean["kept_gb"] < 0.75 * eager["kept_gb"]
    assert lean["forward_tflop"] == eager["forward_tflop"] and lean["backward_tflop"] == eager["backward_tflop"]


def test_its_values_are_the_same():
    config = LlamaConfig(hidden_size=64, intermediate_size=96, num_attention_heads=4, vocab_size=50)
    for dtype in (torch.float32, torch.bfloat16):
        assert difference(config, dtype, tokens=9) == {"loss": 0.0, "gradient": 0.0}
