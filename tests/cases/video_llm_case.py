"""Random video LLMs of two families with their processors, in the hub's file layout, and videos to train on.

Video processors of transformers need torchvision. Where it is not installed, stand-ins for them make the same inputs by
plain torch. The models, the processors' texts and all positions are transformers' own.
"""

from pathlib import Path

import numpy as np
import torch
import transformers
from einops import rearrange
from torch.nn import functional
from transformers import (
    BatchFeature,
    CLIPImageProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
)
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.processing_utils import transformers_module
from transformers.utils import is_torchvision_available
from transformers.video_processing_utils import VideoProcessorMixin

from tests.cases.lvlm_case import CLIPS, write_features, write_instructions
from tests.cases.tiny_llm import tiny_tokenizer
from tests.cases.video_case import write_video

SIDE = 28  # of the frames that the towers see
_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "max_position_embeddings": 512,
    "bos_token_id": None,
}
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ONEVISION_TEMPLATE = (  # as the published one, a generated answer follows other white space than a rendered one
    "{% for message in messages %}<|im_start|>{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'video' %}<video>{% endif %}{% endfor %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ '\n' + part['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tiny_qwen(folder: Path, *, seed: int = 0) -> Path:
    """Write a random Qwen2.5-VL, whose positions have three dimensions."""
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = _tokenizer(marks, QWEN_TEMPLATE)
    ids = dict(zip(marks, tokenizer.convert_tokens_to_ids(marks), strict=True))
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"patch_size": 7, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 28}
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = _TEXT | {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "rope_parameters": rope}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision | {"fullatt_block_indexes": [0], "tokens_per_second": 2, "initializer_range": 0.3},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    sizes = {"patch_size": 7, "merge_size": 2, "temporal_patch_size": 2}
    size = {"shortest_edge": SIDE * SIDE, "longest_edge": SIDE * SIDE}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**sizes, size=size), tokenizer, _video_processor("qwen", **sizes, size=size)
    )
    return _written(Qwen2_5_VLForConditionalGeneration, config, processor, folder, seed)


def tiny_onevision(folder: Path, *, seed: int = 0) -> Path:
    """Write a random LLaVA-OneVision, whose positions have one dimension."""
    tokenizer = _tokenizer(["<image>", "<video>"], ONEVISION_TEMPLATE)
    image, video = tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    vision = {"model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 7, "vision_use_head": False}
    text = _TEXT | {"model_type": "qwen2", "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = LlavaOnevisionConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=image,
        video_token_id=video,
        image_grid_pinpoints=[[SIDE, SIDE]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    size = {"height": SIDE, "width": SIDE}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[SIDE, SIDE]]),
        tokenizer,
        _video_processor("onevision", size=size),
        num_image_tokens=(SIDE // 7) ** 2,
        vision_feature_select_strategy="full",
    )
    return _written(LlavaOnevisionForConditionalGeneration, config, processor, folder, seed)


def tiny_llava(folder: Path, *, seed: int = 0) -> Path:
    """Write a random LLaVA 1.5, which knows pictures but no videos."""
    tokenizer = _tokenizer(["<image>"], ONEVISION_TEMPLATE.replace("video", "image"))
    vision = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 2, "image_size": SIDE, "patch_size": 7, "projection_dim": 16}
    text = _TEXT | {"model_type": "llama", "vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    size = {"height": SIDE, "width": SIDE}
    processor = LlavaProcessor(
        CLIPImageProcessor(size=size, crop_size=size),
        tokenizer,
        patch_size=7,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=1,
    )
    return _written(LlavaForConditionalGeneration, config, processor, folder, seed)


FAMILIES = {"qwen": tiny_qwen, "onevision": tiny_onevision}


def write_video_case(folder: Path, *, family: str = "qwen", video_only: tuple[str, ...] = ()) -> dict[str, str]:
    """Write four videos of unequal length, features of their skeletons, instructions and a base."""
    rng = np.random.default_rng(0)
    for k, clip in enumerate(CLIPS):
        frames = rng.integers(0, 255, (10 + k, 1, 2, 3), np.uint8).repeat(32, 1).repeat(24, 2)
        write_video(folder / "videos" / f"{clip}_rgb.avi", frames)
    return {
        "instructions": str(write_instructions(folder / "instructions.json", video_only=video_only)),
        "features": str(write_features(folder / "features", tokens={"skeleton": (4, 8)})),
        "videos": str(folder / "videos"),
        "base_vlm": str(FAMILIES[family](folder / family)),
    }


def _tokenizer(marks: list[str], template: str) -> transformers.PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer(chat_template=template)
    tokenizer.add_special_tokens({"additional_special_tokens": marks, "pad_token": "<|endoftext|>"})
    return tokenizer


def _written(kind, config, processor, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = kind(config).eval()
    for parameter in model.parameters():  # large enough for logits that differ
        torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.save_pretrained(folder)
    processor.chat_template = processor.tokenizer.chat_template
    processor.save_pretrained(folder)
    return folder


class _StandIn(VideoProcessorMixin):
    """The part of a video processor that all share: frames of any size become squares of floats around zero."""

    def __call__(self, videos, *, video_metadata, **_) -> BatchFeature:
        squares = [functional.interpolate(video.float(), (SIDE, SIDE)) / 127.5 - 1 for video in videos]
        return BatchFeature({**self.inputs(squares), "video_metadata": video_metadata})


class QwenStandIn(_StandIn):
    """Frames by twos in patches, as `Qwen2VLVideoProcessor` lays them out."""

    patch_size, merge_size, temporal_patch_size = 7, 2, 2

    def inputs(self, videos) -> dict:
        even = [torch.cat([video, video[-1:]]) if len(video) % 2 else video for video in videos]
        rule = "(t k) c (h m p) (w n q) -> (t h w m n) (c k p q)"
        sizes = {"k": 2, "m": 2, "n": 2, "p": 7, "q": 7}
        side = SIDE // 7
        grids = torch.tensor([[len(video) // 2, side, side] for video in even])
        return {
            "pixel_values_videos": torch.cat([rearrange(video, rule, **sizes) for video in even]),
            "video_grid_thw": grids,
        }


class OnevisionStandIn(_StandIn):
    """Square frames."""

    def inputs(self, videos) -> dict:
        return {"pixel_values_videos": torch.stack(videos)}


def _video_processor(family: str, **settings):
    if is_torchvision_available():
        kinds = {"qwen": "Qwen2VLVideoProcessor", "onevision": "LlavaOnevisionVideoProcessor"}
        return getattr(transformers, kinds[family])(**settings)
    return {"qwen": QwenStandIn, "onevision": OnevisionStandIn}[family]()


def register_stand_ins() -> None:
    """Make transformers find the stand-ins, where torchvision is absent."""
    if is_torchvision_available():
        return
    for module in (transformers, transformers_module):  # processors look into a second copy
        module.VideoProcessorMixin, module.AutoVideoProcessor = VideoProcessorMixin, AutoVideoProcessor
    AutoVideoProcessor.register(Qwen2_5_VLConfig, QwenStandIn, exist_ok=True)
    AutoVideoProcessor.register(LlavaOnevisionConfig, OnevisionStandIn, exist_ok=True)


register_stand_ins()
