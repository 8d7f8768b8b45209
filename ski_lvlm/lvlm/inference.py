"""A trained SKI-LVLM ready for questions about videos: `ski_lvlm.from_pretrained`, the terminal and the benchmarks.

Paper: skeletons are not needed at inference, Sec. 3.3.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from transformers import PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from ski_lvlm.encoders.vision_tower import VisionTower
from ski_lvlm.llm.loading import native_bf16
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.model_folder import check_frozen_part
from ski_lvlm.lvlm.towers import open_tower
from ski_lvlm.videos.decoding import read_for_tower

logger = logging.getLogger(__name__)
Model = TypeVar("Model", bound=PreTrainedModel)


class ModelAnswer(NamedTuple):
    """An answer, and whether it ran into the longest length."""

    text: str
    is_cut: bool


@runtime_checkable
class LoadedModel(Protocol):
    """A trained model of any kind of base, ready for questions about videos."""

    @property
    def model(self) -> Any:  # noqa: ANN401
        """Return the model, which has a tokenizer and the ids at which its answers end."""

    def generate(self, video: str | Path, question: str, **generation: Any) -> str:  # noqa: ANN401
        """Answer a question about a video file."""

    def read(self, video: Path) -> Any:  # noqa: ANN401
        """Read the frames of a video file."""

    def encode(self, frames: Any) -> Any:  # noqa: ANN401
        """Return what the model reads of the frames, whatever the question."""

    def answer(self, videos: Sequence[Any], questions: Sequence[str], **generation: Any) -> list[ModelAnswer]:  # noqa: ANN401
        """Answer a question about each encoded video."""


class LoadedLvlm:
    """A SKI-LVLM and the vision tower of its training features.

    `device` is the tower's, by default that of the model.

    Raises:
        ValueError: the model was trained on features without a known tower, or the tower has other weights now.
    """

    def __init__(self, model: SkiLvlm, *, device: torch.device | None = None) -> None:
        self.model = model
        self.tower = _tower_of(model).to(device or model.device)
        self.framing: str = model.config.manifest["video"].get("framing", "whole")

    def generate(self, video: str | Path, question: str, **generation: Any) -> str:  # noqa: ANN401
        """Answer a question about a video file, greedily unless `generation` says otherwise.

        `generation` is passed to the language model: `max_new_tokens`, `do_sample`, `temperature` and others.
        """
        (answer,) = self.answer([self.encode(self.read(Path(video)))], [question], **generation)
        return answer.text

    def read(self, video: Path) -> UInt8[Tensor, "T_v 3 H W"]:
        """Read the frames of a video file, as many and as large as in training."""
        return read_for_tower(video, num_frames=self.tower.num_frames, side=self.tower.image_size, framing=self.framing)

    def encode(self, frames: UInt8[Tensor, "T_v 3 H W"]) -> Float[Tensor, "N F"]:
        """Return the tower's tokens of a video."""
        return self.tower(frames.unsqueeze(0))[0].float()

    def answer(
        self,
        videos: Sequence[Float[Tensor, "_ F"]],
        questions: Sequence[str],
        **generation: Any,  # noqa: ANN401
    ) -> list[ModelAnswer]:
        """Answer a question about each video from the tower's tokens, in one batch."""
        watch = EndWatch(self.model.end_ids)
        criteria = StoppingCriteriaList([watch])
        texts = self.model.answer(videos, questions, stopping_criteria=criteria, **generation)
        return [ModelAnswer(text, is_cut) for text, is_cut in zip(texts, watch.is_cut, strict=True)]


def load_for_inference(folder: str | Path, *, number: int = 0) -> LoadedLvlm:
    """Load the trained model of `folder` with its video projector alone, on GPU `number` where there is one.

    Raises:
        ValueError: as `SkiLvlm.from_pretrained` and `LoadedLvlm`.
    """
    return LoadedLvlm(on_device(open_for_inference(folder), number=number))


def open_for_inference(folder: str | Path) -> SkiLvlm:
    """Load the trained model of `folder` with its video projector alone, on the CPU."""
    model = SkiLvlm.from_pretrained(folder, modalities=("video",), dtype=fast_dtype())
    if model.config.skeleton_control != "none":
        logger.warning("%s: trained with --skeleton_control %s: no system", folder, model.config.skeleton_control)
    return model


def fast_dtype() -> torch.dtype:
    """Return the type to hold the frozen language model in: bf16 where that is fast (on any GPU), else fp32."""
    return torch.bfloat16 if native_bf16() else torch.float32


def on_device(model: Model, *, number: int = 0) -> Model:
    """Move the model to GPU `number` (counted round where there are fewer), or to the CPU where there is none."""
    return cast(Any, model).to(device_of(number))


def device_of(number: int) -> torch.device:
    """Return GPU `number` (counted round where there are fewer), or the CPU where there is none."""
    gpus = torch.cuda.device_count()
    return torch.device(f"cuda:{number % gpus}" if gpus else "cpu")


def _tower_of(model: SkiLvlm) -> VisionTower:
    """Load the vision tower that made the training features."""
    video = model.config.manifest.get("video")
    if video is None:
        raise ValueError(
            "this model was trained on features without a features.json, so it does not know a vision tower; "
            "use SkiLvlm.from_pretrained(folder).answer(video_tokens, question) with tokens of the same kind"
        )
    tower = open_tower(video["tower"], num_frames=video["num_frames"], side=video.get("side"))
    check_frozen_part("vision tower", video["tower"], digest=tower.digest, expected=video["digest"])
    return tower


class EndWatch(StoppingCriteria):
    """Stopping criterion that stops nothing, but records which answers came to an end.

    `ends` are the tokens at which generation stops. An answer without one of them when
    `generate` returns ran into max_new_tokens: it is cut.
    """

    def __init__(self, ends: int | list[int] | None) -> None:
        self._ends = torch.tensor([] if ends is None else ends, dtype=torch.long).flatten()
        self._generated: Int[Tensor, "B L"] | None = None
        self._prompt: int | None = None

    def __call__(self, input_ids: Int[Tensor, "B L"], scores: Any, **_: Any) -> Bool[Tensor, " B"]:  # noqa: ANN401
        """Note the ids generated so far. A prompt that is given as ids, not as embeddings, is among them."""
        if self._prompt is None:
            self._prompt = input_ids.shape[1] - 1
        self._generated = input_ids  # checked once, at the end: a GPU need not wait at every token
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    @property
    def is_cut(self) -> list[bool]:
        """Return for each answer of the batch whether it was cut."""
        if self._generated is None:
            return []
        return (~torch.isin(self._generated[:, self._prompt :].cpu(), self._ends).any(dim=1)).tolist()
