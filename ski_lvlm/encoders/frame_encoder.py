"""f_v of the students: frames to features that training may change, by CLIP, SigLIP or the offline EfficientNet."""

import math
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.pretrained import Normalisation, PretrainedTower, freeze, load_whole, normalisation
from ski_lvlm.encoders.text_encoder import TWO_TOWERS


class FrameTokens(NamedTuple):
    """A batch of frames behind the backbone: patches, and their pooled feature."""

    patches: Float[Tensor, "N P E"]
    feature: Float[Tensor, "N F"]


class FrameEncoder(PretrainedTower):
    """Frames of clips to features in the language space.

    `backbone` maps normalised pixels to `FrameTokens`. Its feature is what was pretrained. CLIP's and SigLIP's are in
    the language space already, so `projection` is the identity. EfficientNet's are not, and a linear layer is trained.

    Args:
        backbone: the pretrained image network.
        projection: from its feature to the language space.
        backbone_id: hub id, folder or offline name of the backbone.
        side: height and width of the frames, in pixels.
        width: of a pretrained feature.
        normalise: how the backbone's pixels were normalised.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        projection: nn.Module,
        backbone_id: str,
        side: int,
        width: int,
        normalise: Normalisation,
    ) -> None:
        super().__init__(pretrained=isinstance(projection, nn.Identity))
        self.backbone, self.projection = backbone, projection
        self.backbone_id, self.side, self.width = backbone_id, side, width
        self.digest: str = getattr(backbone, "digest", "") or weights_digest(backbone)
        self.register_buffer("mean", 255 * rearrange(torch.tensor(normalise.mean), "c -> c 1 1"), persistent=False)
        self.register_buffer("std", 255 * rearrange(torch.tensor(normalise.std), "c -> c 1 1"), persistent=False)

    def forward(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "B T D"]:
        """Return one feature for each frame, in the language space, not normalised."""
        return self.project(self.features(video))

    def features(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "B T F"]:
        """Return one feature for each frame in the space that was pretrained."""
        return rearrange(self.backbone(self.pixels(video)).feature, "(b t) f -> b t f", b=video.shape[0])

    def project(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch D"]:
        """Map pretrained features to the language space by a linear layer, which may thus follow a mean."""
        return self.projection(features)

    def patches(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "B T P E"]:
        """Return the backbone's last tokens, row by row over each frame."""
        return rearrange(self.backbone(self.pixels(video)).patches, "(b t) p w -> b t p w", b=video.shape[0])

    def pixels(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "N 3 H W"]:
        """Return all frames, normalised as the backbone was pretrained.

        Raises:
            ValueError: frames of another size.
        """
        height, width = video.shape[-2:]
        if (height, width) != (self.side, self.side):
            raise ValueError(
                f"this encoder takes frames of {self.side}x{self.side} pixels, found {width}x{height}; decode or cache "
                f"them with scripts/cache_frames.py --side {self.side}"
            )
        frames = rearrange(video, "b t c h w -> (b t) c h w").float()
        return frames.sub_(self.get_buffer("mean")).div_(self.get_buffer("std"))


class ClipFrames(nn.Module):
    """The image half of a CLIP."""

    def __init__(self, vision: nn.Module, projection: nn.Module, *, resize: bool) -> None:
        super().__init__()
        self.vision, self.visual_projection, self.resize = vision, projection, resize

    def forward(self, pixels: Float[Tensor, "N 3 H W"]) -> FrameTokens:
        """Return tokens without that of the class, and the feature in the language space."""
        out = self.vision(pixel_values=pixels, interpolate_pos_encoding=self.resize)
        return FrameTokens(out.last_hidden_state[:, 1:], self.visual_projection(out.pooler_output))


class _SiglipFrames(nn.Module):
    def __init__(self, vision: nn.Module, *, resize: bool) -> None:
        super().__init__()
        self.vision, self.resize = vision, resize

    def forward(self, pixels: Float[Tensor, "N 3 H W"]) -> FrameTokens:
        out = self.vision(pixel_values=pixels, interpolate_pos_encoding=self.resize)
        return FrameTokens(out.last_hidden_state, out.pooler_output)


class _GridFrames(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.digest = network.digest
        self.network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # for safetensors

    def forward(self, pixels: Float[Tensor, "N 3 H W"]) -> FrameTokens:
        grid = self.network(pixels)
        return FrameTokens(grid, grid.mean(1))


def load_frame_encoder(backbone_id: str, *, out_width: int, side: int | None = None) -> FrameEncoder:
    """Load a backbone to be trained: a CLIP or SigLIP (hub id or folder), or `efficientnet-lite0`.

    A `side` other than a CLIP's own interpolates its position embeddings.

    Raises:
        ValueError: the checkpoint is of another architecture, or its language space is not as wide as `out_width`, the
            text encoder's.
    """
    if backbone_id == EFFICIENTNET:
        return _load_efficientnet(out_width, side)
    from transformers import AutoConfig

    family = AutoConfig.from_pretrained(backbone_id).model_type
    if family not in ("clip", "siglip"):
        raise ValueError(
            f"the backbone {backbone_id!r} is a {family!r} model; expected a CLIP, a SigLIP or {EFFICIENTNET!r}"
        )
    encoder = _load_dual(backbone_id, family, side)
    if encoder.width != out_width:
        raise ValueError(
            f"{backbone_id} has features of width {encoder.width}, its text encoder {out_width}; use the text encoder "
            "that it was trained with (leave --text_encoder empty)"
        )
    return encoder


def _load_dual(backbone_id: str, family: str, side: int | None) -> FrameEncoder:
    model = load_whole(TWO_TOWERS[family], backbone_id)
    own_side = model.config.vision_config.image_size
    resize = side not in (None, own_side)
    if family == "clip":
        backbone: nn.Module = ClipFrames(model.vision_model, model.visual_projection, resize=resize)
        width = model.config.projection_dim
    else:
        backbone, width = _SiglipFrames(model.vision_model, resize=resize), model.config.vision_config.hidden_size
    return FrameEncoder(
        backbone,
        projection=nn.Identity(),
        backbone_id=backbone_id,
        side=side or own_side,
        width=width,
        normalise=normalisation(backbone_id, family=family),
    )


def _load_efficientnet(out_width: int, side: int | None) -> FrameEncoder:
    from ski_lvlm.encoders import efficientnet as net

    if side is not None and side % 32:
        raise ValueError(f"{EFFICIENTNET} takes frames whose side is a multiple of 32 pixels, found {side}")
    projection = nn.Linear(net.WIDTH, out_width)
    nn.init.normal_(projection.weight, 0.0, math.sqrt(1.0 / net.WIDTH))
    nn.init.zeros_(projection.bias)
    scale = 1 / 255
    return FrameEncoder(
        _GridFrames(net.EfficientNetLite0()),
        projection=projection,
        backbone_id=EFFICIENTNET,
        side=side or net.IMAGE_SIZE,
        width=net.WIDTH,
        normalise=Normalisation([net.MEAN * scale] * 3, [net.STD * scale] * 3),
    )


def frozen_copy(encoder: FrameEncoder) -> FrameEncoder:
    """Copy the encoder's pretrained part as it is now, never to change and never saved."""
    from copy import deepcopy

    clone = freeze(deepcopy(encoder))
    clone.projection, clone.pretrained = nn.Identity(), True
    return clone
