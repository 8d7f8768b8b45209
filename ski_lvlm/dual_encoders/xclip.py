"""X-CLIP (Ni et al. 2022): frames exchange messages, are integrated over time, and class sentences heed the video.

The network is Hugging Face's `XCLIPModel`. On a CLIP it starts from CLIP's weights; on the offline backbone one of
its blocks reads EfficientNet's grid as an image of 1280 channels, so messages, integration and prompts are there.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import AutoConfig, CLIPConfig, CLIPModel, XCLIPConfig, XCLIPModel, XCLIPTextConfig, XCLIPVisionConfig

from ski_lvlm.encoders.frame_encoder import FrameEncoder, FrameEncoderError, load_frame_encoder
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.text_encoder import InLanguage, TextEncoder, load_whole, log_scale, temperature_of
from ski_lvlm.encoders.vision_tower import normalisation

HEAD_WIDTH = 64
NEW_IN_XCLIP = ("message_", "mit.", "prompts_")  # parts of the names of what CLIP's weights do not have
_NEW_DEVIATION = 0.02
_OFFLINE_WIDTH, _OFFLINE_BLOCKS = 256, 1


class XCLIP(nn.Module):
    """Cross-frame communication, multi-frame integration and video-specific prompts around CLIP's towers.

    Args:
        network: Hugging Face's X-CLIP; its text half is not used.
        text_encoder: the text encoder f_t.
        frames: normalises the frames; on the offline backbone also the grid that `network` reads.
        num_frames: T_v, fixed by the position embeddings of the integration.
        untrained: parts of the names of weights that no pretrained model gave.
    """

    def __init__(
        self,
        network: XCLIPModel,
        text_encoder: TextEncoder,
        frames: FrameEncoder,
        *,
        num_frames: int,
        untrained: tuple[str, ...],
    ) -> None:
        super().__init__()
        for name in ("text_model", "text_projection", "logit_scale"):
            delattr(network, name)  # `text_encoder` and `log_scale` are in their place
        self.network, self.text_encoder, self.frames = network, text_encoder, frames
        self.num_frames, self.untrained = num_frames, untrained
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
        """Integrate the frames and compare the clip with class sentences, each changed by what the clip shows.

        Raises:
            ValueError: another number of frames than it was built for.
        """
        if video.shape[1] != self.num_frames:
            raise ValueError(f"this X-CLIP takes {self.num_frames} frames a clip, found {video.shape[1]}")
        net = self.network
        seen = net.vision_model(pixel_values=self._image(video))
        frames = rearrange(net.visual_projection(seen.pooler_output), "(b t) d -> b t d", b=len(video))
        z_v = net.mit(frames).pooler_output
        patches = net.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ net.prompts_visual_projection
        context = rearrange(patches, "(b t) p d -> b t p d", b=len(video)).mean(1)
        z_t = self.text_encoder(prompts).expand(len(video), -1, -1)
        z_t = z_t + net.prompts_generator(z_t, context)
        return InLanguage(z_v, F.cosine_similarity(z_v.float()[:, None], z_t.float(), dim=-1))

    def _image(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "N X G V"]:
        if self.frames.backbone_id != EFFICIENTNET:
            return self.frames.pixels(video)
        grid = rearrange(self.frames.patches(video), "b t p w -> (b t) w p")
        return rearrange(grid, "n w (h v) -> n w h v", h=round(grid.shape[-1] ** 0.5))


def build_xclip(backbone: str, text_encoder: TextEncoder, *, num_frames: int, side: int | None) -> XCLIP:
    """An X-CLIP from released X-CLIP weights, from CLIP's, or around `efficientnet-lite0`.

    Raises:
        FrameEncoderError: the backbone is none of them, or the parts do not fit.
    """
    if backbone == EFFICIENTNET:
        return _around_efficientnet(text_encoder, num_frames=num_frames, side=side)
    family = AutoConfig.from_pretrained(backbone).model_type
    if family not in ("xclip", "clip"):
        raise FrameEncoderError(f"{backbone} is a {family} model; expected an X-CLIP, a CLIP or {EFFICIENTNET}")
    network = _released(backbone, num_frames) if family == "xclip" else from_clip(backbone, num_frames=num_frames)
    own_side = _vision_settings(network)["image_size"]
    if side not in (None, own_side):
        raise FrameEncoderError(f"{backbone} takes frames of {own_side} pixels, asked were {side}; leave --side away")
    mean, std = normalisation(backbone, family="clip")
    frames = FrameEncoder(
        nn.Identity(),
        projection=nn.Identity(),
        backbone_id=backbone,
        side=own_side,
        width=network.projection_dim,
        mean=mean,
        std=std,
    )
    return XCLIP(
        network, text_encoder, frames, num_frames=num_frames, untrained=() if family == "xclip" else NEW_IN_XCLIP
    )


def _vision_settings(network: XCLIPModel) -> dict[str, Any]:
    settings: dict[str, Any] = network.config.to_dict()["vision_config"]
    return settings


def _released(backbone: str, num_frames: int) -> XCLIPModel:
    network = load_whole(XCLIPModel, backbone)
    assert isinstance(network, XCLIPModel)
    integrated = _vision_settings(network)["num_frames"]
    if integrated != num_frames:
        raise FrameEncoderError(
            f"{backbone} integrates {integrated} frames, asked were {num_frames}; pass --num_frames {integrated}"
        )
    return network


def from_clip(backbone: str, *, num_frames: int) -> XCLIPModel:
    """X-CLIP with CLIP's weights where CLIP has them; what is new starts as its authors have it.

    Raises:
        FrameEncoderError: a weight of CLIP's finds no place, or one that is not new is missing.
    """
    clip = load_whole(CLIPModel, backbone)
    network = untrained_xclip(clip.config, num_frames=num_frames)
    pretrained = {name.replace("pre_layrnorm", "pre_layernorm"): value for name, value in clip.state_dict().items()}
    own = network.state_dict()
    missing = [name for name in own if name not in pretrained and not any(part in name for part in NEW_IN_XCLIP)]
    left = [name for name in pretrained if name not in own]
    if missing or left:
        raise FrameEncoderError(f"{backbone} does not become an X-CLIP: missing {missing}, left over {left}")
    network.load_state_dict({**own, **pretrained})
    return network


def untrained_xclip(clip: CLIPConfig, *, num_frames: int) -> XCLIPModel:
    """X-CLIP of a CLIP's sizes: one integration layer, two prompt layers, prompts weighed by 0.1."""
    sizes: dict[str, Any] = clip.to_dict()
    width = sizes["projection_dim"]
    vision = {**sizes["vision_config"], **_integration(width), "num_frames": num_frames}
    for config in (vision, sizes["text_config"]):
        config.pop("model_type")
    return _network(XCLIPVisionConfig(**vision), text=XCLIPTextConfig(**sizes["text_config"]), width=width)


def _around_efficientnet(text_encoder: TextEncoder, *, num_frames: int, side: int | None) -> XCLIP:
    frames = load_frame_encoder(EFFICIENTNET, out_width=text_encoder.width, side=side)
    frames.projection = nn.Identity()  # the block below projects
    vision = XCLIPVisionConfig(
        image_size=frames.side // 32,
        patch_size=1,
        num_channels=frames.width,
        hidden_size=_OFFLINE_WIDTH,
        intermediate_size=4 * _OFFLINE_WIDTH,
        num_attention_heads=_OFFLINE_WIDTH // HEAD_WIDTH,
        num_hidden_layers=_OFFLINE_BLOCKS,
        num_frames=num_frames,
        **_integration(text_encoder.width),
    )
    text = XCLIPTextConfig(hidden_size=HEAD_WIDTH, num_hidden_layers=1, num_attention_heads=1, vocab_size=64)
    network = _network(vision, text=text, width=text_encoder.width)
    return XCLIP(network, text_encoder, frames, num_frames=num_frames, untrained=("network.",))


def _integration(width: int) -> dict[str, Any]:
    return {
        "mit_hidden_size": width,
        "mit_intermediate_size": 4 * width,
        "mit_num_attention_heads": max(width // HEAD_WIDTH, 1),
        "mit_num_hidden_layers": 1,
    }


def _network(vision: XCLIPVisionConfig, *, text: XCLIPTextConfig, width: int) -> XCLIPModel:
    config = XCLIPConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        projection_dim=width,
        prompt_num_attention_heads=max(width // HEAD_WIDTH, 1),
    )
    network = XCLIPModel(config)
    _as_the_authors(network)
    return network


def _as_the_authors(network: XCLIPModel) -> None:
    """Start what CLIP does not have as X-CLIP's authors do: small.

    Deviation: Hugging Face draws all of these with deviation 1. The prompts would then be hundreds of times longer than
    the sentences they are added to, and training does not get away from chance.
    """
    nn.init.trunc_normal_(network.mit.position_embedding, std=_NEW_DEVIATION)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and any(part in f"{name}." for part in NEW_IN_XCLIP):
            nn.init.trunc_normal_(module.weight, std=_NEW_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
