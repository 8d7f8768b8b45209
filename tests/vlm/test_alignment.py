"""Table 1's other ways of aligning: who learns, from what, and what a missing skeleton does."""

import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.vlm.alignment import ALIGNMENTS, CrossProjection, Fusion, tri_modal
from ski_lvlm.vlm.losses import contrast
from tests.cases.distillation_case import LABELS, PROMPTS, gradients, models, paired_batch, without
from tests.cases.text_case import tiny_clip, tiny_sentence_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def batch():
    return paired_batch()


def test_tri_modal_is_the_mean_of_three_contrasts(clip, batch):
    student, teacher = models(clip)
    parts = tri_modal(student, teacher, prompts=PROMPTS).eval()(**batch)
    z_v, z_s = student(batch["video"], PROMPTS).z, teacher(batch["skeleton"], PROMPTS).z
    z_t = teacher.text_encoder(PROMPTS)[LABELS]
    pairs = [(z_v, z_t), (z_s, z_t), (z_v, z_s)]
    by_hand = torch.stack([contrast(a, b, temperature=teacher.temperature, classes=LABELS) for a, b in pairs]).mean()
    assert torch.allclose(parts["loss"], by_hand, rtol=1e-5)


def test_tri_modal_trains_both_encoders_and_no_text(clip, batch):
    student, teacher = models(clip)
    tri_modal(student, teacher, prompts=PROMPTS).train()(**batch)["loss"].backward()
    assert any(name.startswith("frames.") for name in gradients(student))
    assert any(name.startswith("encoder.") for name in gradients(teacher))
    assert not any(name.startswith("text_encoder") for name in gradients(student) | gradients(teacher))


def test_cross_projection_leaves_the_video_side_frozen(clip, batch):
    student, teacher = models(clip)
    loss = CrossProjection(student, teacher, prompts=PROMPTS).train()
    assert not student.training
    before = {name: value.clone() for name, value in student.state_dict().items()}
    loss(**batch)["loss"].backward()
    assert not gradients(student) and {"projection.weight"} <= gradients(teacher)
    assert gradients(loss.to_skeleton)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_fusion_classifies_by_the_mean_of_both(clip, batch):
    student, teacher = models(clip)
    parts = Fusion(student, teacher, prompts=PROMPTS).eval()(**batch)
    f_lv = student(batch["video"], PROMPTS).similarity
    f_ls = teacher(batch["skeleton"], PROMPTS).similarity
    assert torch.allclose(parts["logits"], (f_lv + f_ls) / 2, atol=1e-6)
    assert torch.allclose(parts["loss"], F.cross_entropy((f_lv + f_ls) / 2 / student.temperature, LABELS), rtol=1e-5)


def test_fusion_without_a_skeleton_is_the_video_alone(clip, batch):
    student, teacher = models(clip)
    fusion = Fusion(student, teacher, prompts=PROMPTS).eval()
    f_lv = student(batch["video"], PROMPTS).similarity
    partly, none = fusion(**without(batch, 2))["logits"], fusion(**without(batch, 0, 1, 2, 3))["logits"]
    assert torch.allclose(partly[2], f_lv[2], atol=1e-5) and not torch.allclose(partly[0], f_lv[0], atol=1e-3)
    assert torch.allclose(none, f_lv, atol=1e-5)


@pytest.mark.parametrize("name", ALIGNMENTS)
@pytest.mark.parametrize("absent", [(), (1,), (0, 1, 2, 3)])
def test_every_weight_gets_a_gradient_whatever_is_absent(name, absent, clip, batch):
    loss = ALIGNMENTS[name](*models(clip), prompts=PROMPTS).train()
    parts = loss(**without(batch, *absent)) if absent else loss(**batch)
    assert parts["loss"].isfinite()
    parts["loss"].backward()
    idle = [name for name, p in loss.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, "DDP waits for gradients that never come"


def test_a_tri_modal_student_is_tested_with_the_sentences_it_was_aligned_with(clip):
    student, teacher = models(clip)
    loss = tri_modal(student, teacher, prompts=PROMPTS)
    assert loss.student.text_encoder is loss.teacher.text_encoder
    student, teacher = models(clip)
    teacher.text_encoder.requires_grad_(True)
    with pytest.raises(ValueError, match="one frozen text encoder for both sides"):
        tri_modal(student, teacher, prompts=PROMPTS)


def test_two_language_spaces_are_refused(clip, tmp_path):
    student, teacher = models(clip, text=tiny_sentence_encoder(tmp_path))
    with pytest.raises(ValueError, match="needs one text encoder for both sides"):
        Fusion(student, teacher, prompts=PROMPTS)


def test_cross_projection_has_nothing_to_teach_a_text_encoder(clip):
    student, teacher = models(clip)
    teacher.text_encoder.requires_grad_(True)
    with pytest.raises(ValueError, match="leave --teacher_text frozen"):
        CrossProjection(student, teacher, prompts=PROMPTS)
