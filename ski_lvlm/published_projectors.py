"""Projectors that others have released for video tokens of this kind, before the language model they belong to."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ski_lvlm.lvlm import SkiLvlm
from ski_lvlm.published import Place, PublishedWeightsError, load_places, read_published
from ski_lvlm.vision import load_vision_tower

_log = logging.getLogger(__name__)
# The video projector's own tensors, under whatever module; `pose_mm_projector` and the like are others.
_VIDEO = re.compile(r"(?:.*\.)?mm_projector\.(.+)")
_KINDS = {("bias", "weight"): "linear", ("0.bias", "0.weight", "2.bias", "2.weight"): "mlp"}


def video_chatgpt(
    weights: Path,
    *,
    base_llm: str,
    vision_tower: str,
    num_frames: int = 100,
    dtype: torch.dtype = torch.float32,
) -> SkiLvlm:
    """The published video projector of Video-ChatGPT, LLAVIDAL or SKI as a SKI-LVLM that needs no training.

    `weights` is their `mm_projector.bin` or a `.safetensors` of it; nothing in it is executed. Only the video projector
    is taken. What else such files hold is named in the log and ignored: the embedding table with the rows of their
    start and end tokens, and the projectors of skeletons and objects, which inference from video alone does not use.

    Paper: Table 3, first row.
    Deviation: their prompt puts a start and an end token around the video tokens, under a system message of its own;
    ours has neither (as in training here), and clips with fewer than `num_frames` frames have fewer temporal tokens
    instead of zeros. So the row is a close relative of the published one, not the same.

    Raises:
        PublishedWeightsError: the file is damaged or holds more than tensors, has no video projector or two different
            ones, or one for another language model or tower.
        ValueError: the language model or the tower cannot be loaded.
    """
    tensors = video_projector_of(read_published(weights), weights)
    tower = load_vision_tower(vision_tower, num_frames=num_frames, device="cpu", dtype=torch.float32)
    model = SkiLvlm.build(
        base_llm=base_llm,
        token_widths={"video": tower.width},
        projector=_KINDS[tuple(sorted(tensors))],
        manifest={
            "video": {"tower": vision_tower, "digest": tower.digest, "num_frames": num_frames, "framing": "whole"}
        },
        dtype=dtype,
    )
    places = [Place((f"projectors.video.layers.{name}",), (name,)) for name in tensors]
    try:
        load_places(model, tensors, places)
    except PublishedWeightsError as error:
        raise PublishedWeightsError(
            f"{weights} does not fit between {vision_tower} (width {tower.width}) and {base_llm} (width "
            f"{model.config.llm_width}): {error}; give the tower and the language model that it was trained with"
        ) from error
    return model.eval()


def video_projector_of(published: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The video projector's tensors by their last names (`weight`, `bias`; numbered for an MLP).

    Raises:
        PublishedWeightsError: there is none, only a part of one, or one name stands for two different tensors.
    """
    found: dict[str, Tensor] = {}
    ignored = []
    for name, tensor in published.items():
        if not (match := _VIDEO.fullmatch(name)):
            ignored.append(name)
        elif match[1] in found and not torch.equal(found[match[1]], tensor):
            raise PublishedWeightsError(f"{file} holds two different video projectors, one of them in {name}")
        else:
            found[match[1]] = tensor
    if tuple(sorted(found)) not in _KINDS:
        raise PublishedWeightsError(
            f"{file}: of a video projector found {sorted(found) or 'nothing'} (its names start with "
            f"{sorted(published)[:5]}); expected mm_projector.weight and mm_projector.bias, or the four of an MLP"
        )
    if ignored:
        _log.warning("%s: only the video projector is used; ignored are %s", file, ", ".join(ignored[:20]))
    return found
