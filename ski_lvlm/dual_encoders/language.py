"""The contract of models that compare clips with class sentences in one language space."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.encoders.frame_encoder import FrameEncoder
from ski_lvlm.encoders.text_encoder import TextEncoder
from ski_lvlm.sharing.hub_model import HubModel

if TYPE_CHECKING:
    from ski_lvlm.dual_encoders.checkpoints import Card

_MAX_LOG_SCALE = math.log(100.0)  # CLIP never divides by less than tau = 0.01


class InLanguage(NamedTuple):
    """A batch in the language space: the paper's "language-contextualized features" (Sec. 3.2)."""

    z: Float[Tensor, "B D"]  # z^v or z^s, not normalised
    similarity: Float[Tensor, "B C"]  # F_LV or F_LS: cosines with the class sentences
    own_loss: Float[Tensor, ""] | None = None  # what a student adds to any loss in training (FROSTER's distillation)


def cosine_similarity(z: Float[Tensor, "B D"], z_t: Float[Tensor, "C D"]) -> Float[Tensor, "B C"]:
    """Return sim(z_i, z_j^t): the cosine between every feature and every class's text feature, in [-1, 1].

    Paper: Eq. (1), Sec. 3.1. F_LV and F_LS of Sec. 3.2.
    """
    # In fp32 even under autocast: bf16 rounds cosines by up to 0.002, which tau = 0.01 makes 0.2 in the logits.
    with torch.autocast(z.device.type, enabled=False):
        return F.normalize(z.float(), dim=-1) @ F.normalize(z_t.float(), dim=-1).T


class DualEncoder(HubModel, nn.Module):
    """Base of SkeletonCLIP and of every student: clips and class sentences in one language space."""

    card: "Card | None" = None  # of a trained one: what it takes to use it
    text_encoder: TextEncoder
    log_scale: nn.Parameter  # learnt in place of the temperature, see `learnt_log_scale`

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The temperature tau of L_CE, Eq. (1)."""
        return torch.exp(-self.log_scale.float()).squeeze()

    def forward(self, clips: Tensor, prompts: Sequence[str]) -> InLanguage:
        """Compare clips with class sentences."""
        raise NotImplementedError

    def _save(self, folder: Path) -> None:
        from ski_lvlm.dual_encoders.checkpoints import save_trained

        save_trained(folder, self)


def learnt_log_scale(temperature: float) -> nn.Parameter:
    """Return the logarithm of a temperature's inverse as a parameter of one element.

    Assumption: learnt as in CLIP. The paper only names tau.
    """
    return nn.Parameter(torch.tensor([min(-math.log(temperature), _MAX_LOG_SCALE)]))  # DeepSpeed wants a dimension


@torch.no_grad()
def clamp_temperatures(model: nn.Module) -> None:
    """Bring learnt temperatures below 0.01 back to it. Call it after every optimiser step, as CLIP does."""
    # Clamping in the forward pass instead would leave a temperature beyond its bound without a gradient.
    for module in model.modules():
        if isinstance(module, DualEncoder):
            module.log_scale.clamp_(max=_MAX_LOG_SCALE)


class Student(DualEncoder):
    """Base of the VideoCLIPs: `student(video, prompts)` compares videos [B T 3 H W] with class sentences.

    A student knows nothing of skeletons.

    Paper: Sec. 3.2.
    """

    title: ClassVar[str]  # in the paper's tables and figures
    frozen_by_default: ClassVar[tuple[str, ...]] = ()  # towers that the student's authors do not train
    sentences_depend_on_video: ClassVar[bool] = False
    training_parts: ClassVar[tuple[str, ...]] = ()  # modules that only training uses

    frames: FrameEncoder
    num_frames: int  # T_v that it is trained and tested with
    untrained: tuple[str, ...] = ("frames.projection.",)  # parts of the names of weights that no pretrained model gave

    @classmethod
    def build(cls, backbone: str, text_encoder: TextEncoder, *, num_frames: int, side: int | None) -> "Student":
        """Build the student on a pretrained backbone, with frames of its own size if `side` is None."""
        raise NotImplementedError

    @classmethod
    def _open(cls, folder: Path, **settings: Any) -> "Student":  # noqa: ANN401
        from ski_lvlm.dual_encoders.checkpoints import load_student

        return load_student(folder, **settings)[0]

    @property
    def side(self) -> int:
        """Height and width of the frames, in pixels."""
        return self.frames.side

    @property
    def has_pretrained_video_side(self) -> bool:
        """True if a pretrained model gave all weights of the video side."""
        return self.frames.pretrained

    def image_towers(self) -> tuple[nn.Module, ...]:
        """Return the networks that look at frames, for maps of their attention."""
        return (self.frames,)
