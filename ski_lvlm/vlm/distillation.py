"""What the Trainer minimises with videos: the student's own loss, and SkeletonCLIP Distillation (SCD)."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from transformers import PretrainedConfig

from ski_lvlm.dual_encoders.losses import (
    feature_distance,
    gradient_ratio,
    language_cross_entropy,
    language_distance,
    scaled,
    temperature_in,
)
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import Student
from ski_lvlm.encoders.text_encoder import InLanguage, freeze
from ski_lvlm.recipe import Scale


class StudentLoss(nn.Module):
    """Stage 3: cross-entropy over the seen classes' sentences, and what the student's authors add to it.

    Paper: L_CE(z^v, z^tv), Sec. 3.2.
    """

    def __init__(self, student: Student, *, prompts: Sequence[str]) -> None:
        super().__init__()
        self.student, self.prompts = student, tuple(prompts)
        self.config = PretrainedConfig(hidden_size=student.text_encoder.width)  # type: ignore[call-arg]

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], labels: Int[Tensor, " B"]) -> dict[str, Tensor]:
        """The loss, and the similarities as logits."""
        seen = self.student(video, self.prompts)
        parts = {"video": language_cross_entropy(seen.similarity, labels, temperature=self.student.temperature)}
        if seen.own_loss is not None:
            parts["own"] = seen.own_loss
        return {"loss": torch.stack(list(parts.values())).sum(), "logits": seen.similarity, **parts}


class DistillationLoss(nn.Module):
    """Stage 4: both sides' cross-entropies and alpha times the distance between them.

    The teacher is SkeletonCLIP, and learns too unless it is offline. Clips without a skeleton (NaN throughout) train
    the video side only.

    Paper: Eq. (3), Sec. 3.2; Tables 4, 5 and 6.
    Deviation: where the published code treats alpha = 0 as another loss, here it is Eq. (3) with alpha = 0.

    Args:
        student: the video side.
        teacher: the skeleton side.
        prompts: the seen classes' sentences.
        alpha: weight of the distance.
        scale: cosine or published, see `DistillRecipe`.
        distance: mse, kl or contrastive.
        level: logit (F_LV and F_LS), feature (z^v and z^s) or feature_projected (z^v through a linear layer, and z^s).
        online: whether the teacher learns.
    """

    def __init__(
        self,
        student: Student,
        teacher: SkeletonCLIP,
        *,
        prompts: Sequence[str],
        alpha: float,
        scale: Scale = "published",
        distance: str = "mse",
        level: str = "logit",
        online: bool = True,
    ) -> None:
        super().__init__()
        width, teacher_width = student.text_encoder.width, teacher.text_encoder.width
        if level == "feature" and width != teacher_width:
            raise ValueError(
                f"the student's features have {width} channels, SkeletonCLIP's {teacher_width}; use --level "
                "feature_projected, or the same text encoder on both sides"
            )
        self.student, self.teacher = student, teacher if online else freeze(teacher)
        self.prompts, self.alpha, self.scale = tuple(prompts), alpha, scale
        self.distance, self.level, self.online = distance, level, online
        self.projection = nn.Linear(width, teacher_width) if level == "feature_projected" and alpha else None
        if scale == "published":  # its softmax has no temperature
            student.log_scale.requires_grad_(False)
            teacher.log_scale.requires_grad_(False)
        self.config = PretrainedConfig(hidden_size=width)  # type: ignore[call-arg]

    def train(self, mode: bool = True) -> "DistillationLoss":
        """Training mode; an offline teacher stays in evaluation mode."""
        super().train(mode)
        if not self.online:
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
        there = present(skeleton)
        some = bool(there.any())  # once: on a GPU each such question waits for it
        seen = self.student(video, self.prompts)
        f_lv, tau = seen.similarity, self._tau(self.student)
        parts = {"video": language_cross_entropy(f_lv, labels, temperature=tau)}
        if seen.own_loss is not None:
            parts["own"] = seen.own_loss
        if some:
            moved = self._teach(skeleton[there])
            f_ls, tau_s = scaled(moved, self.scale), self._tau(self.teacher)
            if self.online:
                parts["skeleton"] = language_cross_entropy(f_ls, labels[there], temperature=tau_s)
            if self.alpha:
                parts["distance"] = self._distance(seen, moved, there, (tau, tau_s))
        weights = {"distance": self.alpha}
        loss = torch.stack([weights.get(name, 1.0) * part for name, part in parts.items()]).sum()
        if not some:
            loss = loss + nothing(self.teacher, self.projection)
        measures = {}
        if "distance" in parts and self._is_measured(seen):
            measures["gradient_ratio"] = gradient_ratio(self.alpha * parts["distance"], parts["video"], seen.z)
        return {"loss": loss, "logits": f_lv, **parts, **measures}

    def _is_measured(self, seen: InLanguage) -> bool:
        """Tell whether the graph can be walked twice, which torch.compile does not allow."""
        return self.training and seen.z.requires_grad and not torch.compiler.is_compiling()

    def _teach(self, skeleton: Float[Tensor, "N U M J _"]) -> InLanguage:
        with torch.set_grad_enabled(self.online and torch.is_grad_enabled()):
            return self.teacher(skeleton, self.prompts)

    def _distance(
        self, seen: InLanguage, moved: InLanguage, there: Bool[Tensor, " B"], taus: tuple[Tensor, Tensor]
    ) -> Float[Tensor, ""]:
        if self.level == "logit":
            f_lv, f_ls = seen.similarity[there], scaled(moved, self.scale)
            return language_distance(f_lv, f_ls, kind=self.distance, temperatures=taus)
        z_v = seen.z[there]
        if self.projection is not None:
            z_v = self.projection(z_v)
        return feature_distance(z_v, moved.z, kind=self.distance, temperature=taus[0])

    def _tau(self, model: Student | SkeletonCLIP) -> Float[Tensor, ""]:
        return temperature_in(self.scale, model.temperature)


def present(skeleton: Float[Tensor, "B U M J _"]) -> Bool[Tensor, " B"]:
    """Which clips of a batch have a skeleton; NaN throughout stands for none."""
    return ~skeleton.isnan().flatten(1).all(1)


def nothing(*modules: nn.Module | None) -> Float[Tensor, ""]:
    """Zero, with a zero gradient for every trained weight: what DDP needs from a batch without skeletons."""
    trained = [p for module in modules if module is not None for p in module.parameters() if p.requires_grad]
    return sum((p.sum() * 0.0 for p in trained), start=torch.zeros(()))
