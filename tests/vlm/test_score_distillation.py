"""SCD by scores alone: F_LS in the student's unit, who learns, and clips from which nothing is to be learnt."""

import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.vlm.losses import contrast
from ski_lvlm.vlm.score_distillation import ScoreDistillationLoss, f_ls_near
from ski_lvlm.vlm.stage_losses import Distillation
from ski_lvlm.vlm.teacher import Teacher, Teachers
from tests.cases.distillation_case import LABELS, PROMPTS, Scores, gradients, models, paired_batch, without
from tests.cases.text_case import tiny_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def batch():
    return paired_batch()


def loss_of(clip, *scores, kind="vificlip", **settings):
    student, _ = models(clip, kind=kind)
    teachers = Teachers([Teacher(model, PROMPTS) for model in scores or [Scores(seed=3)]])
    distillation = Distillation(**{"alpha": 7.0, "online": False, **settings})
    return ScoreDistillationLoss(student, teachers, prompts=PROMPTS, distillation=distillation)


def test_f_ls_has_the_teacher_s_distribution_at_the_student_s_temperature():
    f_lv, logits = torch.rand(5, 4), torch.randn(5, 4)
    for tau in (torch.tensor(1.0), torch.tensor(0.05)):
        f_ls = f_ls_near(f_lv, logits, temperature=tau)
        assert torch.allclose((f_ls / tau).softmax(-1), logits.softmax(-1), atol=1e-5)
        assert torch.allclose(f_ls.mean(-1), f_lv.mean(-1) + tau * logits.mean(-1), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["published", "cosine"])
def test_equation_3_by_hand(clip, batch, scale):
    loss = loss_of(clip, scale=scale).eval()
    parts = loss(**batch)
    tau = torch.tensor(1.0) if scale == "published" else loss.student.temperature
    f_lv = loss.student(batch["video"], PROMPTS).similarity
    logits = loss.teachers.logits(batch["skeleton"])
    f_ls = f_lv.mean(-1, keepdim=True) + tau * logits
    by_hand = F.cross_entropy(f_lv / tau, LABELS) + 7 * (f_lv - f_ls).square().mean()
    assert torch.allclose(parts["loss"], by_hand, rtol=1e-5)
    assert set(parts) == {"loss", "logits", "video", "distance"}
    assert loss.student.log_scale.requires_grad == (scale == "cosine")


@pytest.mark.slow
def test_distances_by_hand(clip, batch):
    model = Scores(seed=3, temperature=0.5)
    student, _ = models(clip)
    f_lv, tau = student.eval()(batch["video"], PROMPTS).similarity, student.temperature
    f_ls = model(batch["skeleton"], PROMPTS).similarity
    kl = F.kl_div((f_lv / tau).log_softmax(-1), (f_ls / 0.5).softmax(-1), reduction="batchmean")
    parts = loss_of(clip, model, distance="kl", scale="cosine").eval()(**batch)
    assert torch.allclose(parts["distance"], kl, rtol=1e-4)
    loss = loss_of(clip, model, distance="contrastive", scale="cosine").eval()
    near = f_ls_near(f_lv, loss.teachers.logits(batch["skeleton"]), temperature=tau)
    assert torch.allclose(loss(**batch)["distance"], contrast(f_lv, near, temperature=tau), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vificlip", "xclip", "froster"])
@pytest.mark.parametrize("distance", ["mse", "kl", "contrastive"])
@pytest.mark.parametrize("absent", [(), (1,), (0, 1, 2, 3)])
def test_every_weight_of_the_student_learns_and_none_of_the_teachers(clip, batch, kind, distance, absent):
    loss = loss_of(clip, Scores(seed=1), Scores(seed=2), kind=kind, distance=distance).train()
    parts = loss(**(without(batch, *absent) if absent else batch))
    assert ("distance" in parts) == ("gradient_ratio" in parts) == (len(absent) < 4)
    assert parts["loss"].isfinite() and ("own" in parts) == (kind == "froster")
    parts["loss"].backward()
    assert not [name for name, p in loss.named_parameters() if p.requires_grad and p.grad is None]
    assert gradients(loss.student) and not gradients(loss.teachers)
    assert not any(module.training for module in loss.teachers.modules())


@pytest.mark.slow
def test_the_unit_of_a_teacher_s_scores_does_not_change_what_is_learnt(clip, batch):
    plain, other = (loss_of(clip, Scores(seed=3, **s)).eval() for s in ({}, {"unit": 40.0, "offset": -90.0}))
    assert torch.allclose(plain(**batch)["distance"], other(**batch)["distance"], rtol=1e-3)


@pytest.mark.slow
def test_a_student_in_another_precision_gets_the_same_lesson(clip, batch):
    """As DeepSpeed casts a module and its inputs, and as the Trainer's autocast does."""
    loss = loss_of(clip, Scores(seed=3), distance="kl", scale="cosine").eval()
    expected = loss.teachers.log_probabilities(batch["skeleton"])
    assert not any("teacher" in name for name in loss.state_dict())
    loss.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss.teachers.log_probabilities(batch["skeleton"]), expected)
    rounded = {**batch, "skeleton": batch["skeleton"].bfloat16()}
    assert loss(**rounded)["distance"].isfinite()


@pytest.mark.slow
def test_equal_scores_teach_nothing(clip, batch):
    parts = loss_of(clip, Scores(unit=0.0, offset=2.0)).train()(**batch)
    assert parts["distance"] == 0 and parts["gradient_ratio"] == 0


@pytest.mark.slow
def test_without_alpha_no_teacher_is_asked(clip, batch):
    model = Scores()
    parts = loss_of(clip, model, alpha=0.0).train()(**batch)
    assert not model.texts and torch.equal(parts["loss"], parts["video"])
