"""FROSTER (Huang et al. 2024): ViFi-CLIP with residual feature distillation from the frozen CLIP, on both sides."""

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import InLanguage, cosine_similarity
from ski_lvlm.dual_encoders.vificlip import ViFiCLIP
from ski_lvlm.encoders.frame_encoder import FrameEncoder, frozen_copy
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.text_encoder import TextEncoder

WEIGHT = 2.0  # of the distillation beside the cross-entropy, as the authors' code has it
RESIDUAL_SHARE = 0.1  # of the two-layer network in what is compared


class FROSTER(ViFiCLIP):
    """ViFi-CLIP whose two towers stay near the CLIP they started from.

    Huang et al. 2024, "FROSTER: Frozen CLIP is a strong teacher for open-vocabulary action recognition".
    """

    title = "FROSTER"
    training_parts = ("anchor",)
    untrained = (*ViFiCLIP.untrained, "_residual.")

    def __init__(self, frames: FrameEncoder, text_encoder: TextEncoder, *, num_frames: int) -> None:
        super().__init__(frames, text_encoder, num_frames=num_frames)
        self.anchor = Anchor(frames, text_encoder)

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], prompts: Sequence[str]) -> InLanguage:
        """Compare as ViFi-CLIP, in training with the loss that holds the student to the frozen CLIP."""
        feature, z_t = self.frames.features(video).mean(1), self.text_encoder(prompts)
        z_v = self.frames.project(feature)
        own_loss = self.anchor(video, prompts, feature=feature, z_t=z_t) if self.training else None
        return InLanguage(z_v, cosine_similarity(z_v, z_t), own_loss)


class Anchor(nn.Module):
    """The frozen towers a student started from, and the distance between its features and theirs.

    Assumption: the clip's feature (mean over frames) is compared in the space that was pretrained. For a CLIP that is
    the language space, for the offline backbone the features before its projection, which has no pretrained value.
    """

    def __init__(self, frames: FrameEncoder, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.frames, self.text_encoder = frozen_copy(frames), freeze(deepcopy(text_encoder))
        self.video_residual, self.text_residual = Residual(frames.width), Residual(text_encoder.width)

    def forward(
        self,
        video: UInt8[Tensor, "B T 3 H W"],
        prompts: Sequence[str],
        *,
        feature: Float[Tensor, "B F"],
        z_t: Float[Tensor, "C D"],
    ) -> Float[Tensor, ""]:
        """Return 2 x [(1 - cos) of clips + (1 - cos) of sentences] against the frozen towers' features."""
        with torch.no_grad():
            frozen = self.frames.features(video).mean(1)
        video_loss = one_minus_cosine(self.video_residual(feature), frozen)
        return WEIGHT * (video_loss + one_minus_cosine(self.text_residual(z_t), self.text_encoder(prompts)))


class Residual(nn.Module):
    """z + 0.1 W_2 GELU(W_1 z), by which the student's features may differ from CLIP's. W_2 starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, z: Float[Tensor, "N E"]) -> Float[Tensor, "N E"]:
        """Return the feature as it is compared with the frozen one."""
        return z + RESIDUAL_SHARE * self.outer(F.gelu(self.inner(z)))


def one_minus_cosine(a: Float[Tensor, "N E"], b: Float[Tensor, "N E"]) -> Float[Tensor, ""]:
    """Return the mean over the rows of 1 - cos."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=-1)).mean()
