"""Configuration of a language model: its sizes, which can be known without its weights."""

import logging
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, LlamaConfig, PretrainedConfig

from ski_lvlm.encoders.offline import resolve_model
from ski_lvlm.llm.limits import without_foreign_padding
from ski_lvlm.recipe import SkiLvlmRecipe

logger = logging.getLogger(__name__)
# Source: LLaMA (Touvron et al., 2023), Table 2, which Vicuna-7B and LLaVA-7B share. The tokens that LLaVA adds to the
# 32,000 words change no cost.
LLAMA_7B: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}


def read_config(path: str) -> PretrainedConfig:
    """Read the configuration of a causal language model from a hub id or folder.

    Raises:
        OSError: no config.json there.
        ValueError: a model of another kind.
    """
    config_dict, _ = PretrainedConfig.get_config_dict(path)
    if config_dict.get("model_type") == "llava" and "text_config" not in config_dict:
        # Checkpoints of the first LLaVA generation are a Llama and a projector under another model type.
        return LlamaConfig.from_dict({**config_dict, "model_type": "llama"})
    return _causal(AutoConfig.from_pretrained(path))


def known_config(model_id: str) -> PretrainedConfig:
    """Return the configuration of a language model by hub id, folder, GGUF file or short name, without its weights.

    The default language model's is known where no hub answers.

    Raises:
        ValueError: nothing readable at `model_id`.
    """
    path = resolve_model(model_id)
    try:
        if path.endswith(".gguf"):
            return _causal(AutoConfig.from_pretrained(str(Path(path).parent), gguf_file=Path(path).name))
        return read_config(path)
    except (OSError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if model_id != SkiLvlmRecipe.base_llm:
            raise ValueError(
                f"no configuration of a language model at {model_id!r}: {reason}; expected a hub id that can be "
                "reached, or a folder with its config.json, which is enough for an estimate"
            ) from error
        logger.warning("%s cannot be reached (%s): taking the sizes of Llama 7B, on which it is built", path, reason)
        return LlamaConfig(**LLAMA_7B)


def _causal(config: PretrainedConfig) -> PretrainedConfig:
    if type(config) not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(
            f"a model of type {config.model_type!r} is no causal language model; of a vision-language model give the "
            "language model that it is built on"
        )
    return without_foreign_padding(config)
