"""Floating-point operations of each stage at the paper's sizes, counted on networks whose weights have no values.

    python -m benchmarks.stage_flops

A product and a sum are two operations. Matrix products, convolutions and attention are counted, as PyTorch's
FlopCounterMode does. Norms, activations and the optimiser are left out.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
)

from ski_lvlm.cli import parser, run
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.students import STUDENTS
from ski_lvlm.dual_encoders.xclip import XCLIP, VideoHalf, untrained_xclip
from ski_lvlm.encoders.frame_encoder import ClipFrames, FrameEncoder
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.pretrained import CLIP_NORMALISATION, PretrainedTower
from ski_lvlm.encoders.text_encoder import CLIP_START_TEMPERATURE, TextEncoder
from ski_lvlm.recipe import VIDEO_FINETUNE_SCHEDULES, VideoFinetuneRecipe
from ski_lvlm.skeletons.layouts import LAYOUTS

SENTENCE = 12  # Assumption: tokens of the longest class sentence, to which all are padded
TWO_PERSONS = 0.22  # share of NTU120's clips, the others show one person
# Source: config.json of openai/clip-vit-base-patch16 and openai/clip-vit-large-patch14.
_BASE: dict[str, Any] = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "patch_size": 16}
_TEXT: dict[str, Any] = {
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "num_hidden_layers": 12,
}
_LARGE: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "patch_size": 14}
_LARGE_LAYERS = 23  # of 24, since the second-to-last layer's output is used


class Sentences(TextEncoder):
    """CLIP's text tower, which reads sentences of one length and needs no tokenizer."""

    def __init__(self, model: CLIPTextModelWithProjection) -> None:
        PretrainedTower.__init__(self)
        self.model, self.width = model, int(_TEXT["hidden_size"])
        self.temperature, self.digest, self._last = CLIP_START_TEMPERATURE, "none", None

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        ids = torch.zeros(len(prompts), SENTENCE, dtype=torch.long)
        features: Tensor = self.model(ids).text_embeds
        return features


def operations(step: Callable[[], object]) -> float:
    """Count the operations of a step."""
    # Only attention in plain products is counted on every device.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def student_of(name: str, *, num_frames: int) -> Student:
    """Build a student on CLIP ViT-B/16 without values, with what its authors train left trainable."""
    config = CLIPConfig(text_config=_TEXT, vision_config=_BASE, projection_dim=_TEXT["hidden_size"])
    with torch.device("meta"):
        text = Sentences(CLIPTextModelWithProjection(CLIPTextConfig(**_TEXT, projection_dim=_TEXT["hidden_size"])))
        if STUDENTS[name] is XCLIP:
            network, frames = VideoHalf(untrained_xclip(config, num_frames=num_frames)), _frames(torch.nn.Identity())
            student: Student = XCLIP(network, text, frames, num_frames=num_frames, untrained=())
        else:
            clip = CLIPModel(config)
            frames = _frames(ClipFrames(clip.vision_model, clip.visual_projection, resize=False))
            student = STUDENTS[name](frames, text, num_frames=num_frames)
    for tower in student.frozen_by_default:
        getattr(student, tower).requires_grad_(False)
    return student.train()


def _frames(backbone: torch.nn.Module) -> FrameEncoder:
    backbone.digest = "none"  # type: ignore[assignment]
    settings = {"projection": torch.nn.Identity(), "side": 224, "width": 512, "normalise": CLIP_NORMALISATION}
    return FrameEncoder(backbone, backbone_id="openai/clip-vit-base-patch16", **settings)  # type: ignore[arg-type]


def student_training(name: str, *, classes: int) -> float:
    """Return the operations of a clip in a student's training, with its share of reading the class sentences."""
    clips = VIDEO_FINETUNE_SCHEDULES[name]["per_device_train_batch_size"]
    num_frames, prompts = VideoFinetuneRecipe().num_frames, [""] * classes
    student = student_of(name, num_frames=num_frames)
    with FakeTensorMode(allow_non_fake_inputs=True):
        student.to_empty(device="cpu")
        video = torch.empty(clips, num_frames, 3, 224, 224, dtype=torch.uint8)
        student.text_encoder(prompts)  # a frozen encoder reads them once

        def step() -> None:
            output = student(video, prompts)
            loss = output.similarity.sum()
            (loss if output.own_loss is None else loss + output.own_loss).backward()

        return operations(step) / clips


def hyperformer(num_frames: int, *, is_training: bool) -> float:
    """Return the operations of a clip in Hyperformer: the mean over clips of one person and of two."""
    encoder = Hyperformer(layout=LAYOUTS["ntu-25"]).train(is_training).requires_grad_(is_training)

    def step(persons: int) -> None:
        skeleton = torch.randn(1, num_frames, 2, 25, 3)
        skeleton[:, :, persons:] = torch.nan
        feature = encoder(skeleton).feature
        if is_training:
            feature.sum().backward()

    one, two = (operations(lambda persons=persons: step(persons)) for persons in (1, 2))  # type: ignore[misc]
    return one + TWO_PERSONS * (two - one)


def vision_tower(num_frames: int) -> float:
    """Return the operations of a clip in CLIP ViT-L/14 without gradients."""
    config = CLIPVisionConfig(**_LARGE, num_hidden_layers=_LARGE_LAYERS)
    with FakeTensorMode(), torch.no_grad():
        tower = CLIPVisionModel(config)
        return num_frames * operations(lambda: tower(torch.empty(1, 3, 224, 224)))


def main(flags: Sequence[str] | None = None) -> int:
    """Print what a clip costs."""
    p = parser(__doc__ or "")
    p.add_argument("--classes", type=int, default=110, help="class sentences that a student compares with")
    args = p.parse_args(flags)
    counts = {f"{name}, a training step": student_training(name, classes=args.classes) for name in STUDENTS}
    counts |= {
        "Hyperformer, 64 frames, a training step": hyperformer(64, is_training=True),
        "Hyperformer, 1024 frames, forward": hyperformer(1024, is_training=False),
        "ViT-L/14, 100 frames, forward": vision_tower(100),
    }
    for name, count in counts.items():
        print(f"{name:42} {count / 1e9:10.1f} GFLOP a clip")
    return 0


if __name__ == "__main__":
    run(main)
