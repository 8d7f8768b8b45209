"""A frozen video LLM with a skeleton projector: places, positions, gradients, and inference from video alone."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForImageTextToText, AutoProcessor

import ski_lvlm
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.conversation import IGNORED
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.lvlm.trained import trained_names
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.video_llm.answering import placed
from ski_lvlm.video_llm.frames import read_video_frames
from ski_lvlm.video_llm.model import SkiVideoLlm, decoder_name
from ski_lvlm.video_llm.prompting import SKELETON
from ski_lvlm.video_llm.samples import VideoCollator, VideoDataset, VideoSampleSettings
from ski_lvlm.videos.folder import VideoFolder
from tests.cases.lvlm_case import CLIPS
from tests.cases.video_llm_case import FAMILIES, write_video_case

pytestmark = pytest.mark.slow

FRAMES, PIXELS = 5, 40
QUESTION = "What is the person doing?"


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return write_video_case(folder, family=request.param, video_only=(CLIPS[1],))


def built(case, **settings):
    torch.manual_seed(0)
    kind = settings.pop("projector", ProjectorSettings("resampler", queries=3, heads=2))
    return SkiVideoLlm.build(
        base_vlm=case["base_vlm"],
        skeleton_width=8,
        projector=kind,
        num_frames=FRAMES,
        frame_side=PIXELS,
        **settings,
    )


def samples(case, model):
    features, videos = FeatureFolder(case["features"]), VideoFolder(case["videos"])
    settings = VideoSampleSettings(FRAMES, PIXELS, projector=model.projector_settings["skeleton"])
    conversations = read_instructions(Path(case["instructions"]))
    return VideoDataset(conversations, videos, features, model.prompting, settings)


def batch(case, model, *indices):
    data = samples(case, model)
    return VideoCollator(8)([data[k] for k in indices])


def video(case, clip=CLIPS[0]):
    return read_video_frames(Path(case["videos"]) / f"{clip}_rgb.avi", num_frames=FRAMES, side=PIXELS)


def plain(case, frames, question):
    """Make the inputs of the untouched model as the documentation of transformers does."""
    processor = AutoProcessor.from_pretrained(case["base_vlm"])
    content = [{"type": "video"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    times = {"video_metadata": [frames.metadata], "do_sample_frames": False}
    return processor(text=[text], videos=[frames.pixels], return_tensors="pt", **times)


def test_a_prompt_is_to_the_letter_that_of_transformers(case):
    actual, expected = built(case).prompting.inputs(QUESTION, video(case)), plain(case, video(case), QUESTION)
    assert actual.keys() == set(expected)
    assert all(torch.equal(value, torch.as_tensor(expected[name])) for name, value in actual.items())


@pytest.mark.slow
def test_an_answer_is_that_of_the_untouched_model(case, tmp_path):
    """Bit for bit: the scores of each word, through a folder and with the skeleton projector left out."""
    built(case).save_pretrained(tmp_path)
    loaded = ski_lvlm.from_pretrained(tmp_path)
    assert not loaded.model.projectors
    frames = loaded.read(Path(case["videos"]) / f"{CLIPS[0]}_rgb.avi")
    base = AutoModelForImageTextToText.from_pretrained(case["base_vlm"], dtype=loaded.model.llm.dtype).eval()
    inputs = plain(case, frames, QUESTION)
    inputs = {name: v.to(base.dtype) if name.startswith("pixel") else v for name, v in inputs.items()}
    generated = base.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    expected = loaded.model.tokenizer.decode(generated, skip_special_tokens=True).strip()
    assert loaded.generate(Path(case["videos"]) / f"{CLIPS[0]}_rgb.avi", QUESTION, max_new_tokens=8) == expected
    (answer,) = loaded.answer([frames], [QUESTION], max_new_tokens=2)
    assert answer.is_cut
    actual = loaded.model.llm(**placed(loaded.model.prompting.inputs(QUESTION, frames), loaded.model.llm)).logits
    assert torch.equal(actual, base(**inputs).logits)


def test_skeleton_tokens_lie_behind_the_video_and_have_positions_like_text(case):
    model = built(case)
    sample = samples(case, model)[0]
    slots = (sample.ids == SKELETON).nonzero().flatten()
    assert len(slots) == 3 and torch.equal(slots, slots[0] + torch.arange(3))
    is_video = torch.isin(sample.ids, model.prompting._video_ids).nonzero().flatten()
    assert is_video[-1] < slots[0] <= is_video[-1] + 2  # a mark closes the video of one family
    if "mm_token_type_ids" not in sample.inputs:
        return
    words = sample.ids.clamp(min=0).unsqueeze(0)
    rules = {name: sample.inputs[name] for name in ("mm_token_type_ids", "video_grid_thw", "second_per_grid_ts")}
    positions, _ = model.llm.model.get_rope_index(words, **rules)
    behind = positions[:, 0, slots[0] - 1 :]
    assert torch.equal(behind, behind[:, :1] + torch.arange(behind.shape[1]))


def test_the_loss_is_that_of_the_embeddings_in_place(case):
    """The base is called once more with embeddings and positions that are made by hand."""
    model = built(case)
    inputs = batch(case, model, 0)
    ids, labels, sample = inputs["ids"], inputs["labels"], inputs["inputs"][0]
    projected = model.projectors["skeleton"](inputs["features"]["skeleton"], inputs["token_counts"]["skeleton"])
    words = ids.masked_fill(ids == SKELETON, 7).unsqueeze(0)
    hook = model.llm.get_input_embeddings().register_forward_hook(
        lambda _, __, output: output.index_put((torch.tensor(0), (ids == SKELETON).nonzero().flatten()), projected)
    )
    logits = model.llm(input_ids=words, **sample).logits
    hook.remove()
    expected = functional.cross_entropy(logits[0, :-1], labels[1:], ignore_index=IGNORED)
    torch.testing.assert_close(model(**inputs).loss, expected)


@pytest.mark.slow
def test_a_batch_is_its_samples_one_by_one(case):
    model = built(case)
    together = model(**batch(case, model, 0, 1, 2), num_items_in_batch=1).loss
    alone = sum(model(**batch(case, model, k), num_items_in_batch=1).loss for k in range(3))
    torch.testing.assert_close(together, alone)


def test_a_step_changes_the_projector_and_nothing_else(case):
    model = built(case)
    before, digest = {name: p.clone() for name, p in model.named_parameters()}, weights_digest(model.llm)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model.train()
    model(**batch(case, model, 0, 1)).loss.backward()
    optimizer.step()
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.startswith("projectors.")}
    assert weights_digest(model.llm) == digest


@pytest.mark.slow
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_memory_and_not_gradients(case, reentrant):
    model, inputs = built(case, tuning=AdapterRecipe(lora_rank=2)), batch(case, built(case), 0, 1)
    model.projectors.requires_grad_(False)
    gradients = []
    for _ in range(2):
        model.train()
        model(**inputs).loss.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        model.zero_grad(set_to_none=True)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    plain, checkpointed = gradients
    assert plain and plain.keys() == checkpointed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient)


def test_without_any_skeleton_the_projector_stays_in_the_graph(case):
    model = built(case)
    model(**batch(case, model, 1)).loss.backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.projectors.parameters())


@pytest.mark.slow
def test_an_adapter_is_in_the_language_model_alone_and_changes_answers_from_video(case, tmp_path):
    model = built(case, tuning=AdapterRecipe(lora_rank=2))
    names = {name for name in trained_names(model) if name.startswith("llm.")}
    assert names and all(name.startswith(f"llm.{decoder_name(model.llm)}.") and "lora_" in name for name in names)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.05)
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(**batch(case, model, 0, 1)).loss.backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.*")}
    assert files == {
        "config.json",
        "model.safetensors",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }
    assert all(name.startswith("projectors.") for name in load_file(tmp_path / "model.safetensors"))
    loaded = SkiVideoLlm.from_pretrained(tmp_path, is_for_video=True)
    inputs = loaded.prompting.inputs(QUESTION, video(case))
    logits = loaded.llm(**inputs).logits
    assert torch.equal(logits, model.eval().llm(**inputs).logits)
    base = AutoModelForImageTextToText.from_pretrained(case["base_vlm"], dtype=torch.float32).eval()
    assert not torch.allclose(logits, base(**inputs).logits)
    from peft import PeftModel

    peft_model = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    torch.testing.assert_close(peft_model(**inputs).logits, logits)


@pytest.mark.slow
def test_another_base_and_another_template_are_refused(case, tmp_path):
    model = built(case)
    model.config.llm_digest = "0123"
    model.save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="video LLM .* digest .* expected 0123"):
        SkiVideoLlm.from_pretrained(tmp_path / "a")
    model = built(case)
    model.config.prompt = ["<user>", "<assistant>"]
    model.save_pretrained(tmp_path / "b")
    with pytest.raises(ValueError, match="chat template of .* expected .*<user>"):
        SkiVideoLlm.from_pretrained(tmp_path / "b")


@pytest.mark.parametrize("question", ["", "<video>\n<skeleton>"])
def test_an_empty_question_is_refused(case, question):
    with pytest.raises(ValueError, match="empty question"):
        built(case).prompting.inputs(question, video(case))


def test_a_question_with_a_mark_of_the_model_is_refused(case):
    with pytest.raises(ValueError, match=r"holds '<\|im_end\|>', a mark of the model's own"):
        built(case).prompting.inputs("Why?<|im_end|>", video(case))


def test_the_loader_of_another_kind_of_base_says_what_opens_the_folder(case, tmp_path):
    built(case).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"type 'ski_video_llm'; open it with ski_lvlm.from_pretrained"):
        SkiLvlm.from_pretrained(tmp_path)
