"""ViFi-CLIP (Rasheed et al. 2023): CLIP's two towers, with a clip's feature the mean over its frames' features."""

from collections.abc import Sequence

from jaxtyping import UInt8
from torch import Tensor

from ski_lvlm.dual_encoders.language import InLanguage, Student, cosine_similarity, learnt_log_scale
from ski_lvlm.encoders.frame_encoder import FrameEncoder, load_frame_encoder
from ski_lvlm.encoders.text_encoder import TextEncoder


class ViFiCLIP(Student):
    """Image encoder f_v and text encoder f_t.

    Paper: Eq. (2), Sec. 3.2.
    """

    title = "ViFiCLIP"

    def __init__(self, frames: FrameEncoder, text_encoder: TextEncoder, *, num_frames: int) -> None:
        super().__init__()
        self.frames, self.text_encoder, self.num_frames = frames, text_encoder, num_frames
        self.log_scale = learnt_log_scale(text_encoder.temperature)

    @classmethod
    def build(cls, backbone: str, text_encoder: TextEncoder, *, num_frames: int, side: int | None) -> "ViFiCLIP":
        """Build the student on a CLIP, a SigLIP (hub id or folder) or efficientnet-lite0."""
        frames = load_frame_encoder(backbone, out_width=text_encoder.width, side=side)
        return cls(frames, text_encoder, num_frames=num_frames)

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], prompts: Sequence[str]) -> InLanguage:
        """Average the frames' features and compare them with class sentences."""
        z_v = self.frames.project(self.frames.features(video).mean(1))
        return InLanguage(z_v, cosine_similarity(z_v, self.text_encoder(prompts)))
