"""The frozen base: a video LLM of transformers and its processor, by hub id or folder."""

from typing import Any, NamedTuple

import torch
import transformers
from transformers import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedModel,
)

from ski_lvlm.storage.weight_files import weights_explained


class VideoLlm(NamedTuple):
    """A frozen video LLM and its processor, which makes its inputs of a text and frames."""

    model: PreTrainedModel
    processor: Any


def load_video_llm(
    model_id: str, *, dtype: torch.dtype = torch.float32, flag: str = "--base_vlm", needs_video: bool = True
) -> VideoLlm:
    """Load and freeze a video LLM: Qwen2.5-VL, LLaVA-OneVision, SmolVLM and others.

    `flag` is the one that named it, for messages. Without `needs_video` it may be one that reads pictures alone.

    Raises:
        ValueError: nothing loadable at `model_id`, a model without a video path, or a package that its processor needs.
    """
    transformers.utils.logging.disable_progress_bar()
    with weights_explained(model_id):
        try:
            config = AutoConfig.from_pretrained(model_id)
            processor = AutoProcessor.from_pretrained(model_id)
            _check_kind(f"{flag} {model_id}", config, processor, needs_video=needs_video)
            model = AutoModelForImageTextToText.from_pretrained(model_id, dtype=dtype)
        except ImportError as error:
            raise ValueError(
                f"{flag} {model_id}: its processor needs a package that is not installed "
                f"({' '.join(str(error).split())[:200]}); video processors of transformers need torchvision, of the "
                "build that belongs to the installed torch"
            ) from error
        except (OSError, KeyError) as error:
            raise ValueError(
                f"no video LLM could be loaded from {model_id!r}: {str(error).splitlines()[0]}; expected a Hugging "
                "Face hub id, or a folder with config.json, weights and the processor's files"
            ) from error
    return VideoLlm(model.requires_grad_(False).eval(), processor)


def _check_kind(name: str, config: Any, processor: Any, *, needs_video: bool) -> None:  # noqa: ANN401
    """Make sure that the model reads pictures and texts, and that its processor knows videos."""
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise ValueError(
            f"{name}: a model of type {config.model_type!r} is no video LLM of transformers; give a "
            "language model with --base_llm"
        )
    if needs_video and not knows_videos(processor):
        raise ValueError(
            f"{name}: its processor {type(processor).__name__} takes no videos; expected a model such "
            "as Qwen2.5-VL, LLaVA-OneVision or SmolVLM"
        )


def knows_videos(processor: Any) -> bool:  # noqa: ANN401
    """Return whether a processor takes videos, and not pictures alone."""
    return getattr(processor, "video_processor", None) is not None
