"""The origin of predictions, saved beside them."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eval.describe_flags import videos_of
from ski_lvlm.storage.digests import file_digest

if TYPE_CHECKING:
    from ski_lvlm.lvlm.model import SkiLvlm

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "av")


def provenance(
    model: "SkiLvlm", args: argparse.Namespace, *, generation: dict[str, Any], command: Sequence[str]
) -> dict[str, Any]:
    """Return model, frozen parts, prompt, sampling, questions, videos and environment of eval/describe.py.

    Answers of an earlier start are reused if weights, template, frames, videos and sampling are the same. Batch size,
    precision, device and versions are those of the last start.
    """
    from ski_lvlm.lvlm.trained import trained_digest
    from ski_lvlm.training.trainer import environment

    config = model.config
    source = args.model if args.model else args.projector_weights
    return {
        "command": list(command),
        "model": {"baseline": args.baseline, "source": str(source.resolve())},
        "projectors": {"kind": config.projectors["video"]["kind"], "digest": trained_digest(model)},
        "delimited": config.delimited,
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
        "sampling": generation | ({"seed": args.seed} if args.temperature else {}),
        "batch_size": args.batch_size,
        "questions": {
            "file": str(args.questions.resolve()),
            "sha256": file_digest(args.questions, length=64),
            "limit": args.limit,
        },
        "videos": videos_of(args),
        "features": str(args.features.resolve()) if args.features else None,
        **environment(PACKAGES),
    }
