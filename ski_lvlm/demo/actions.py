"""Actions that a trained student sees in one clip, where it looks, and the joints of the persons in it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.cli import device
from ski_lvlm.demo.clips import shown_frames, shown_numbers
from ski_lvlm.dual_encoders.attention_maps import gradcam
from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.estimation.contact_sheet import drawn, sure_places
from ski_lvlm.estimation.estimate import Estimator, estimate_clip
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.recognition.recogniser import whole_clip
from ski_lvlm.sharing.hub import model_folder
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.videos.decoding import iterate_frames, probe
from ski_lvlm.videos.folder import VideoClip
from ski_lvlm.videos.frame_cache import DecodedFrames

_MAX_CLASSES = 50
Pictures = list[UInt8[np.ndarray, "H W 3"]]


class Actions(NamedTuple):
    """The probability of each class, and frames with the heat of the most probable one."""

    probabilities: dict[str, float]
    heat: Pictures


class Namer:
    """A student that names the action of a clip among classes that the visitor writes."""

    def __init__(self, student: Student, card: StudentCard, title: str) -> None:
        self.student, self.card, self.title = student, card, title

    @classmethod
    def load(cls, folder: Path, title: str) -> "Namer":
        """Load the student of a `video_finetune` or `distill` run, on the GPU where there is one."""
        student, card = load_student(model_folder(folder))
        return cls(student.to(device()).eval(), card, title)

    def frames(self, clip: Path) -> UInt8[Tensor, "T 3 S S"]:
        """Return the frames that the student sees."""
        source = DecodedFrames({"clip": VideoClip(clip)}, side=self.card.side, framing=self.card.framing)
        return whole_clip(source, "clip", num_frames=self.card.num_frames, side=self.card.side)

    def name(self, clip: Path, classes: list[str]) -> Actions:
        """Return the probability of each class, and where the student looks for the most probable one."""
        prompts = class_prompts(classes, template=self.card.prompt)
        frames = self.frames(clip).to(next(self.student.parameters()).device)
        with torch.no_grad():
            similarity = self.student(rearrange(frames, "t c h w -> 1 t c h w"), prompts).similarity[0]
        shares = (similarity.float() / self.student.temperature.item()).softmax(-1).tolist()
        heat = gradcam(self.student, frames, prompts, target=int(similarity.argmax()))
        return Actions(dict(zip(classes, shares, strict=True)), _heated(frames.cpu(), heat.cpu()))


def class_names(text: str) -> list[str]:
    """Split class names, one a line or with commas.

    >>> class_names("pour water, drink")
    ['pour water', 'drink']

    Raises:
        ValueError: fewer than two different ones, or too many.
    """
    names = list(dict.fromkeys(name.strip() for name in text.replace("\n", ",").split(",") if name.strip()))
    if not 2 <= len(names) <= _MAX_CLASSES:
        raise ValueError(f"Please write 2 to {_MAX_CLASSES} different names, with commas. There are {len(names)}.")
    return names


def joint_pictures(clip: Path, estimator: Estimator) -> Pictures:
    """Return frames with the estimated joints of at most two persons. Bones of uncertain joints are left out."""
    estimate = estimate_clip(VideoClip(clip), estimator)
    info, numbers = probe(clip), shown_numbers(len(estimate.joints))
    places = sure_places(estimate, min_confidence=estimator.min_confidence)
    points = places[list(numbers)] * [info.width, info.height]
    frames = iterate_frames(clip, numbers=set(numbers), size=(info.height, info.width))
    layout = layout_named(estimator.layout)
    return [drawn(frame, persons, layout) for frame, persons in zip(frames, points, strict=False)]


def _heated(frames: UInt8[Tensor, "T 3 S S"], heat: Float[Tensor, "T S S"]) -> Pictures:
    """Return the shown frames in grey, with the heat in colour on them."""
    from matplotlib import colormaps

    maps = heat[list(shown_numbers(len(heat)))].numpy()[..., None]
    grey = np.stack(shown_frames(frames)).mean(-1, keepdims=True) / 255
    opacity = 0.75 * np.sqrt(maps)
    colours = colormaps["inferno"](maps[..., 0])[..., :3]
    mixed = (1 - opacity) * grey + opacity * colours
    return list((255 * mixed.clip(0, 1)).astype(np.uint8))
