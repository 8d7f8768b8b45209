"""The other ways of bringing skeletons into CLIP's space that Table 1 compares SCD with.

Each is a loss for the Trainer with the signature of `DistillationLoss`. Clips without a skeleton are left out of what
needs one.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from transformers import PretrainedConfig

from ski_lvlm.dual_encoders.losses import contrast, language_cross_entropy
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import Student
from ski_lvlm.encoders.text_encoder import InLanguage, freeze
from ski_lvlm.vlm.distillation import nothing, present


class Alignment(nn.Module):
    """What the three share: a student, a SkeletonCLIP and the seen classes' sentences."""

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__()
        if student.text_encoder.width != teacher.text_encoder.width:
            raise ValueError(
                f"the student's features have {student.text_encoder.width} channels, SkeletonCLIP's "
                f"{teacher.text_encoder.width}; this alignment needs one text encoder for both sides"
            )
        self.student, self.teacher, self.prompts = student, teacher, tuple(prompts)
        self.config = PretrainedConfig(hidden_size=student.text_encoder.width)  # type: ignore[call-arg]

    def _beside(self, seen: InLanguage, *, some: bool) -> Float[Tensor, ""]:
        """What joins the loss: the student's own, and a zero for SkeletonCLIP where a batch has not `some` skeleton."""
        idle = nothing() if some else nothing(self.teacher)
        return idle if seen.own_loss is None else idle + seen.own_loss


class TriModal(Alignment):
    """Contrastive losses between video and text, skeleton and text, video and skeleton.

    Paper: "Tri-modal Align.", Table 1, after AudioCLIP (Guzhov et al. 2021).
    Assumption: one frozen text encoder, SkeletonCLIP's, for both; rows of the same class are positives of each other,
    since a batch holds a class sentence more than once.
    """

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        super().__init__(student, teacher, prompts=prompts)
        if not teacher.text_encoder.frozen or student.text_encoder.model_id != teacher.text_encoder.model_id:
            raise ValueError(
                "tri-modal alignment has one frozen text encoder for both sides; leave --teacher_text frozen, and give "
                f"both the same one (found {student.text_encoder.model_id} and {teacher.text_encoder.model_id})"
            )
        student.text_encoder = teacher.text_encoder  # also where the student is tested on its own
        student.log_scale.requires_grad_(False)

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """The mean of the three losses; those that need skeletons are zero in a batch without."""
        there, tau = present(skeleton), self.teacher.temperature
        some = bool(there.any())
        seen = self.student(video, self.prompts)
        z_t = self.teacher.text_encoder(self.prompts)[labels]
        parts = {"video_text": contrast(seen.z, z_t, temperature=tau, classes=labels)}
        if some:
            z_s, known = self.teacher(skeleton[there], self.prompts).z, labels[there]
            parts["skeleton_text"] = contrast(z_s, z_t[there], temperature=tau, classes=known)
            parts["video_skeleton"] = contrast(seen.z[there], z_s, temperature=tau, classes=known)
        loss = torch.stack(list(parts.values())).sum() / 3 + self._beside(seen, some=some)
        # X-CLIP has weights that change sentences by the video; here they learn nothing, which DDP wants to be told
        return {"loss": loss + 0.0 * seen.similarity.sum(), "logits": seen.similarity, **parts}


class CrossProjection(Alignment):
    """The frozen video side teaches the skeleton encoder through projections in both directions.

    g maps skeleton features to z^v, f maps z^v to skeleton features; each is compared within the batch. g is
    SkeletonCLIP's projection, so that its output can be compared with sentences afterwards.

    Paper: "Cross-projection Align.", Table 1, after Wav2CLIP (Wu et al. 2021).
    """

    def __init__(self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str]) -> None:
        if not teacher.text_encoder.frozen:
            raise ValueError("cross-projection compares nothing with sentences; leave --teacher_text frozen")
        super().__init__(freeze(student), teacher, prompts=prompts)
        width = student.text_encoder.width
        self.to_skeleton = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, teacher.encoder.width))

    def train(self, mode: bool = True) -> "CrossProjection":
        """Training mode, the video side excepted."""
        super().train(mode)
        self.student.eval()
        return self

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """The sum of both directions' contrastive losses."""
        there, tau = present(skeleton), self.teacher.temperature
        if not bool(there.any()):
            return {"loss": nothing(self.teacher, self.to_skeleton)}
        with torch.no_grad():
            z_v = self.student(video[there], self.prompts).z
        feature = self.teacher.encoder(skeleton[there]).feature
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
        """Cross-entropy of the fused similarities."""
        there = present(skeleton)
        some = bool(there.any())
        seen = self.student(video, self.prompts)
        fused = seen.similarity
        if some:
            f_ls = fused.new_zeros(fused.shape).index_put(
                (there.nonzero().squeeze(1),), self.teacher(skeleton[there], self.prompts).similarity.to(fused.dtype)
            )
            fused = torch.where(rearrange(there, "b -> b 1"), (fused + f_ls) / 2, fused)
        loss = language_cross_entropy(fused, labels, temperature=self.student.temperature)
        return {"loss": loss + self._beside(seen, some=some), "logits": fused}


ALIGNMENTS = {"tri_modal": TriModal, "cross_projection": CrossProjection, "fusion": Fusion}
