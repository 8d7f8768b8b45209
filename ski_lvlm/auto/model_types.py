"""The types of trained models as transformers' AutoConfig and AutoModel know them.

The code of a model is imported once its type is looked up. No code comes with a model's files.
"""

import importlib
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig
from transformers.models.auto.configuration_auto import AutoConfig

_MODELS = {
    "ski_lvlm": "ski_lvlm.lvlm.model:SkiLvlm",
    "ski_video_llm": "ski_lvlm.video_llm.model:SkiVideoLlm",
    "ski_student": "ski_lvlm.dual_encoders.language:Student",
    "ski_skeleton_clip": "ski_lvlm.dual_encoders.skeleton_clip:SkeletonCLIP",
    "ski_skeleton_encoder": "ski_lvlm.dual_encoders.skeleton_classifier:SkeletonClassifier",
    "ski_skeleton_text": "ski_lvlm.skeleton_text.recogniser:SkeletonTextRecogniser",
}
_OF_AUTO = ("_from_auto", "adapter_kwargs", "trust_remote_code", "config")  # arguments that AutoModel adds


class TypeEntry(PretrainedConfig):
    """Configuration of a model whose settings are in a file of their own, or the way to its real configuration."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **arguments: Any) -> Any:  # noqa: ANN401
        """Import the model of this type, register it with AutoModel, and return its configuration."""
        from transformers import AutoModel

        module, _, name = _MODELS[cls.model_type].partition(":")
        model = getattr(importlib.import_module(module), name)
        config: type[PretrainedConfig] | None = getattr(model, "config_class", None)
        AutoModel.register(config or cls, _opener(model), exist_ok=True)
        return config.from_dict(config_dict, **arguments) if config else super().from_dict(config_dict, **arguments)


def register() -> None:
    """Register the types with AutoConfig."""
    for model_type in _MODELS:
        entry = type(f"{model_type}_config", (TypeEntry,), {"model_type": model_type, "__module__": __name__})
        AutoConfig.register(model_type, entry, exist_ok=True)


def _opener(model: Any) -> type:  # noqa: ANN401
    """Return what AutoModel calls to open a model of a class."""

    class Opener:
        @classmethod
        def from_pretrained(cls, name: str | Path, **arguments: Any) -> Any:  # noqa: ANN401
            return model.from_pretrained(name, **{key: arguments[key] for key in arguments if key not in _OF_AUTO})

    return Opener
