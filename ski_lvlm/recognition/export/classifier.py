"""A student as a classifier of fixed classes, whose sentences are constants of the network."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ski_lvlm.dual_encoders.language import Student


class FixedSentences(nn.Module):
    """The features of sentences that a text encoder has read once."""

    def __init__(self, features: Float[Tensor, "C D"]) -> None:
        super().__init__()
        self.register_buffer("features", features)

    def forward(self, prompts: Sequence[str]) -> Float[Tensor, "C D"]:
        """Return the features of all sentences."""
        return self.get_buffer("features")


class ClipClassifier(nn.Module):
    """Frames to logits of classes, without a text encoder.

    The softmax of the logits is the student's probability of each class.
    """

    def __init__(self, student: Student, prompts: Sequence[str]) -> None:
        """Let a student in evaluation mode read the class sentences, and copy its video side."""
        super().__init__()
        with torch.no_grad():
            features = student.text_encoder(prompts).clone()
        replaced: dict[int, Any] = {id(student.text_encoder): FixedSentences(features)}
        replaced |= {id(getattr(student, name)): nn.Identity() for name in student.training_parts}
        self.student = deepcopy(student, replaced).eval()
        self.prompts = tuple(prompts)

    def forward(self, frames: UInt8[Tensor, "B T 3 S S"]) -> Float[Tensor, "B C"]:
        """Return cosines over the temperature."""
        return self.student(frames, self.prompts).similarity / self.student.temperature
