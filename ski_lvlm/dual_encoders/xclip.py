"""X-CLIP (Ni et al. 2022): frames exchange messages, are integrated over time, and the video changes the sentences.

The network is Hugging Face's `XCLIPModel`. On a CLIP it starts from CLIP's weights. On the offline backbone one of its
blocks reads EfficientNet's grid as an image of 1280 channels, so messages, integration and prompts are there too.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import AutoConfig, CLIPConfig, CLIPModel, XCLIPConfig, XCLIPModel, XCLIPTextConfig, XCLIPVisionConfig

from ski_lvlm.dual_encoders.language import InLanguage, Student, learnt_log_scale
from ski_lvlm.encoders.frame_encoder import FrameEncoder, load_frame_encoder
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.pretrained import load_whole, normalisation
from ski_lvlm.encoders.text_encoder import TextEncoder

HEAD_WIDTH = 64
NEW_IN_XCLIP = ("message_", "mit.", "prompts_")  # parts of the names of what CLIP's weights do not have
_NEW_DEVIATION = 0.02
_OFFLINE_WIDTH, _OFFLINE_BLOCKS = 256, 1


class VideoHalf(nn.Module):
    """The parts of Hugging Face's X-CLIP that look at videos, under the names they have there."""

    def __init__(self, model: XCLIPModel) -> None:
        super().__init__()
        self.prompts_visual_projection = model.prompts_visual_projection
        self.vision_model, self.visual_projection = model.vision_model, model.visual_projection
        self.prompts_visual_layernorm = model.prompts_visual_layernorm
        self.mit, self.prompts_generator = model.mit, model.prompts_generator


class XCLIP(Student):
    """Cross-frame communication, multi-frame integration and video-specific prompts around CLIP's towers.

    Args:
        network: the X-CLIP's video half.
        text_encoder: the text encoder f_t.
        frames: normalises the frames. On the offline backbone it also makes the grid that `network` reads.
        num_frames: T_v, fixed by the position embeddings of the integration.
        untrained: parts of the names of weights that no pretrained model gave.
    """

    title = "XCLIP"
    frozen_by_default = ("text_encoder",)
    sentences_depend_on_video = True

    def __init__(
        self,
        network: VideoHalf,
        text_encoder: TextEncoder,
        frames: FrameEncoder,
        *,
        num_frames: int,
        untrained: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.network, self.text_encoder, self.frames = network, text_encoder, frames
        self.num_frames, self.untrained = num_frames, untrained
        self.log_scale = learnt_log_scale(text_encoder.temperature)

    @classmethod
    def build(cls, backbone: str, text_encoder: TextEncoder, *, num_frames: int, side: int | None) -> "XCLIP":
        """Build the student from released X-CLIP weights, from CLIP's, or around `efficientnet-lite0`.

        Raises:
            ValueError: the backbone is none of them, or the parts do not fit.
        """
        if backbone == EFFICIENTNET:
            network, frames = _around_efficientnet(text_encoder.width, num_frames=num_frames, side=side)
            return cls(network, text_encoder, frames, num_frames=num_frames, untrained=("network.",))
        family = AutoConfig.from_pretrained(backbone).model_type
        if family not in ("xclip", "clip"):
            raise ValueError(f"{backbone} is a {family} model; expected an X-CLIP, a CLIP or {EFFICIENTNET}")
        model = _released(backbone, num_frames) if family == "xclip" else from_clip(backbone, num_frames=num_frames)
        frames = _pixels_only(backbone, model, side)
        untrained = () if family == "xclip" else NEW_IN_XCLIP
        return cls(VideoHalf(model), text_encoder, frames, num_frames=num_frames, untrained=untrained)

    @property
    def has_pretrained_video_side(self) -> bool:
        """False: the frames' messages start untrained."""
        return False

    def image_towers(self) -> tuple[nn.Module, ...]:
        """Return the networks that look at frames, of which the blocks are in the second."""
        return self.frames, self.network

    def forward(self, video: UInt8[Tensor, "B T 3 H W"], prompts: Sequence[str]) -> InLanguage:
        """Integrate the frames and compare the clip with class sentences, each changed by what the clip shows.

        Raises:
            ValueError: another number of frames than it was built for.
        """
        if video.shape[1] != self.num_frames:
            raise ValueError(f"this X-CLIP takes {self.num_frames} frames a clip, found {video.shape[1]}")
        net = self.network
        tokens = net.vision_model(pixel_values=self._image(video))
        frames = rearrange(net.visual_projection(tokens.pooler_output), "(b t) d -> b t d", b=video.shape[0])
        z_v = net.mit(frames).pooler_output
        patches = net.prompts_visual_layernorm(tokens.last_hidden_state[:, 1:]) @ net.prompts_visual_projection
        context = rearrange(patches, "(b t) p d -> b t p d", b=video.shape[0]).mean(1)
        z_t = self.text_encoder(prompts).expand(video.shape[0], -1, -1)
        z_t = z_t + net.prompts_generator(z_t, context)
        return InLanguage(z_v, F.cosine_similarity(z_v.float()[:, None], z_t.float(), dim=-1))

    def _image(self, video: UInt8[Tensor, "B T 3 H W"]) -> Float[Tensor, "N X G V"]:
        if self.frames.backbone_id != EFFICIENTNET:
            return self.frames.pixels(video)
        grid = rearrange(self.frames.patches(video), "b t p w -> (b t) w p")
        return rearrange(grid, "n w (h v) -> n w h v", h=round(grid.shape[-1] ** 0.5))


def _pixels_only(backbone: str, model: XCLIPModel, side: int | None) -> FrameEncoder:
    """Build a frame encoder that normalises frames and encodes nothing, since the X-CLIP itself does that."""
    own_side = _vision_settings(model)["image_size"]
    if side not in (None, own_side):
        raise ValueError(f"{backbone} takes frames of {own_side} pixels, asked were {side}; leave --side away")
    return FrameEncoder(
        nn.Identity(),
        projection=nn.Identity(),
        backbone_id=backbone,
        side=own_side,
        width=model.projection_dim,
        normalise=normalisation(backbone, family="clip"),
    )


def _vision_settings(model: XCLIPModel) -> dict[str, Any]:
    settings: dict[str, Any] = model.config.to_dict()["vision_config"]
    return settings


def _released(backbone: str, num_frames: int) -> XCLIPModel:
    model = load_whole(XCLIPModel, backbone)
    assert isinstance(model, XCLIPModel)
    integrated = _vision_settings(model)["num_frames"]
    if integrated != num_frames:
        raise ValueError(
            f"{backbone} integrates {integrated} frames, asked were {num_frames}; pass --num_frames {integrated}"
        )
    return model


def from_clip(backbone: str, *, num_frames: int) -> XCLIPModel:
    """Build an X-CLIP with CLIP's weights where CLIP has them, and the rest as its authors start it.

    Raises:
        ValueError: a weight of CLIP's finds no place, or one that is not new is missing.
    """
    clip = load_whole(CLIPModel, backbone)
    model = untrained_xclip(clip.config, num_frames=num_frames)
    pretrained = {name.replace("pre_layrnorm", "pre_layernorm"): value for name, value in clip.state_dict().items()}
    state = model.state_dict()
    missing = [name for name in state if name not in pretrained and not any(part in name for part in NEW_IN_XCLIP)]
    superfluous = [name for name in pretrained if name not in state]
    if missing or superfluous:
        raise ValueError(f"{backbone} does not become an X-CLIP: missing {missing}, left over {superfluous}")
    model.load_state_dict({**state, **pretrained})
    return model


def untrained_xclip(clip: CLIPConfig, *, num_frames: int) -> XCLIPModel:
    """Build an X-CLIP of a CLIP's sizes: one integration layer, two prompt layers, prompts weighed by 0.1."""
    sizes: dict[str, Any] = clip.to_dict()
    width = sizes["projection_dim"]
    vision = {**sizes["vision_config"], **_integration(width), "num_frames": num_frames}
    for config in (vision, sizes["text_config"]):
        config.pop("model_type")
    return _model(XCLIPVisionConfig(**vision), text=XCLIPTextConfig(**sizes["text_config"]), width=width)


def _around_efficientnet(width: int, *, num_frames: int, side: int | None) -> tuple[VideoHalf, FrameEncoder]:
    frames = load_frame_encoder(EFFICIENTNET, out_width=width, side=side)
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
        **_integration(width),
    )
    text = XCLIPTextConfig(hidden_size=HEAD_WIDTH, num_hidden_layers=1, num_attention_heads=1, vocab_size=64)
    return VideoHalf(_model(vision, text=text, width=width)), frames


def _integration(width: int) -> dict[str, Any]:
    return {
        "mit_hidden_size": width,
        "mit_intermediate_size": 4 * width,
        "mit_num_attention_heads": max(width // HEAD_WIDTH, 1),
        "mit_num_hidden_layers": 1,
    }


def _model(vision: XCLIPVisionConfig, *, text: XCLIPTextConfig, width: int) -> XCLIPModel:
    config = XCLIPConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        projection_dim=width,
        prompt_num_attention_heads=max(width // HEAD_WIDTH, 1),
    )
    model = XCLIPModel(config)
    _start_small(model)
    return model


def _start_small(model: XCLIPModel) -> None:
    """Initialise what CLIP does not have as X-CLIP's authors do.

    Deviation: Hugging Face draws all of these with deviation 1. The prompts would then be hundreds of times longer than
    the sentences they are added to, and training does not get away from chance.
    """
    nn.init.trunc_normal_(model.mit.position_embedding, std=_NEW_DEVIATION)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and any(part in f"{name}." for part in NEW_IN_XCLIP):
            nn.init.trunc_normal_(module.weight, std=_NEW_DEVIATION)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
