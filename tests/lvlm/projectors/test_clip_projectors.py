"""Projectors that see whole clips: a clip's embeddings depend on it alone, and all weights learn."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

import train_ski_lvlm
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.parallel.launch import adapted_flags
from tests.cases.lvlm_case import CLIPS, TOKENS, write_case, write_instructions

F, K = 8, 6
SETTINGS = {
    "resampler": ProjectorSettings("resampler", queries=5, heads=2),
    "temporal": ProjectorSettings("temporal", kernel=3, stride=2),
}
LENGTHS = (7, 1, 4)


def train(case, out, **settings):
    defaults = {"batch_size": 4, "num_train_epochs": 6, "learning_rate": 0.01, "save_steps": 1, "logging_steps": 1}
    defaults |= {"dataloader_num_workers": 0, "video_projector": "none", "output_dir": out}
    values = case | defaults | settings
    train_ski_lvlm.main(adapted_flags([part for name, value in values.items() for part in (f"--{name}", str(value))]))


@pytest.fixture(params=SETTINGS)
def projector(request):
    torch.manual_seed(0)
    return Projector(F, K, settings=SETTINGS[request.param])


@pytest.fixture
def clips():
    return [torch.randn(n, F, generator=torch.Generator().manual_seed(n)) for n in LENGTHS]


def test_the_number_of_embeddings_is_the_one_that_the_settings_say(projector, clips):
    kind = projector.layers.__class__.__name__
    settings = SETTINGS["resampler" if kind == "Resampler" else "temporal"]
    for clip in clips:
        assert projector(clip).shape == (settings.count(len(clip)), K)


def test_clips_of_a_batch_do_not_see_each_other(projector, clips):
    together = projector(torch.cat(clips), torch.tensor(LENGTHS))
    torch.testing.assert_close(together, torch.cat([projector(clip) for clip in clips]))


def test_the_order_of_tokens_counts(projector, clips):
    assert not torch.allclose(projector(clips[0]), projector(clips[0].flip(0)))


def test_a_gradient_reaches_every_weight(projector, clips):
    projector(torch.cat(clips), torch.tensor(LENGTHS)).square().sum().backward()
    assert not [name for name, p in projector.named_parameters() if p.grad is None or not p.grad.any()]


def test_a_batch_without_clips_leaves_every_weight_in_the_graph(projector):
    embeddings = projector(torch.empty(0, F), torch.empty(0, dtype=torch.long))
    assert embeddings.shape == (0, K)
    embeddings.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in projector.parameters())


def test_half_precision_stays_half(projector, clips):
    assert projector.to(torch.bfloat16)(clips[0]).dtype == torch.bfloat16


def test_a_number_of_heads_that_does_not_divide_the_width_is_refused():
    with pytest.raises(ValueError, match=r"3 heads do not divide .* width 8; expected --projector_heads 1 or 2 or 4"):
        Projector(F, K, settings=ProjectorSettings("resampler", heads=3))


@pytest.mark.slow
def test_a_resampled_video_and_a_convolved_skeleton_train_resume_and_answer(tmp_path):
    """The whole way through the command: placeholders follow the projectors, and an answer takes the video alone."""
    case, out = write_case(tmp_path), tmp_path / "out"
    case["instructions"] = str(write_instructions(tmp_path / "mixed.json", video_only=CLIPS[:2]))
    settings = {"projector": "resampler", "projector_queries": 3, "projector_heads": 2, "standardise": True}
    settings |= {"skeleton_projector": "temporal", "projector_stride": 3, "per_device_train_batch_size": 1}
    train(case, out, **settings)
    assert "⟨video × 3⟩" in (out / "sample.txt").read_text()
    whole = load_file(out / "model.safetensors")
    (out / "result.json").unlink()
    shutil.rmtree(out / "checkpoint-6")
    train(case, out, **settings)
    resumed = load_file(out / "model.safetensors")
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    model = SkiLvlm.from_pretrained(out, modalities=("video",))
    videos = [torch.randn(TOKENS["video"]), torch.randn(9, TOKENS["video"][1])]
    assert [len(model.prompt_ids(len(tokens), "Why?")) for tokens in videos] == [len(model.prompt_ids(1, "Why?"))] * 2
    together = model.answer(videos, ["Why?", "Who?"], max_new_tokens=8)
    assert together[0] == model.answer(videos[:1], ["Why?"], max_new_tokens=8)[0]
