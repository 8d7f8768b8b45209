"""The other ways of bringing skeletons into CLIP's space that Table 1 compares SCD with.

Each is a loss of stage 4 with the signature of `DistillationLoss`. It skips clips without a skeleton if it needs one.
"""

from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import InLanguage, Student
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.vlm.losses import contrast, language_cross_entropy
from ski_lvlm.vlm.stage_losses import StageLoss, skeleton_mask, zero_for


class Alignment(StageLoss):
    """Base of the three: a student, a SkeletonCLIP and the seen classes' sentences."""

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__(width=student.text_encoder.width)
        if student.text_encoder.width != teacher.text_encoder.width:
            raise ValueError(
                f"the student's features have {student.text_encoder.width} channels, SkeletonCLIP's "
                f"{teacher.text_encoder.width}; this alignment needs one text encoder for both sides"
            )
        self.student, self.teacher, self.prompts = student, teacher, tuple(prompts)

    def _extra(self, videos: InLanguage, *, any_skeleton: bool) -> Float[Tensor, ""]:
        """Return what joins any loss: the student's own, and a zero for an idle SkeletonCLIP."""
        zero = zero_for() if any_skeleton else zero_for(self.teacher)
        return zero if videos.own_loss is None else zero + videos.own_loss


def tri_modal(student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> "TriModal":
    """Build the loss, for which the student gets SkeletonCLIP's text encoder in place of its own.

    It keeps that encoder when it is saved and tested.

    Raises:
        ValueError: the two text encoders are different ones, or SkeletonCLIP's is trained.
    """
    if not teacher.text_encoder.is_frozen or student.text_encoder.model_id != teacher.text_encoder.model_id:
        raise ValueError(
            "tri-modal alignment has one frozen text encoder for both sides; leave --teacher_text frozen, and give "
            f"both the same one (found {student.text_encoder.model_id} and {teacher.text_encoder.model_id})"
        )
    student.text_encoder = teacher.text_encoder
    return TriModal(student, teacher, prompts=prompts)


class TriModal(Alignment):
    """Contrastive losses between video and text, skeleton and text, video and skeleton, at the teacher's temperature.

    Paper: "Tri-modal Align.", Table 1, after AudioCLIP (Guzhov et al. 2021).
    Assumption: one frozen text encoder, SkeletonCLIP's, for both. Rows of the same class are positives of each other,
    since a batch holds a class sentence more than once.
    """

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__(student, teacher, prompts=prompts)
        student.log_scale.requires_grad_(False)

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """Return the mean of the three losses, of which those that need skeletons are zero in a batch without."""
        has_skeleton, tau = skeleton_mask(skeleton), self.teacher.temperature
        any_skeleton = bool(has_skeleton.any())
        videos = self.student(video, self.prompts)
        z_t = self.teacher.text_encoder(self.prompts)[labels]
        parts = {"video_text": contrast(videos.z, z_t, temperature=tau, classes=labels)}
        if any_skeleton:
            z_s, classes = self.teacher(skeleton[has_skeleton], self.prompts).z, labels[has_skeleton]
            parts["skeleton_text"] = contrast(z_s, z_t[has_skeleton], temperature=tau, classes=classes)
            parts["video_skeleton"] = contrast(videos.z[has_skeleton], z_s, temperature=tau, classes=classes)
        loss = torch.stack(list(parts.values())).sum() / 3 + self._extra(videos, any_skeleton=any_skeleton)
        # X-CLIP's weights that change sentences by the video learn nothing here. DDP needs their zero gradients.
        return {"loss": loss + 0.0 * videos.similarity.sum(), "logits": videos.similarity, **parts}


class CrossProjection(Alignment):
    """Projections in both directions, by which the video side, which this loss freezes, teaches the skeleton encoder.

    g maps skeleton features to z^v, f maps z^v to skeleton features. Each is compared within the batch. g is
    SkeletonCLIP's projection, so that its output can be compared with sentences afterwards.

    Paper: "Cross-projection Align.", Table 1, after Wav2CLIP (Wu et al. 2021).
    """

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        if not teacher.text_encoder.is_frozen:
            raise ValueError("cross-projection compares nothing with sentences; leave --teacher_text frozen")
        super().__init__(freeze(student), teacher, prompts=prompts)
        width = student.text_encoder.width
        self.to_skeleton = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, teacher.encoder.width))

    def train(self, mode: bool = True) -> "CrossProjection":
        """Enter training mode, the video side excepted."""
        super().train(mode)
        self.student.eval()
        return self

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """Return the sum of both directions' contrastive losses."""
        has_skeleton, tau = skeleton_mask(skeleton), self.teacher.temperature
        if not bool(has_skeleton.any()):
            return {"loss": zero_for(self.teacher, self.to_skeleton)}
        with torch.no_grad():
            z_v = self.student(video[has_skeleton], self.prompts).z
        feature = self.teacher.encoder(skeleton[has_skeleton]).feature
        parts = {
            "to_video": contrast(self.teacher.projection(feature), z_v, temperature=tau),
            "to_skeleton": contrast(self.to_skeleton(z_v), feature, temperature=tau),
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}


class Fusion(Alignment):
    """One classification by video and skeleton together: the mean of F_LV and F_LS.

    Clips without a skeleton are classified by F_LV alone.

    Paper: "ViFiCLIP + SkeletonCLIP", Table 1: "directly fusing language-contextualized skeleton features with VLM
    features". Assumption: their mean, at the student's temperature.
    """

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__(student, teacher, prompts=prompts)
        teacher.log_scale.requires_grad_(False)

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """Return the cross-entropy of the fused similarities."""
        has_skeleton = skeleton_mask(skeleton)
        any_skeleton = bool(has_skeleton.any())
        videos = self.student(video, self.prompts)
        fused = videos.similarity
        if any_skeleton:
            f_ls = self.teacher(skeleton[has_skeleton], self.prompts).similarity.to(fused.dtype)
            f_ls = fused.new_zeros(fused.shape).index_put((has_skeleton.nonzero().squeeze(1),), f_ls)
            fused = torch.where(rearrange(has_skeleton, "b -> b 1"), (fused + f_ls) / 2, fused)
        loss = language_cross_entropy(fused, labels, temperature=self.student.temperature)
        return {"loss": loss + self._extra(videos, any_skeleton=any_skeleton), "logits": fused}


ALIGNMENTS: dict[str, Callable[..., Alignment]] = {
    "tri_modal": tri_modal,
    "cross_projection": CrossProjection,
    "fusion": Fusion,
}
