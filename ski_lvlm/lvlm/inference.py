"""A trained SKI-LVLM ready to be asked: video projector alone, on the device at hand, and which answers were cut."""

from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import StoppingCriteria

from ski_lvlm.llm.loading import native_bf16
from ski_lvlm.lvlm.model import SkiLvlm


def fast_dtype() -> torch.dtype:
    """bf16 where that is fast (on any GPU), else fp32: what the frozen language model is held in."""
    return torch.bfloat16 if native_bf16() else torch.float32


def on_device(model: SkiLvlm, *, number: int = 0) -> SkiLvlm:
    """The model on GPU `number` (counted round where there are fewer), or on the CPU where there is none."""
    gpus = torch.cuda.device_count()
    return cast(Any, model).to(f"cuda:{number % gpus}" if gpus else "cpu")


def load_for_inference(folder: Path, *, number: int = 0) -> SkiLvlm:
    """The trained model of `folder` with its video projector alone, on GPU `number` where there is one.

    Paper: skeletons are not needed at inference, Sec. 3.3.
    Raises:
        ValueError: as `SkiLvlm.from_pretrained`.
    """
    return on_device(SkiLvlm.from_pretrained(folder, modalities=("video",), dtype=fast_dtype()), number=number)


class EndWatch(StoppingCriteria):
    """Given to `generate` as a stopping criterion, it stops nothing and sees which answers came to an end.

    `ends` are the tokens at which generation stops. An answer without one of them when
    `generate` returns ran into max_new_tokens: it is cut.
    """

    def __init__(self, ends: int | list[int] | None) -> None:
        self._ends = torch.tensor([] if ends is None else ends, dtype=torch.long).flatten()
        self._generated: Int[Tensor, "B L"] | None = None

    def __call__(self, input_ids: Int[Tensor, "B L"], scores: Any, **_: Any) -> Bool[Tensor, " B"]:  # noqa: ANN401
        """Keep what was generated so far (the prompt is given as embeddings, so it is not among the ids)."""
        self._generated = input_ids  # looked at once, at the end: a GPU need not wait at every token
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)

    @property
    def cut(self) -> list[bool]:
        """Of each answer of the batch, whether it was cut."""
        if self._generated is None:
            return []
        return (~torch.isin(self._generated.cpu(), self._ends).any(dim=1)).tolist()


def end_watch(model: SkiLvlm) -> EndWatch:
    """A watch over one call of `model.answer`."""
    return EndWatch(model.end_ids)
