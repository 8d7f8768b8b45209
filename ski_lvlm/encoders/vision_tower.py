"""f_v of SKI-LVLM: a frozen image tower that turns a clip into temporal and spatial tokens."""

from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.pretrained import normalisation
from ski_lvlm.storage.weight_files import weights_explained

CLIP_L14 = "openai/clip-vit-large-patch14"  # the paper's tower
_FRAMES_AT_ONCE = {"cpu": 16, "cuda": 128}


@dataclass(frozen=True)
class ImageBackbone:
    """A network from normalised frames to patch tokens [B P F], with its identity and its input.

    Attributes:
        digest: of the weights and the normalisation.
        width: F.
        image_size: side of the frames in pixels.
        num_patches: P.
        mean: of the pixels' channels, from 0 to 255.
        std: likewise.
        has_own_side: `image_size` is the side that the network was pretrained on.
    """

    network: nn.Module
    model_id: str
    digest: str
    width: int
    image_size: int
    num_patches: int
    mean: list[float]
    std: list[float]
    has_own_side: bool = True


class VisionTower(nn.Module):
    """A frozen image backbone over the frames of a clip, Video-ChatGPT's way.

    T_v temporal tokens (each frame's mean over its patches) are followed by P spatial tokens (each patch's mean over
    the frames).

    Paper: Sec. 3.3, 356 x 1024 video tokens: 100 temporal and 256 spatial ones of CLIP ViT-L/14.
    """

    def __init__(self, image: ImageBackbone, *, num_frames: int) -> None:
        super().__init__()
        self.backbone, self.model_id, self.digest = image.network, image.model_id, image.digest
        self.width, self.image_size, self.num_frames = image.width, image.image_size, num_frames
        self.has_own_side = image.has_own_side
        self.num_tokens = num_frames + image.num_patches
        self.register_buffer("mean", rearrange(torch.tensor(image.mean), "c -> c 1 1"))
        self.register_buffer("std", rearrange(torch.tensor(image.std), "c -> c 1 1"))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "VisionTower":
        """Stay in evaluation mode: the tower is frozen."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, video: UInt8[Tensor, "B T_v 3 H W"]) -> Float[Tensor, "B N F"]:
        """Encode clips of equal length. A clip of fewer than `num_frames` frames has fewer temporal tokens.

        Raises:
            ValueError: frames of another size than the tower's, or more frames than `num_frames`.
        """
        self._check(video)
        frames = rearrange(video, "b t c h w -> (b t) c h w")
        patches = torch.cat([self._patches(part) for part in frames.split(_FRAMES_AT_ONCE.get(self._device.type, 16))])
        return temporal_and_spatial(rearrange(patches, "(b t) p f -> b t p f", b=len(video)))

    @property
    def _device(self) -> torch.device:
        return self.get_buffer("mean").device

    def _patches(self, frames: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B P F"]:
        pixels = frames.to(self._device, non_blocking=True).float()
        pixels = pixels.sub_(self.get_buffer("mean").float()).div_(self.get_buffer("std").float())
        return self.backbone(pixels.to(next(self.backbone.parameters()).dtype))

    def _check(self, video: UInt8[Tensor, "B T_v 3 H W"]) -> None:
        side, frames, (height, width) = self.image_size, video.shape[1], video.shape[-2:]
        if (height, width) != (side, side):
            raise ValueError(
                f"{self.model_id} takes frames of {side}x{side} pixels, found {height}x{width}; "
                f"decode with read_video(..., size=({side}, {side}))"
            )
        if not 0 < frames <= self.num_frames:
            raise ValueError(
                f"{self.model_id} was loaded for 1 to {self.num_frames} frames a clip, found {frames}; "
                "load it with a larger num_frames or sample fewer"
            )


def temporal_and_spatial(patches: Float[Tensor, "B T P F"]) -> Float[Tensor, "B T+P F"]:
    """Return the means over the patches of each frame, then those over the frames of each patch, in fp32.

    >>> temporal_and_spatial(torch.tensor([[[[1.0], [3.0]], [[5.0], [7.0]]]])).flatten().tolist()
    [2.0, 6.0, 3.0, 5.0]
    """
    return torch.cat([patches.mean(2, dtype=torch.float32), patches.mean(1, dtype=torch.float32)], dim=1)


def load_vision_tower(
    model_id: str = CLIP_L14,
    *,
    num_frames: int = 100,
    side: int | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> VisionTower:
    """Load a frozen tower: a CLIP or SigLIP checkpoint (hub id or local folder), or `efficientnet-lite0`.

    The device is the GPU where there is one. The type is bfloat16 on a GPU and float32 on a CPU. `side` is the height
    and width of the frames in pixels, if it is not the tower's own. Only `efficientnet-lite0` takes others.

    Raises:
        ValueError: the checkpoint cannot be reached, is of another architecture, or takes no frames of this side.
        ImportError: the packages of the offline tower are not installed.
    """
    image = _load_efficientnet(side) if model_id == EFFICIENTNET else _load_transformer(model_id)
    return frozen_tower(image, num_frames=num_frames, side=side, device=device, dtype=dtype)


def frozen_tower(
    image: ImageBackbone,
    *,
    num_frames: int,
    side: int | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> VisionTower:
    """Place a backbone on a device and freeze it, as `load_vision_tower` says.

    Raises:
        ValueError: the backbone takes no frames of this side.
    """
    if side not in (None, image.image_size):
        raise ValueError(f"--side {side}: {image.model_id} takes frames of {image.image_size} pixels; leave --side out")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    tower = VisionTower(image, num_frames=num_frames)
    tower.backbone.to(dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32))
    return tower.to(place)


def _load_efficientnet(side: int | None) -> ImageBackbone:
    from ski_lvlm.encoders import efficientnet as net

    image_size = side or net.IMAGE_SIZE
    if image_size < net.STRIDE or image_size % net.STRIDE:
        raise ValueError(f"--side {side}: expected a multiple of {net.STRIDE} pixels for {EFFICIENTNET}, such as 96")
    network = net.EfficientNetLite0()
    return ImageBackbone(
        network,
        model_id=EFFICIENTNET,
        digest=network.digest,
        width=net.WIDTH,
        image_size=image_size,
        num_patches=(image_size // net.STRIDE) ** 2,
        mean=[net.MEAN] * 3,
        std=[net.STD] * 3,
        has_own_side=image_size == net.IMAGE_SIZE,
    )


class _PatchTokens(nn.Module):
    """A Hugging Face vision transformer, cut after its second-to-last layer, without class token."""

    def __init__(self, transformer: nn.Module, num_patches: int) -> None:
        super().__init__()
        self.transformer, self.num_patches = transformer, num_patches

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P F"]:
        return self.transformer(pixel_values=pixels).last_hidden_state[:, -self.num_patches :]


def _load_transformer(model_id: str) -> ImageBackbone:
    try:
        with weights_explained(model_id):
            family, transformer = _cut_transformer(model_id)
            mean, std = normalisation(model_id, family=family)
    except OSError as error:
        raise ValueError(
            f"cannot load the vision tower {model_id!r}: {str(error).splitlines()[0]} Give a local folder or a hub id "
            f"that this machine can reach, or the offline tower {EFFICIENTNET!r}."
        ) from error
    vision: Any = transformer.config
    num_patches = (vision.image_size // vision.patch_size) ** 2
    return ImageBackbone(
        _PatchTokens(transformer, num_patches),
        model_id=model_id,
        digest=weights_digest(transformer, mean, std),
        width=vision.hidden_size,
        image_size=vision.image_size,
        num_patches=num_patches,
        mean=[255 * value for value in mean],
        std=[255 * value for value in std],
    )


def _cut_transformer(model_id: str) -> tuple[str, Any]:
    """Load the family's name and its vision model without the last layer and all that follows it."""
    from transformers import AutoConfig, CLIPVisionModel, SiglipVisionModel

    config = AutoConfig.from_pretrained(model_id)
    family = config.model_type.removesuffix("_vision_model")
    models: dict[str, Any] = {"clip": CLIPVisionModel, "siglip": SiglipVisionModel}
    if family not in models:
        raise ValueError(
            f"the vision tower {model_id!r} is a {config.model_type!r} model; CLIP and SigLIP towers and "
            f"{EFFICIENTNET!r} are supported"
        )
    vision = getattr(config, "vision_config", config)
    vision.num_hidden_layers -= 1  # the second-to-last layer's output is used, so the last layer is never loaded
    vision.vision_use_head = False
    transformer, report = models[family].from_pretrained(
        model_id, config=vision, dtype=torch.float32, output_loading_info=True
    )
    if absent := sorted(report["missing_keys"]):
        raise ValueError(f"the checkpoint of {model_id!r} lacks {len(absent)} weights, such as {absent[0]!r}")
    transformer.post_layernorm = nn.Identity()
    return family, transformer
