"""FROSTER's residual feature distillation from the frozen CLIP, on the video side and on the text side."""

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.encoders.frame_encoder import FrameEncoder, frozen_copy
from ski_lvlm.encoders.text_encoder import TextEncoder, freeze

WEIGHT = 2.0  # of the distillation beside the cross-entropy, as the authors' code has it
RESIDUAL_SHARE = 0.1  # of the two-layer network in what is compared


class Residual(nn.Module):
    """z + 0.1 W_2 GELU(W_1 z), with W_2 starting at zero: what the student learnt anew may differ from CLIP by this."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, z: Float[Tensor, "N E"]) -> Float[Tensor, "N E"]:
        """The feature as it is compared with the frozen one."""
        return z + RESIDUAL_SHARE * self.outer(F.gelu(self.inner(z)))


class Anchor(nn.Module):
    """The frozen towers a student started from, and the distance that its features keep from theirs.

    Assumption: the clip's feature (mean over frames) is compared, in the space that was pretrained: for a CLIP the
    language space, for the offline backbone the features before its projection, which has no pretrained value.
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
        """2 x [(1 - cos) of the clips' features + (1 - cos) of the sentences'] against the frozen towers."""
        with torch.no_grad():
            frozen = self.frames.features(video).mean(1)
        video_loss = one_minus_cosine(self.video_residual(feature), frozen)
        return WEIGHT * (video_loss + one_minus_cosine(self.text_residual(z_t), self.text_encoder(prompts)))


def one_minus_cosine(a: Float[Tensor, "N E"], b: Float[Tensor, "N E"]) -> Float[Tensor, ""]:
    """Mean over the rows."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=-1)).mean()
