"""A trained SKI-LVLM or a published projector: loaded, told apart from others by digests, and described."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.shards import Shard

if TYPE_CHECKING:
    from ski_lvlm.lvlm.inference import LoadedLvlm
    from ski_lvlm.lvlm.model import SkiLvlm


def load_lvlm(args: argparse.Namespace, shard: Shard, *, is_decoded_here: bool = True) -> "LoadedLvlm":
    """Load the model of --model or --baseline, on the GPU of the shard's number.

    Where another process decodes, the language model stays on the CPU, since its embeddings alone are used.

    Raises:
        ValueError: there is no such model, or its frozen parts have other weights.
    """
    from ski_lvlm.lvlm.inference import LoadedLvlm, device_of, on_device, open_for_inference

    number = shard.index - 1
    model = open_for_inference(args.model) if args.model else _published(args)
    return LoadedLvlm(on_device(model, number=number) if is_decoded_here else model, device=device_of(number))


def _published(args: argparse.Namespace) -> "SkiLvlm":
    from ski_lvlm.lvlm.inference import fast_dtype
    from ski_lvlm.published.projectors import video_chatgpt

    return video_chatgpt(
        args.projector_weights,
        base_llm=args.base_llm,
        vision_tower=args.vision_tower,
        num_frames=args.num_frames,
        delimited=args.delimiters == "auto",
        dtype=fast_dtype(),
    )


def model_digest(model: "SkiLvlm") -> str:
    """Return digests of all that makes the answers: trained weights, LLM, tokenizer, tower, frames and prompt."""
    from ski_lvlm.llm.loading import tokenizer_digest
    from ski_lvlm.lvlm.trained import trained_digest

    video = model.config.manifest.get("video", {})
    prompt = digest(json.dumps(model.config.prompt))
    inputs = (video.get("digest"), video.get("num_frames"), video.get("framing"), model.config.chat_template, prompt)
    weights = f"{trained_digest(model)} {model.config.llm_digest}"
    return f"{weights} {tokenizer_digest(model.tokenizer)} {' '.join(map(str, inputs))}"


def model_description(model: "SkiLvlm", args: argparse.Namespace) -> dict[str, Any]:
    """Return the origin of the model, its frozen parts and its prompt."""
    from ski_lvlm.lvlm.trained import trained_digest

    config = model.config
    source = Path(args.model or args.projector_weights)
    return {
        "model": {"baseline": args.baseline, "source": str(source.resolve())},
        "projectors": {"kind": config.projectors["video"]["kind"], "digest": trained_digest(model)},
        "delimited": config.delimited,
        **({} if config.skeleton_control == "none" else {"skeleton_control": config.skeleton_control}),
        "language_model": {
            "id": config.base_llm,
            "digest": config.llm_digest,
            "dtype": str(model.llm.dtype).removeprefix("torch."),
            "train": config.train,
            "lora_rank": config.lora_rank,
            "load_in_4bit": config.load_in_4bit,
        },
        "video": config.manifest.get("video"),
        "chat_template": config.chat_template,
        "prompt": config.prompt,
    }
