"""The origin of predictions, saved beside them."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from eval.describe_flags import videos_of
from ski_lvlm.storage.digests import file_digest

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "av")


def provenance(
    model: Mapping[str, Any], args: argparse.Namespace, *, generation: dict[str, Any], command: Sequence[str]
) -> dict[str, Any]:
    """Return what is known of the model, sampling, questions, videos and environment of eval/describe.py.

    Answers of an earlier start are reused if weights, template, frames, videos, engine and sampling are the same. Batch
    size, precision, device and versions are those of the last start.
    """
    from ski_lvlm.training.trainer import environment

    return {
        "command": list(command),
        **model,
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
