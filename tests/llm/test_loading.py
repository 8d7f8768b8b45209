import json

import pytest
import torch

from ski_lvlm.llm.loading import load_llm
from tests.cases.tiny_llm import tiny_llm


def test_everything_is_frozen_and_in_eval_mode(tmp_path):
    model, _ = load_llm(str(tiny_llm(tmp_path)))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_a_missing_pad_token_is_borrowed_from_the_end_of_text(tmp_path, caplog):
    tokenizer = load_llm(str(tiny_llm(tmp_path))).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert "no pad token" in caplog.text


def test_first_generation_llava_checkpoints_load_as_the_llama_they_are(tmp_path):
    folder = tiny_llm(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llava"}))
    weights = load_llm(str(folder)).model.state_dict()
    (folder / "config.json").write_text(json.dumps(config))
    expected = load_llm(str(folder)).model.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("model_id", ["no/such-model", "nowhere.gguf"])
def test_an_id_that_leads_nowhere_is_named(model_id, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match=model_id):
        load_llm(model_id)
