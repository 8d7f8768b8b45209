"""The losses of the four stages, as modules whose `forward` takes a batch and returns {"loss", its parts}."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from transformers import PretrainedConfig

from ski_lvlm.dual_encoders.language import DualEncoder, InLanguage, Student
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.recipe import Scale
from ski_lvlm.vlm.losses import (
    feature_distance,
    gradient_ratio,
    language_cross_entropy,
    language_distance,
    scaled,
    temperature_in,
)


class StageLoss(nn.Module):
    """Base of the losses. `config` has the one number that the Trainer fills into "auto" of DeepSpeed's settings."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.config = PretrainedConfig(hidden_size=width)  # type: ignore[call-arg]


class ClassifierLoss(StageLoss):
    """Stage 1: cross-entropy over the seen classes."""

    def __init__(self, model: ActionClassifier) -> None:
        super().__init__(width=model.encoder.width)
        self.model = model

    def forward(self, skeleton: Float[Tensor, "B T M J _"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Return the loss and the logits."""
        logits = self.model(skeleton)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


class AlignmentLoss(StageLoss):
    """Stage 2: cross-entropy over the seen classes' sentences.

    Paper: Eq. (1), Sec. 3.1.
    Deviation: in the published scale without tau, which is then not trained, and features keep their length.
    """

    def __init__(self, model: SkeletonCLIP, *, prompts: Sequence[str], scale: Scale = "published") -> None:
        super().__init__(width=model.encoder.width)
        self.model, self.prompts, self.scale = model, tuple(prompts), scale
        model.log_scale.requires_grad_(scale == "cosine")

    def forward(self, skeleton: Float[Tensor, "B T M J _"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Return the loss, and the similarities as logits."""
        similarity = scaled(self.model(skeleton, self.prompts), self.scale)
        tau = temperature_in(self.scale, self.model.temperature)
        return {"loss": language_cross_entropy(similarity, labels, temperature=tau), "logits": similarity}


class StudentLoss(StageLoss):
    """Stage 3: cross-entropy over the seen classes' sentences, and the student's own loss if it has one.

    Paper: L_CE(z^v, z^tv), Sec. 3.2.
    """

    def __init__(self, student: Student, *, prompts: Sequence[str]) -> None:
        super().__init__(width=student.text_encoder.width)
        self.student, self.prompts = student, tuple(prompts)

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """Return the loss, its parts, and the similarities as logits."""
        videos = self.student(video, self.prompts)
        parts = student_parts(videos, labels, temperature=self.student.temperature)
        return {"loss": torch.stack(list(parts.values())).sum(), "logits": videos.similarity, **parts}


@dataclass(frozen=True)
class Distillation:
    """The distance that SCD adds to the cross-entropies, and whether the teacher learns beside it."""

    alpha: float  # weight of the distance
    distance: str = "mse"  # mse, kl or contrastive
    level: str = "logit"  # F_LV and F_LS; feature: z^v and z^s; feature_projected: z^v through a linear layer, and z^s
    scale: Scale = "published"  # of F_LV and F_LS, see `DistillRecipe`
    online: bool = True  # whether the teacher learns


class DistillationLoss(StageLoss):
    """Stage 4, SCD: both sides' cross-entropies and alpha times the distance between them.

    The teacher is SkeletonCLIP. It learns too, unless the distillation is offline, which freezes it. Clips without a
    skeleton (NaN throughout) train the video side only.

    Paper: Eq. (3), Sec. 3.2. Tables 4, 5 and 6.
    Deviation: where the published code treats alpha = 0 as another loss, here it is Eq. (3) with alpha = 0.
    """

    def __init__(
        self, student: Student, teacher: SkeletonCLIP, *, prompts: Sequence[str], distillation: Distillation
    ) -> None:
        width, teacher_width = student.text_encoder.width, teacher.text_encoder.width
        super().__init__(width=width)
        if distillation.level == "feature" and width != teacher_width:
            raise ValueError(
                f"the student's features have {width} channels, SkeletonCLIP's {teacher_width}; use --level "
                "feature_projected, or the same text encoder on both sides"
            )
        self.student, self.teacher = student, teacher if distillation.online else freeze(teacher)
        self.prompts, self.distillation = tuple(prompts), distillation
        has_projection = distillation.level == "feature_projected" and distillation.alpha
        self.projection = nn.Linear(width, teacher_width) if has_projection else None
        if distillation.scale == "published":  # its softmax has no temperature
            student.log_scale.requires_grad_(False)
            teacher.log_scale.requires_grad_(False)

    def train(self, mode: bool = True) -> "DistillationLoss":
        """Enter training mode, in which an offline teacher stays in evaluation mode."""
        super().train(mode)
        if not self.distillation.online:
            self.teacher.eval()
        return self

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        skeleton: Float[Tensor, "B U M J _"],
        labels: Int[Tensor, " B"],
    ) -> dict[str, Tensor]:
        """Return the loss of Eq. (3), its parts, and the video's similarities as logits.

        In training `gradient_ratio` is the gradient of alpha * L_D at z^v over that of the video's cross-entropy.
        """
        alpha, scale = self.distillation.alpha, self.distillation.scale
        has_skeleton = skeleton_mask(skeleton)
        any_skeleton = bool(has_skeleton.any())  # once: on a GPU each such question waits for it
        videos = self.student(video, self.prompts)
        tau = self._tau(self.student)
        parts = student_parts(videos, labels, temperature=tau)
        if any_skeleton:
            skeletons = self._teach(skeleton[has_skeleton])
            tau_s = self._tau(self.teacher)
            if self.distillation.online:
                f_ls = scaled(skeletons, scale)
                parts["skeleton"] = language_cross_entropy(f_ls, labels[has_skeleton], temperature=tau_s)
            if alpha:
                parts["distance"] = self._distance(videos, skeletons, has_skeleton, (tau, tau_s))
        outcome = total(parts, videos, alpha=alpha, is_training=self.training)
        if not any_skeleton:
            outcome["loss"] = outcome["loss"] + zero_for(self.teacher, self.projection)
        return outcome

    def _teach(self, skeleton: Float[Tensor, "N U M J _"]) -> InLanguage:
        with torch.set_grad_enabled(self.distillation.online and torch.is_grad_enabled()):
            return self.teacher(skeleton, self.prompts)

    def _distance(
        self, videos: InLanguage, skeletons: InLanguage, has_skeleton: Bool[Tensor, " B"], taus: tuple[Tensor, Tensor]
    ) -> Float[Tensor, ""]:
        kind = self.distillation.distance
        if self.distillation.level == "logit":
            f_lv, f_ls = videos.similarity[has_skeleton], scaled(skeletons, self.distillation.scale)
            return language_distance(f_lv, f_ls, kind=kind, temperatures=taus)
        z_v = videos.z[has_skeleton]
        if self.projection is not None:
            z_v = self.projection(z_v)
        return feature_distance(z_v, skeletons.z, kind=kind, temperature=taus[0])

    def _tau(self, model: DualEncoder) -> Float[Tensor, ""]:
        return temperature_in(self.distillation.scale, model.temperature)


def student_parts(
    videos: InLanguage, labels: Int[Tensor, " B"], *, temperature: Float[Tensor, ""]
) -> dict[str, Tensor]:
    """Return the student's parts of a loss: its cross-entropy and, if it has one, its own loss."""
    parts = {"video": language_cross_entropy(videos.similarity, labels, temperature=temperature)}
    return parts if videos.own_loss is None else {**parts, "own": videos.own_loss}


def total(parts: dict[str, Tensor], videos: InLanguage, *, alpha: float, is_training: bool) -> dict[str, Tensor]:
    """Return the sum of the parts, of which the distance has the weight alpha, beside the parts and the logits.

    In training `gradient_ratio` is the gradient of alpha * L_D at z^v over that of the video's cross-entropy.
    """
    weights = {"distance": alpha}
    loss = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
    measures = {}
    # the graph is walked twice, which torch.compile does not allow
    if "distance" in parts and is_training and videos.z.requires_grad and not torch.compiler.is_compiling():
        measures["gradient_ratio"] = gradient_ratio(alpha * parts["distance"], parts["video"], videos.z)
    return {"loss": loss, "logits": videos.similarity, **parts, **measures}


def skeleton_mask(skeleton: Float[Tensor, "B U M J _"]) -> Bool[Tensor, " B"]:
    """Return which clips of a batch have a skeleton. NaN throughout stands for none."""
    return ~skeleton.isnan().flatten(1).all(1)


def zero_for(*modules: nn.Module | None) -> Float[Tensor, ""]:
    """Return 0 with a zero gradient for every trained weight: what DDP needs from a batch without skeletons."""
    trained = [p for module in modules if module is not None for p in module.parameters() if p.requires_grad]
    return sum((p.sum() * 0.0 for p in trained), start=torch.zeros(()))
