"""SCD by teachers that give scores alone: what a student learns from any skeleton-text model."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.vlm.losses import language_distance, temperature_in
from ski_lvlm.vlm.stage_losses import Distillation, StageLoss, skeleton_mask, student_parts, total
from ski_lvlm.vlm.teacher import Teachers


class ScoreDistillationLoss(StageLoss):
    """Stage 4 with teachers that do not learn: the video's cross-entropy and alpha times the distance to their scores.

    Clips without a skeleton (NaN throughout), and clips to whose classes no teacher gives different scores, train by
    the cross-entropy alone.

    Paper: Eq. (3), Sec. 3.2, with the teacher of Table 4's "Offline KD".
    Assumption: for kl the teachers' distributions are those at their own temperatures. See `f_ls_near` for the others.
    """

    def __init__(
        self, student: Student, teachers: Teachers, *, prompts: Sequence[str], distillation: Distillation
    ) -> None:
        super().__init__(width=student.text_encoder.width)
        self.student = student
        # Within a tuple they are no part of this module: nobody trains, casts, shares out or saves them.
        self._teachers = (teachers,)
        self.prompts, self.distillation = tuple(prompts), distillation
        if distillation.scale == "published":  # its softmax has no temperature
            student.log_scale.requires_grad_(False)

    @property
    def teachers(self) -> Teachers:
        """The teachers, on the device of their last batch."""
        return self._teachers[0]

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """Return the loss, its parts, and the video's similarities as logits. `gradient_ratio` is as in SCD."""
        alpha, has_skeleton = self.distillation.alpha, skeleton_mask(skeleton)
        videos = self.student(video, self.prompts)
        tau = temperature_in(self.distillation.scale, self.student.temperature)
        parts = student_parts(videos, labels, temperature=tau)
        if alpha and bool(has_skeleton.any()):
            parts["distance"] = self._distance(videos.similarity[has_skeleton], skeleton[has_skeleton], tau)
        return total(parts, videos, alpha=alpha, is_training=self.training)

    def _distance(
        self, f_lv: Float[Tensor, "N C"], skeleton: Float[Tensor, "N U M J _"], tau: Float[Tensor, ""]
    ) -> Float[Tensor, ""]:
        self.teachers.to(skeleton.device)
        if self.distillation.distance == "kl":
            f_ls = self.teachers.log_probabilities(skeleton)
            return language_distance(f_lv, f_ls, kind="kl", temperatures=(tau, 1.0))
        f_ls = f_ls_near(f_lv, self.teachers.logits(skeleton), temperature=tau)
        return language_distance(f_lv, f_ls, kind=self.distillation.distance, temperatures=(tau, tau))


@torch.no_grad()
def f_ls_near(
    f_lv: Float[Tensor, "N C"], logits: Float[Tensor, "N C"], *, temperature: Float[Tensor, ""]
) -> Float[Tensor, "N C"]:
    """Return F_LS in the unit of F_LV: logits times the student's temperature, around the mean of each clip's F_LV.

    A clip of equal logits gets its F_LV, from which nothing is to be learnt.

    Assumption: SkeletonCLIP's F_LS are logits times tau too, its tau being 1 in the published scale. So
    softmax(F_LS / tau) is the teacher's distribution in both scales, and alpha means what it means for SkeletonCLIP. A
    distribution has no mean of its own, so the mean of F_LV stays where the cross-entropy puts it.
    """
    f_ls = f_lv.mean(-1, keepdim=True) + temperature * logits
    return torch.where(logits.any(-1, keepdim=True), f_ls, f_lv)
