"""A SKI-LVLM whose language model is trained as well: saved, loaded, merged, handed to the next stage."""

import json
import re

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from scripts.export import main as export
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.stages import freeze, run_digest, take_weights
from ski_lvlm.lvlm.trained import parameter_counts, trained_digest, trained_names
from ski_lvlm.recipe import AdapterRecipe
from tests.cases.lvlm_case import TOKENS, write_case
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}
VIDEO = [torch.randn(TOKENS["video"], generator=torch.Generator().manual_seed(0))]
QUESTION = ["What is the person doing?"]
LORA, QLORA = AdapterRecipe(lora_rank=4, dora=True), AdapterRecipe(lora_rank=4, load_in_4bit=True)
FULL = AdapterRecipe(train="llm")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return str(tiny_llm(tmp_path_factory.mktemp("llm"), width=64))


def built(base, tuning, *, widths=None, seed=0):
    """Build a model, and move all that is trained as a training would."""
    torch.manual_seed(seed)
    model = SkiLvlm.build(base_llm=base, token_widths=widths or WIDTHS, tuning=tuning)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def inputs(model):
    ids = model.prompt_ids(len(VIDEO[0]), QUESTION[0]).unsqueeze(0)
    return model.embed(ids, {"video": VIDEO[0]}, {"video": torch.tensor([len(VIDEO[0])])})


def logits(model):
    return model.llm(inputs_embeds=inputs(model)).logits.detach()


@pytest.mark.parametrize("tuning", [LORA, QLORA, FULL], ids=["dora", "qlora", "full"])
def test_a_loaded_model_is_the_saved_one(base, tmp_path, tuning):
    model = built(base, tuning)
    model.save_pretrained(tmp_path)
    loaded = SkiLvlm.from_pretrained(tmp_path)
    assert trained_names(loaded) == trained_names(model) and trained_digest(loaded) == trained_digest(model)
    assert torch.equal(logits(loaded), logits(model))
    assert (logits(model) - logits(built(base, AdapterRecipe()))).abs().max() > 1e-2
    folder = tmp_path / ("llm" if tuning is FULL else "adapter")
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"config.json", "model.safetensors", folder.name}
    assert all(name.startswith("projectors.") for name in load_file(tmp_path / "model.safetensors"))
    for_video = SkiLvlm.from_pretrained(tmp_path, modalities=("video",))
    assert for_video.answer(VIDEO, QUESTION, max_new_tokens=6) == model.answer(VIDEO, QUESTION, max_new_tokens=6)


def test_peft_alone_gives_our_logits(base, tmp_path):
    model = built(base, LORA)
    model.save_pretrained(tmp_path)
    by_peft = PeftModel.from_pretrained(load_llm(base).model, str(tmp_path / "adapter"))
    apart = (by_peft(inputs_embeds=inputs(model)).logits - logits(model)).abs().max()
    assert apart <= 1e-6


@pytest.mark.parametrize("tuning", [LORA, QLORA], ids=["dora", "qlora"])
def test_a_merged_model_answers_the_same_without_peft(base, tmp_path, tuning, capsys):
    model = built(base, tuning)
    model.save_pretrained(tmp_path / "model")
    assert export(["--model", str(tmp_path / "model"), "--to", "merged", "--out", str(tmp_path / "out")]) == 0
    assert "torch.float32" in capsys.readouterr().out
    loaded = SkiLvlm.from_pretrained(tmp_path / "out")
    assert loaded.config.lora_rank == 0 and all(".lora_" not in name for name, _ in loaded.named_parameters())
    torch.testing.assert_close(logits(loaded), logits(model), atol=1e-3, rtol=1e-4)
    assert loaded.answer(VIDEO, QUESTION, max_new_tokens=6) == model.answer(VIDEO, QUESTION, max_new_tokens=6)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "llm")
    assert torch.equal(plain(inputs_embeds=inputs(loaded)).logits, logits(loaded))
    (tmp_path / "out").rename(tmp_path / "moved")
    SkiLvlm.from_pretrained(tmp_path / "moved")
    with pytest.raises(ValueError, match="no adapter, expected a model trained with --lora_rank"):
        export(["--model", str(tmp_path / "moved"), "--to", "merged", "--out", str(tmp_path / "again")])
    with pytest.raises(ValueError, match="holds a model already; choose another --out"):
        export(["--model", str(tmp_path / "model"), "--to", "merged", "--out", str(tmp_path / "moved")])


def test_an_adapter_to_hand_on_is_the_model_without_its_checkpoints(base, tmp_path, capsys):
    model = built(base, LORA)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "checkpoint-1").mkdir()
    assert export(["--model", str(tmp_path / "model"), "--to", "adapter", "--out", str(tmp_path / "out")]) == 0
    assert base in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["adapter", "config.json", "model.safetensors"]
    assert torch.equal(logits(SkiLvlm.from_pretrained(tmp_path / "out")), logits(model))


def test_a_language_model_with_settings_that_contradict_is_saved_all_the_same(base, tmp_path):
    """Vicuna's generation_config.json has a temperature and does not sample."""
    model = built(base, FULL)
    model.llm.generation_config.temperature, model.llm.generation_config.do_sample = 0.9, False
    model.save_pretrained(tmp_path)
    assert SkiLvlm.from_pretrained(tmp_path).llm.generation_config.temperature == 0.9


def test_what_is_missing_or_was_exchanged_is_refused(base, tmp_path):
    built(base, LORA).save_pretrained(tmp_path / "lora")
    (tmp_path / "lora" / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(ValueError, match="no adapter_model.safetensors"):
        SkiLvlm.from_pretrained(tmp_path / "lora")
    built(base, FULL).save_pretrained(tmp_path / "full")
    tiny_llm(tmp_path / "full" / "llm", width=64, seed=5)
    with pytest.raises(ValueError, match="full/llm' has weights with digest .* expected"):
        SkiLvlm.from_pretrained(tmp_path / "full")


def test_the_mode_of_training_reaches_the_adapter_and_not_the_frozen_model(base):
    model = built(base, AdapterRecipe(lora_rank=4, lora_dropout=0.5))
    assert torch.equal(logits(model), logits(model))
    model.train()
    assert not torch.equal(logits(model), logits(model)) and not model.llm.training
    model.eval()
    assert torch.equal(logits(model), logits(model))
    assert built(base, FULL).train().llm.training


def test_the_parameters_are_counted(base):
    frozen, whole = parameter_counts(built(base, AdapterRecipe()))
    assert frozen == sum(width * 64 + 64 for width in WIDTHS.values())
    trained, all_of_them = parameter_counts(built(base, QLORA))
    assert all_of_them - whole == trained - frozen > 0
    assert parameter_counts(built(base, FULL)) == (whole, whole)


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    return FeatureFolder(write_case(tmp_path_factory.mktemp("features"))["features"])


def values(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_a_stage_hands_over_to_the_next(base, tmp_path, features):
    """Video first, then skeletons and an adapter with the video frozen, then all of it."""
    first = built(base, AdapterRecipe(), widths={"video": WIDTHS["video"]})
    first.save_pretrained(tmp_path / "first")
    second = built(base, LORA, seed=1)
    before = values(second)
    known = take_weights(second, tmp_path / "first", features)
    freeze(second, ["video"], trained=known)
    assert known == ["video"]
    for name, parameter in second.named_parameters():
        is_video = name.startswith("projectors.video")
        assert torch.equal(parameter, values(first)[name] if is_video else before[name]), name
        assert not (is_video and parameter.requires_grad)
    second.save_pretrained(tmp_path / "second")
    third = built(base, LORA, seed=2)
    assert take_weights(third, tmp_path / "second", features) == ["video", "skeleton"]
    assert trained_digest(third) == trained_digest(second)
    assert run_digest(tmp_path / "first") != run_digest(tmp_path / "second")


def test_a_trained_language_model_hands_over_in_two_ways(base, tmp_path, features):
    model = built(base, FULL)
    model.save_pretrained(tmp_path)
    again = built(base, FULL, seed=1)
    take_weights(again, tmp_path, features)
    assert trained_digest(again) == trained_digest(model)
    on_top = built(str(tmp_path / "llm"), LORA, seed=1)
    take_weights(on_top, tmp_path, features)
    assert torch.equal(on_top.projectors["video"].layers.weight, model.projectors["video"].layers.weight)
    with pytest.raises(ValueError, match=re.escape(f"give --base_llm {tmp_path / 'llm'}")):
        take_weights(built(base, LORA), tmp_path, features)


def test_weights_that_would_get_lost_or_do_not_fit_are_refused(base, tmp_path, features):
    built(base, AdapterRecipe(lora_rank=4)).save_pretrained(tmp_path)

    def refused(message, tuning=LORA, **settings):
        with pytest.raises(ValueError, match=message):
            take_weights(built(settings.pop("base", base), tuning, **settings), tmp_path, features)

    refused("would get lost; give --lora_rank 4, or merge it first", AdapterRecipe())
    refused("differ in name or shape", AdapterRecipe(lora_rank=8))
    refused("--lora_alpha 8, expected 3", AdapterRecipe(lora_rank=4, lora_alpha=3.0))
    refused("projectors are others .*'width': 12.*'width': 5", AdapterRecipe(lora_rank=4), widths={"video": 5})
    other = str(tiny_llm(tmp_path / "other", width=64, seed=3))
    refused("before a language model with digest", AdapterRecipe(lora_rank=4), base=other)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"manifest": {"video": {"digest": "0"}}}))
    known = FeatureFolder(features.root)
    known.manifest = {"video": {"digest": "1"}}
    with pytest.raises(ValueError, match=r"trained on other video features .*; give the same features"):
        take_weights(built(base, AdapterRecipe(lora_rank=4)), tmp_path, known)
    with pytest.raises(ValueError, match="--output_dir of a finished run"):
        run_digest(tmp_path / "nowhere")


def test_what_cannot_be_frozen_is_refused(base):
    model = built(base, AdapterRecipe())
    with pytest.raises(ValueError, match=r"--freeze: found \['sound'\], expected some of the --modalities"):
        freeze(model, ["sound"], trained=["video"])
    with pytest.raises(ValueError, match=r"\['skeleton'\] have not been trained; give --init_from"):
        freeze(model, ["video", "skeleton"], trained=["video"])
    with pytest.raises(ValueError, match="nothing is left to train"):
        freeze(model, ["video", "skeleton"], trained=["video", "skeleton"])
