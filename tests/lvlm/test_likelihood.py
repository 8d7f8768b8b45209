"""Likelihoods of answers: equal to the training's loss, whatever other answers share the question's pass."""

import math

import pytest
import torch

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.conversation import encode
from ski_lvlm.lvlm.likelihood import answer_likelihoods
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from tests.cases.tiny_llm import tiny_llm

WIDTH = 12
QUESTION = "What is the person doing?"
ANSWERS = ["sit", "sit down on a chair that stands there", "B", " drink "]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    llm = tiny_llm(tmp_path_factory.mktemp("llm"))
    return SkiLvlm.build(base_llm=str(llm), token_widths={"video": WIDTH}).eval()


def video(count=6, seed=0):
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def loss(model, tokens, answer):
    question = f"{QUESTION}\n<video>" if len(tokens) else QUESTION
    sample = encode(
        [Turn("user", question), Turn("assistant", answer)],
        model.tokenizer,
        token_counts={"video": len(tokens)} if len(tokens) else {},
    )
    ids, labels = sample.ids.unsqueeze(0), sample.labels.unsqueeze(0)
    counts = torch.tensor([len(tokens)] if len(tokens) else [], dtype=torch.long)
    result = model(ids=ids, features={"video": tokens}, token_counts={"video": counts}, labels=labels)
    return result.loss.item(), int((sample.labels >= 0).sum())


@pytest.mark.parametrize("count", [6, 0], ids=["a video", "text alone"])
def test_a_likelihood_is_the_loss_of_training_on_that_answer(model, count):
    tokens = video(count)
    for answer, likelihood in zip(ANSWERS, answer_likelihoods(model, tokens, QUESTION, ANSWERS), strict=True):
        mean, length = loss(model, tokens, answer)
        assert likelihood.tokens == length
        assert likelihood.mean == pytest.approx(-mean, rel=1e-4)
        assert likelihood.total == pytest.approx(-mean * length, rel=1e-4)


def test_an_answer_is_as_likely_alone_as_beside_others(model):
    together = answer_likelihoods(model, video(), QUESTION, ANSWERS)
    alone = [answer_likelihoods(model, video(), QUESTION, [answer])[0] for answer in ANSWERS]
    assert [one.total for one in together] == pytest.approx([one.total for one in alone], rel=1e-4)
    assert [one.tokens for one in together] == [one.tokens for one in alone]


def test_what_the_model_says_by_itself_is_its_greedy_answer(model, monkeypatch):
    prompt = model.prompt_ids(6, QUESTION).unsqueeze(0)
    embeddings = model.embed(prompt, {"video": video()}, {"video": torch.tensor([6])})
    mask = torch.ones_like(prompt)
    ids = model.llm.generate(inputs_embeds=embeddings, attention_mask=mask, max_new_tokens=5, do_sample=False)[0]
    other = ids.clone()
    other[2] = (other[2] + 1) % 300
    monkeypatch.setattr(model.prompting, "answer_ids", {"own": ids, "other": other}.__getitem__)
    likelihoods = answer_likelihoods(model, video(), QUESTION, ["own", "other"])
    assert [likelihood.is_greedy for likelihood in likelihoods] == [True, False]
    assert all(math.isfinite(likelihood.total) and likelihood.total < 0 for likelihood in likelihoods)


def test_the_video_counts(model):
    answers = [answer_likelihoods(model, video(seed=seed), QUESTION, ["sit down"])[0].total for seed in range(2)]
    assert abs(answers[0] - answers[1]) > 1e-3


def test_an_answer_beyond_the_context_is_refused(model):
    with pytest.raises(ValueError, match="the language model reads"):
        answer_likelihoods(model, video(), QUESTION, ["sit", "sit down " * 2000])


def test_a_resampler_makes_nothing_of_no_video(tmp_path):
    torch.manual_seed(0)
    llm = str(tiny_llm(tmp_path / "llm"))
    settings = {"video": ProjectorSettings("resampler", queries=3, heads=2)}
    model = SkiLvlm.build(base_llm=llm, token_widths={"video": WIDTH}, projectors=settings).eval()
    assert (model.prompt_ids(6, QUESTION) < 0).sum() == 3
    assert (model.prompt_ids(0, QUESTION) < 0).sum() == 0
    likelihoods = [answer_likelihoods(model, video(count), QUESTION, ["sit down"])[0].total for count in (6, 0)]
    assert likelihoods[0] != likelihoods[1]
    assert len(model.answer([video(0)], [QUESTION], max_new_tokens=3)) == 1
