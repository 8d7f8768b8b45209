"""SkeletonCLIP: a skeleton encoder aligned with a frozen text encoder (Sec. 3.1)."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import DualEncoder, InLanguage, cosine_similarity, learnt_log_scale
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.encoders.text_encoder import TextEncoder


class SkeletonCLIP(DualEncoder):
    """Skeleton encoder g_s with a projection into the language space of a text encoder g_t.

    Paper: Sec. 3.1, Fig. 2 (a).
    Assumption: tau starts from the value the text encoder was trained to (0.07 for one that is not a CLIP).
    """

    def __init__(self, encoder: SkeletonEncoder, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.text_encoder = encoder, text_encoder
        self.projection = nn.Linear(encoder.width, text_encoder.width)
        nn.init.normal_(self.projection.weight, 0.0, math.sqrt(2.0 / text_encoder.width))
        self.log_scale = learnt_log_scale(text_encoder.temperature)

    @classmethod
    def _open(cls, folder: Path, **settings: Any) -> "SkeletonCLIP":  # noqa: ANN401
        from ski_lvlm.dual_encoders.checkpoints import load_skeleton_clip

        return load_skeleton_clip(folder, **settings)[0]

    def forward(self, skeleton: Float[Tensor, "B T M J _"], prompts: Sequence[str]) -> InLanguage:
        """Project clips into the language space and compare them with class sentences."""
        z_s = self.projection(self.encoder(skeleton).feature)
        return InLanguage(z_s, cosine_similarity(z_s, self.text_encoder(prompts)))
