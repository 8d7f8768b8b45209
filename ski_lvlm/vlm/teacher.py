"""The contract of a teacher by scores, for SCD with any skeleton-text model or several of them.

Paper: Sec. 3: SkeletonCLIP "can be substituted with any skeleton-text model".
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import InLanguage
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.recipe import Scale
from ski_lvlm.vlm.losses import scaled, temperature_in

_ROUNDING = 1e-6  # of the largest score; scores that differ by less are equal


@runtime_checkable
class SkeletonTextModel(Protocol):
    """A module that scores skeletons by texts, which are sentences or names as in its training."""

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The number by which its scores are divided to be logits."""

    def __call__(self, skeleton: Float[Tensor, "B T M J _"], texts: Sequence[str]) -> InLanguage:
        """Return features and scores. The features need not lie in a language space."""


class Teacher(nn.Module):
    """A frozen skeleton-text model that scores skeletons among the seen classes.

    Args:
        model: SkeletonCLIP or a trained method of --stage skeleton_text.
        texts: of the seen classes, in the order of the labels.
        scale: that a SkeletonCLIP was aligned in. Others have "cosine", which leaves scores as they are.
    """

    def __init__(self, model: SkeletonTextModel, texts: Sequence[str], *, scale: Scale = "cosine") -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model, self.texts, self.scale = freeze(model), tuple(texts), scale

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The number by which the scores are divided to be logits."""
        return temperature_in(self.scale, self.model.temperature)

    @torch.no_grad()
    def similarities(self, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B C"]:
        """Return the model's own scores of the seen classes, in fp32 whatever the student is trained in."""
        with torch.autocast(skeleton.device.type, enabled=False):
            return scaled(self.model(skeleton.float(), self.texts), self.scale)


class Teachers(nn.Module):
    """One or more teachers, which never learn.

    Assumption: each one's scores have a unit of their own (cosines, log-sigmoids, logits of a classifier), and some no
    temperature at all. So the scores of a clip are standardised over the classes before they are averaged, as Sun et
    al. (CVPR 2024) do with a teacher's logits. A teacher of larger numbers has no larger say.
    """

    def __init__(self, members: Sequence[Teacher]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.eval()

    def logits(self, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B C"]:
        """Return the mean of the teachers' standardised scores."""
        return torch.stack([standardised(teacher.similarities(skeleton)) for teacher in self._teachers()]).mean(0)

    def log_probabilities(self, skeleton: Float[Tensor, "B T M J _"]) -> Float[Tensor, "B C"]:
        """Return the logarithm of the mean of the teachers' distributions, each at its own temperature."""
        parts = [(t.similarities(skeleton) / t.temperature).log_softmax(-1) for t in self._teachers()]
        return torch.stack(parts).logsumexp(0).log_softmax(-1)

    def _teachers(self) -> list[Teacher]:
        return [teacher for teacher in self.members if isinstance(teacher, Teacher)]


def standardised(scores: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """Return the scores of each clip with mean 0 and standard deviation 1 over the classes. Equal ones become 0.

    >>> standardised(torch.tensor([[1.0, 3.0], [-5.0, -5.0]])).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    centred = scores - scores.mean(-1, keepdim=True)
    spread = centred.square().mean(-1, keepdim=True).sqrt()
    rounding = _ROUNDING * scores.abs().amax(-1, keepdim=True)
    return torch.where(spread > rounding, centred / spread, torch.zeros_like(centred))
