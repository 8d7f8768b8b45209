"""A tiny student and a tiny SkeletonCLIP on one tiny CLIP, and a batch for both."""

import torch

from ski_lvlm.dual_encoders.language import InLanguage
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.vlm.stage_losses import Distillation, DistillationLoss

PROMPTS = ("a photo of a drink water.", "a photo of a hand waving.", "a photo of a kicking something.")
LABELS = torch.tensor([0, 2, 1, 0])


def models(clip, *, kind="vificlip", text=None):
    torch.manual_seed(0)
    student = build_student(kind, backbone=clip, num_frames=2)
    encoder = Hyperformer(layout=LAYOUTS["ntu-25"], num_heads=1, head_dim=12, depth=2, strided=(2,))
    return student, SkeletonCLIP(encoder, load_text_encoder(text or clip))


def scd(student, teacher, **settings):
    return DistillationLoss(student, teacher, prompts=PROMPTS, distillation=Distillation(**settings))


def paired_batch():
    draw = torch.Generator().manual_seed(1)
    video = torch.randint(0, 256, (4, 2, 3, 8, 8), dtype=torch.uint8, generator=draw)
    return {"video": video, "skeleton": torch.randn(4, 8, 2, 25, 3, generator=draw), "labels": LABELS}


def without(batch, *clips):
    skeleton = batch["skeleton"].clone()
    skeleton[list(clips)] = torch.nan
    return {**batch, "skeleton": skeleton}


def gradients(module):
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


class Scores(torch.nn.Module):
    """A skeleton-text model with scores of its own unit: `unit * scores + offset`, at a temperature."""

    def __init__(self, *, seed=0, unit=1.0, offset=0.0, temperature=1.0):
        super().__init__()
        self.layer = torch.nn.Linear(25 * 3, len(PROMPTS), bias=False)
        with torch.no_grad():
            self.layer.weight.normal_(generator=torch.Generator().manual_seed(seed))
        self.unit, self.offset, self.temperature = unit, offset, torch.tensor(temperature)
        self.texts = []

    def forward(self, skeleton, texts):
        self.texts.append(texts)
        feature = skeleton.mean((1, 2)).flatten(1)
        return InLanguage(feature, self.unit * self.layer(feature) + self.offset)
