"""Eq. (3) term by term, and everything that the paper varies about it."""

import math

import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.dual_encoders.language import cosine_similarity
from ski_lvlm.dual_encoders.students import STUDENTS
from ski_lvlm.vlm.stage_losses import StudentLoss, skeleton_mask, zero_for
from tests.cases.distillation_case import LABELS, PROMPTS, gradients, models, paired_batch, scd, without
from tests.cases.text_case import tiny_clip, tiny_sentence_encoder

pytestmark = pytest.mark.slow


KINDS = tuple(STUDENTS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def batch():
    return paired_batch()


def test_equation_3_term_by_term(clip, batch):
    student, teacher = models(clip)
    loss = scd(student, teacher, alpha=7.0, scale="cosine").eval()
    parts = loss(**batch)
    videos, skeletons = student(batch["video"], PROMPTS), teacher(batch["skeleton"], PROMPTS)
    f_lv = cosine_similarity(videos.z, student.text_encoder(PROMPTS))
    f_ls = cosine_similarity(skeletons.z, teacher.text_encoder(PROMPTS))
    tau = math.exp(-3.0)
    by_hand = F.cross_entropy(f_lv / tau, LABELS) + F.cross_entropy(f_ls / tau, LABELS) + 7 * F.mse_loss(f_lv, f_ls)
    assert torch.allclose(parts["loss"], by_hand, rtol=1e-5)
    assert set(parts) == {"loss", "logits", "video", "skeleton", "distance"}


def test_published_scale_has_no_temperature_and_keeps_the_skeletons_length(clip, batch):
    student, teacher = models(clip)
    loss = scd(student, teacher, alpha=7.0, scale="published").eval()
    f_lv = student(batch["video"], PROMPTS).similarity
    f_ls = teacher(batch["skeleton"], PROMPTS).z @ F.normalize(teacher.text_encoder(PROMPTS), dim=-1).T
    by_hand = F.cross_entropy(f_lv, LABELS) + F.cross_entropy(f_ls, LABELS) + 7 * F.mse_loss(f_lv, f_ls)
    assert torch.allclose(loss(**batch)["loss"], by_hand, rtol=1e-5)


@pytest.mark.parametrize("scale", ["cosine", "published"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_ratio_is_that_of_the_two_terms(kind, scale, clip, batch):
    student, teacher = models(clip, kind=kind)
    loss = scd(student, teacher, alpha=7.0, scale=scale).train()
    features = {}
    loss.student.register_forward_hook(lambda *call: features.update(z=call[-1].z))
    parts = loss(**batch)
    distance, video = (
        torch.autograd.grad(parts[name], features["z"], retain_graph=True)[0].norm() for name in ("distance", "video")
    )
    assert torch.allclose(parts["gradient_ratio"], 7 * distance / video)
    parts["loss"].backward()
    assert gradients(student), "asking for the ratio leaves the graph whole"


def test_without_a_distance_there_is_no_gradient_ratio(clip, batch):
    student, teacher = models(clip)
    assert "gradient_ratio" not in scd(student, teacher, alpha=0.0).train()(**batch)
    bare = without(batch, 0, 1, 2, 3)
    assert "gradient_ratio" not in scd(student, teacher, alpha=1.0).train()(**bare)


def test_alpha_0_is_equation_3_without_its_last_term(clip, batch):
    student, teacher = models(clip)
    parts = scd(student, teacher, alpha=0.0).eval()(**batch)
    assert "distance" not in parts
    assert torch.allclose(parts["loss"], parts["video"] + parts["skeleton"], rtol=1e-4)


def test_online_the_distance_moves_both_sides(clip, batch):
    student, teacher = models(clip)
    parts = scd(student, teacher, alpha=1.0)(**batch)
    parts["distance"].backward()
    assert any(n.startswith("frames.") for n in gradients(student))
    assert {"projection.weight"} <= gradients(teacher)
    assert not any(n.startswith("text_encoder.") for n in gradients(teacher))


def test_offline_the_teacher_is_frozen_and_says_no_loss_of_its_own(clip, batch):
    student, teacher = models(clip)
    loss = scd(student, teacher, alpha=1.0, online=False).train()
    assert not any(module.training for module in teacher.modules())
    parts = loss(**batch)
    assert "skeleton" not in parts
    parts["loss"].backward()
    assert not gradients(teacher) and gradients(student)


@pytest.mark.parametrize("distance", ["mse", "kl", "contrastive"])
@pytest.mark.parametrize("level", ["logit", "feature", "feature_projected"])
@pytest.mark.parametrize("scale", ["cosine", "published"])
def test_every_variant_trains_every_weight_it_should(level, distance, scale, clip, batch):
    student, teacher = models(clip)
    loss = scd(student, teacher, alpha=1.0, level=level, distance=distance, scale=scale)
    loss.train()(**batch)["loss"].backward()
    idle = [name for name, p in loss.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "DDP waits for gradients that never come"


def test_feature_level_needs_one_width_unless_projected(clip, batch, tmp_path):
    text = tiny_sentence_encoder(tmp_path)
    student, teacher = models(clip, text=text)
    with pytest.raises(ValueError, match="12 channels, SkeletonCLIP's 16; use --level feature_projected"):
        scd(student, teacher, alpha=1.0, level="feature")
    projected = scd(student, teacher, alpha=1.0, level="feature_projected")
    assert projected(**batch)["loss"].isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_without_skeleton_trains_the_video_side_only(kind, clip, batch):
    student, teacher = models(clip, kind=kind)
    loss = scd(student, teacher, alpha=3.0, scale="cosine").eval()
    parts = loss(**without(batch, 1, 3))
    clips = torch.tensor([0, 2])
    alone = teacher(batch["skeleton"][clips], PROMPTS).similarity
    assert torch.allclose(parts["video"], loss(**batch)["video"], rtol=1e-4)
    assert torch.allclose(parts["skeleton"], F.cross_entropy(alone / teacher.temperature, LABELS[clips]), rtol=1e-4)
    assert torch.allclose(parts["distance"], F.mse_loss(parts["logits"][clips], alone), rtol=1e-4)


def test_a_batch_without_any_skeleton_leaves_the_teacher_as_it_is(clip, batch):
    student, teacher = models(clip)
    loss = scd(student, teacher, alpha=3.0).train()
    parts = loss(**without(batch, 0, 1, 2, 3))
    assert torch.equal(parts["loss"], parts["video"])
    parts["loss"].backward()
    assert all(p.grad is not None and not p.grad.any() for p in teacher.parameters() if p.requires_grad)


def test_presence():
    skeleton = torch.zeros(3, 2, 1, 25, 3)
    skeleton[1] = torch.nan
    skeleton[2, 0] = torch.nan
    assert skeleton_mask(skeleton).tolist() == [True, False, True]
    layer = torch.nn.Linear(2, 2)
    assert zero_for(layer).item() == 0.0


def test_batch_norm_statistics_stay_when_they_are_frozen(clip, batch):
    for keep in (True, False):
        student, teacher = models(clip)
        teacher.encoder.keep_statistics = keep
        before = teacher.encoder.entrance_norm.running_mean.clone()
        scd(student, teacher, alpha=1.0).train()(**batch)
        assert torch.equal(before, teacher.encoder.entrance_norm.running_mean) == keep


def test_a_student_alone_is_the_first_term(clip, batch):
    student, teacher = models(clip)
    alone = StudentLoss(student, prompts=PROMPTS).eval()(batch["video"], LABELS)
    both = scd(student, teacher, alpha=1.0, scale="cosine").eval()(**batch)
    assert torch.equal(alone["loss"], both["video"]) and torch.equal(alone["logits"], both["logits"])


def test_frosters_own_loss_stays_in_scd(clip, batch):
    student, teacher = models(clip, kind="froster")
    parts = scd(student, teacher, alpha=2.0).train()(**batch)
    total = parts["video"] + parts["own"] + parts["skeleton"] + 2 * parts["distance"]
    assert torch.allclose(parts["loss"], total)
