"""Teachers by scores: whatever unit their scores have, and several of them together."""

import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.vlm.teacher import SkeletonTextModel, Teacher, Teachers, standardised
from tests.cases.distillation_case import PROMPTS, Scores, models, paired_batch
from tests.cases.text_case import tiny_clip

NAMES = ("drink water", "hand waving", "kicking something")


@pytest.fixture
def skeleton():
    return paired_batch()["skeleton"]


def one(**settings):
    return Teacher(Scores(**settings), NAMES)


def test_a_teacher_gives_the_model_s_own_scores_and_learns_nothing(skeleton):
    model = Scores(seed=1)
    expected = model(skeleton, NAMES).similarity
    teachers = Teachers([Teacher(model, NAMES)])
    assert isinstance(model, SkeletonTextModel)
    assert torch.equal(teachers.members[0].similarities(skeleton), expected) and model.texts[-1] == NAMES
    assert not any(module.training for module in teachers.modules())
    assert not any(p.requires_grad for p in teachers.parameters())
    assert not teachers.logits(skeleton).requires_grad


@pytest.mark.parametrize(("unit", "offset"), [(1e-3, 0.0), (50.0, -700.0)])
def test_the_unit_of_the_scores_does_not_matter(skeleton, unit, offset):
    plain, other = (Teachers([one(seed=1, **settings)]) for settings in ({}, {"unit": unit, "offset": offset}))
    assert torch.allclose(plain.logits(skeleton), other.logits(skeleton), atol=1e-3)


def test_nobody_has_a_larger_say_by_larger_numbers(skeleton):
    loud, quiet = one(seed=1, unit=1000.0), one(seed=2, unit=0.01)
    parts = [standardised(teacher.similarities(skeleton)) for teacher in (loud, quiet)]
    assert torch.allclose(Teachers([loud, quiet]).logits(skeleton), (parts[0] + parts[1]) / 2)


def test_a_teacher_of_equal_scores_leaves_the_others_their_opinion(skeleton):
    silent, other = one(unit=0.0, offset=-0.3), one(seed=1)
    assert not Teachers([silent]).logits(skeleton).any()
    assert torch.allclose(Teachers([silent, other]).logits(skeleton), Teachers([other]).logits(skeleton) / 2)


def test_distributions_are_averaged_at_their_own_temperatures(skeleton):
    cold, warm = one(seed=1, temperature=0.1), one(seed=2, temperature=3.0)
    shares = [(t.similarities(skeleton) / t.temperature).softmax(-1) for t in (cold, warm)]
    assert torch.allclose(Teachers([cold]).log_probabilities(skeleton).exp(), shares[0], atol=1e-6)
    both = Teachers([cold, warm]).log_probabilities(skeleton)
    assert torch.allclose(both.exp(), (shares[0] + shares[1]) / 2, atol=1e-6)


@pytest.mark.slow
def test_a_skeleton_clip_scores_in_the_scale_of_its_alignment(skeleton, tmp_path):
    _, model = models(tiny_clip(tmp_path))
    model.eval()
    z, cosines, _ = model(skeleton, PROMPTS)
    published, cosine = (Teacher(model, PROMPTS, scale=scale) for scale in ("published", "cosine"))
    texts = F.normalize(model.text_encoder(PROMPTS), dim=-1)
    assert torch.allclose(published.similarities(skeleton), z @ texts.T, atol=1e-5) and published.temperature == 1
    assert torch.equal(cosine.similarities(skeleton), cosines) and cosine.temperature == model.temperature
