"""The students, VideoCLIPs by one call signature: ViFi-CLIP here, FROSTER and X-CLIP beside it (Sec. 3.2).

`student(video, prompts)` returns the clips' features and their cosines with the class sentences. Nothing here knows of
skeletons.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.dual_encoders.froster import Anchor
from ski_lvlm.dual_encoders.losses import cosine_similarity
from ski_lvlm.dual_encoders.xclip import XCLIP, build_xclip
from ski_lvlm.encoders.frame_encoder import FrameEncoder, load_frame_encoder
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.text_encoder import InLanguage, TextEncoder, freeze, load_text_encoder, log_scale, temperature_of

Kind = Literal["vificlip", "xclip", "froster"]


class ViFiCLIP(nn.Module):
    """CLIP's two towers, with a clip's feature the mean over its frames'.

    Paper: Eq. (2), Sec. 3.2.

    Args:
        frames: the image encoder f_v.
        text_encoder: the text encoder f_t.
        num_frames: T_v that it is trained and tested with.
    """

    def __init__(self, frames: FrameEncoder, text_encoder: TextEncoder, *, num_frames: int) -> None:
        super().__init__()
        self.frames, self.text_encoder, self.num_frames = frames, text_encoder, num_frames
        self.log_scale = log_scale(text_encoder.temperature)

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The temperature tau of L_CE."""
        return temperature_of(self.log_scale)

    @property
    def side(self) -> int:
        """Height and width of the frames, in pixels."""
        return self.frames.side

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], prompts: Sequence[str]) -> InLanguage:
        """Average the frames' features and compare them with class sentences."""
        z_v = self.frames.project(self.frames.features(video).mean(1))
        return InLanguage(z_v, cosine_similarity(z_v, self.text_encoder(prompts)))


class FROSTER(ViFiCLIP):
    """ViFi-CLIP whose two towers are held near the CLIP they started from by residual feature distillation.

    Huang et al. 2024, "FROSTER: Frozen CLIP is a strong teacher for open-vocabulary action recognition".
    """

    def __init__(self, frames: FrameEncoder, text_encoder: TextEncoder, *, num_frames: int) -> None:
        super().__init__(frames, text_encoder, num_frames=num_frames)
        self.anchor = Anchor(frames, text_encoder)

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], prompts: Sequence[str]) -> InLanguage:
        """As ViFi-CLIP; in training with the loss that holds it to the frozen CLIP."""
        feature, z_t = self.frames.features(video).mean(1), self.text_encoder(prompts)
        z_v = self.frames.project(feature)
        own_loss = self.anchor(video, prompts, feature=feature, z_t=z_t) if self.training else None
        return InLanguage(z_v, cosine_similarity(z_v, z_t), own_loss)


Student = ViFiCLIP | XCLIP  # FROSTER is a ViFiCLIP


def build_student(
    kind: str, *, backbone: str, text_encoder: str = "", num_frames: int, side: int | None = None
) -> Student:
    """A student on pretrained towers, not yet trained on videos of actions; all of its own towers are trainable.

    Args:
        kind: vificlip, xclip or froster.
        backbone: a CLIP or SigLIP (hub id or folder), or efficientnet-lite0; for xclip also an X-CLIP.
        text_encoder: only for a backbone that has none; empty for its own.
        num_frames: T_v.
        side: of the frames in pixels; the backbone's own by default.

    Raises:
        ValueError: no such kind, or the parts do not fit.
    """
    if kind not in ("vificlip", "xclip", "froster"):
        raise ValueError(f"unknown student {kind!r}; expected vificlip, xclip or froster")
    if backbone == EFFICIENTNET and not text_encoder:
        raise ValueError(f"{EFFICIENTNET} has no text encoder of its own; give --text_encoder, for example minilm")
    text = load_text_encoder(text_encoder or backbone).requires_grad_(True)
    if kind == "xclip":
        return build_xclip(backbone, text, num_frames=num_frames, side=side)
    frames = load_frame_encoder(backbone, out_width=text.width, side=side)
    return (FROSTER if kind == "froster" else ViFiCLIP)(frames, text, num_frames=num_frames)


def freeze_parts(student: Student, which: str) -> None:
    """Freeze towers of a student.

    "auto" is what each student's authors do: X-CLIP's text encoder is frozen, all else is trained.

    Raises:
        ValueError: `which` is none of auto, none, text, video, or the video side is not pretrained as a whole.
    """
    if which not in ("auto", "none", "text", "video"):
        raise ValueError(f"cannot freeze {which!r}; expected auto, none, text or video")
    if which == "text" or (which == "auto" and isinstance(student, XCLIP)):
        freeze(student.text_encoder)
    if which == "video":
        if isinstance(student, XCLIP) or not student.frames.pretrained:
            raise ValueError(
                "the video side has weights that were never pretrained (X-CLIP's messages, or the projection after "
                f"{EFFICIENTNET}) and would stay random; freeze it in vificlip or froster on a CLIP or SigLIP"
            )
        freeze(student.frames)


def untrained_weights(student: Student) -> set[str]:
    """Names of the weights that no pretrained model gave the student."""
    parts = student.untrained if isinstance(student, XCLIP) else ("frames.projection.", "_residual.")
    return {name for name, _ in student.named_parameters() if any(part in name for part in parts)}
