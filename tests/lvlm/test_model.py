import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.lvlm.trained import trained_digest, trained_names
from ski_lvlm.storage.files import write_json
from tests.cases.lvlm_case import CLIPS, TOKENS, write_case
from tests.cases.tiny_llm import tiny_llm

pytestmark = pytest.mark.slow

WIDTHS = {name: width for name, (_, width) in TOKENS.items()}
SKELETON = PLACEHOLDER_IDS["skeleton"]


@pytest.fixture
def case(tmp_path):
    return write_case(tmp_path)


@pytest.fixture
def model(case):
    torch.manual_seed(0)
    return SkiLvlm.build(base_llm=case["base_llm"], token_widths=WIDTHS)


def samples(case, model):
    conversations, features = read_instructions(Path(case["instructions"])), FeatureFolder(case["features"])
    return InstructDataset(conversations, features, model.tokenizer, SampleSettings())


@pytest.fixture
def batch(case, model):
    data = samples(case, model)
    return InstructCollator(int(model.tokenizer.pad_token_id), WIDTHS)([data[k] for k in range(3)])


def test_loss_with_few_logits_equals_the_loss_with_all(model, batch):
    embeddings = model.embed(batch["ids"], batch["features"], batch["token_counts"])
    mask = batch["attention_mask"]
    logits = model.llm(inputs_embeds=embeddings, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp(0)).logits
    expected = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED
    )
    torch.testing.assert_close(model(**batch).loss, expected)


def test_padding_does_not_change_the_loss(model, case):
    data = samples(case, model)
    collate = InstructCollator(int(model.tokenizer.pad_token_id), WIDTHS)
    alone = model(**collate([data[0]])).loss
    padded = collate([data[0]])
    for name, value in (("ids", 2), ("labels", IGNORED), ("attention_mask", 0)):
        padded[name] = functional.pad(padded[name], (5, 0), value=value)
    torch.testing.assert_close(model(**padded).loss, alone)


def test_loss_over_a_whole_step_is_a_sum_over_its_trained_tokens(model, batch):
    trained = int((batch["labels"] != IGNORED).sum())
    torch.testing.assert_close(model(**batch, num_items_in_batch=2 * trained).loss, model(**batch).loss / 2)


def test_a_step_changes_the_projectors_and_nothing_else(model, batch):
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    model.train()
    model(**batch).loss.backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) != name.startswith("projectors."), name


def test_an_absent_modality_gets_a_zero_gradient_and_not_none(model, batch):
    video_only = copy.copy(batch)
    keep = batch["ids"] != SKELETON
    assert keep.sum(1).unique().numel() == 1
    for name in ("ids", "labels", "attention_mask"):
        video_only[name] = batch[name][keep].view(len(keep), -1)
    video_only["features"] = batch["features"] | {"skeleton": torch.empty(0, WIDTHS["skeleton"])}
    video_only["token_counts"] = batch["token_counts"] | {"skeleton": torch.empty(0, dtype=torch.long)}
    model(**video_only).loss.backward()
    assert model.projectors["skeleton"].layers.weight.grad.abs().sum() == 0
    assert model.projectors["video"].layers.weight.grad.abs().sum() > 0


def test_what_is_saved_is_the_projectors_only(model, tmp_path):
    model.save_pretrained(tmp_path / "out")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert set(saved) == {f"projectors.{m}.layers.{p}" for m in WIDTHS for p in ("weight", "bias")}
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors"}


def test_save_and_load_give_the_same_answers(model, tmp_path):
    model.save_pretrained(tmp_path / "out")
    loaded = SkiLvlm.from_pretrained(tmp_path / "out")
    tokens = [torch.randn(TOKENS["video"]), torch.randn(3, WIDTHS["video"])]
    questions = ["What is the person doing?", "Why?"]
    assert loaded.answer(tokens, questions, max_new_tokens=8) == model.eval().answer(
        tokens, questions, max_new_tokens=8
    )
    assert all(torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_model_of_the_time_with_one_kind_for_all_modalities_is_opened(model, tmp_path):
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["projectors"]
    write_json(tmp_path / "config.json", config | {"projector": "linear"})
    assert SkiLvlm.from_pretrained(tmp_path).projector_settings == model.projector_settings


def test_inference_works_with_the_skeleton_projector_deleted(model, tmp_path):
    model.save_pretrained(tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if "skeleton" not in n}, file)
    loaded = SkiLvlm.from_pretrained(tmp_path / "out", modalities=("video",))
    tokens = [torch.randn(TOKENS["video"])]
    with_both = model.eval().answer(tokens, ["What?"], max_new_tokens=8)
    assert loaded.answer(tokens, ["What?"], max_new_tokens=8) == with_both
    with pytest.raises(ValueError, match="missing .*projectors.skeleton"):
        SkiLvlm.from_pretrained(tmp_path / "out")


def test_an_answer_does_not_depend_on_its_neighbours_in_the_batch(model):
    tokens = [torch.randn(TOKENS["video"]), torch.randn(2, WIDTHS["video"])]
    together = model.eval().answer(tokens, ["What is the person doing?", "Why?"], max_new_tokens=8)
    assert together[1] == model.answer(tokens[1:], ["Why?"], max_new_tokens=8)[0]


@pytest.mark.parametrize(
    "question", ["<video>\nWhy?", "Why?\n<video>", "<skeleton>Why?", "<video>\n<skeleton>\nWhy?\n<video>"]
)
def test_a_question_s_own_placeholders_change_nothing(model, question):
    tokens = [torch.randn(TOKENS["video"])] * 2
    expected = model.eval().answer(tokens, ["Why?", "Who?"], max_new_tokens=8)
    assert model.answer(tokens, [question, "Who?"], max_new_tokens=8) == expected


def test_another_llm_is_refused(model, tmp_path, case):
    model.save_pretrained(tmp_path / "out")
    tiny_llm(tmp_path / "llm", seed=1)
    with pytest.raises(ValueError, match="language model .* digest .* expected"):
        SkiLvlm.from_pretrained(tmp_path / "out")


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no model.safetensors.*--output_dir"):
        SkiLvlm.from_pretrained(tmp_path)


def test_a_model_trained_on_own_features_says_why_it_takes_no_video(model):
    with pytest.raises(ValueError, match=r"without a features.json.*answer\(video_tokens"):
        LoadedLvlm(model)


def test_the_digest_of_the_trained_part_is_that_of_the_projectors(model):
    assert trained_digest(model) == weights_digest(model.projectors, rounded=False)


def test_weights_of_an_adapter_are_trained_saved_loaded_and_digested(model, tmp_path):
    """Whatever requires gradients within the frozen language model belongs to the trained part."""
    for loaded in (model, again := copy.deepcopy(model)):
        adapter = torch.nn.Linear(2, 2, bias=False)
        loaded.llm.get_submodule("model.layers.0").add_module("adapter", adapter)
    name = "llm.model.layers.0.adapter.weight"
    assert name in trained_names(model) and len(trained_names(model)) == 5
    assert trained_digest(model) != trained_digest(again)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == trained_names(model)
    assert not again.load_state_dict(saved, strict=True).missing_keys
    assert trained_digest(model) == trained_digest(again)
    with pytest.raises(ValueError, match=rf"unexpected \['{name}'\]"):
        SkiLvlm.from_pretrained(tmp_path, modalities=("video",))


@pytest.mark.slow
def test_overfits_four_captions(model, case):
    """The projectors alone can make a frozen, random LLM say what belongs to a clip."""
    data = samples(case, model)
    batch = InstructCollator(int(model.tokenizer.pad_token_id), WIDTHS)([data[k] for k in range(len(CLIPS))])
    optimizer = torch.optim.Adam(model.projectors.parameters(), lr=0.1)
    first = model(**batch).loss.item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * first


def test_gradient_checkpointing_changes_memory_and_not_gradients(model, batch):
    model.train()
    model(**batch).loss.backward()
    plain = model.projectors["video"].layers.weight.grad.clone()
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    assert model.llm.training
    model(**batch).loss.backward()
    torch.testing.assert_close(model.projectors["video"].layers.weight.grad, plain)
