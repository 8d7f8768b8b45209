"""The folder of a SKI-LVLM: projectors, and what has been trained of its language model.

    config.json         ids and digests of the frozen parts
    model.safetensors   projectors, in fp32
    adapter/            with --lora_rank: the adapter, in peft's format
    llm/                with --train llm, or merged: the language model, in the format of transformers

A checkpoint has the same files beside those of the optimizer.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ski_lvlm.encoders.digest import tensors_digest, weights_digest
from ski_lvlm.llm.loading import Llm, load_llm
from ski_lvlm.llm.quantisation import quantise
from ski_lvlm.lvlm import adapter
from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.trained import LLM
from ski_lvlm.parallel.partitioned import whole_models
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.weight_files import read_safetensors, weights_explained

WEIGHTS = "model.safetensors"
LLM_FOLDER = "llm"


def write_model(config: PretrainedConfig, llm: Llm, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the trained `weights` of a model, by its names, and config.json. The projectors come last."""
    folder.mkdir(parents=True, exist_ok=True)
    of_llm = {name.removeprefix(LLM): tensor for name, tensor in weights.items() if name.startswith(LLM)}
    if adapter.has_adapter(llm.model):
        adapter.save_adapter(llm.model, of_llm, folder / adapter.FOLDER)
    elif config.train == "llm":
        state = {**llm.model.state_dict(), **of_llm}
        config.tuned_llm_digest = tensors_digest(state)
        write_llm(llm.model, llm.tokenizer, folder / LLM_FOLDER, state=state)
    else:
        of_llm = {}
    projectors = {name: tensor for name, tensor in weights.items() if name.removeprefix(LLM) not in of_llm}
    config.save_pretrained(folder)
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in projectors.items()}, temporary)


def write_llm(
    llm: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, state: Mapping[str, Tensor]
) -> None:
    """Write a language model and its tokenizer as transformers does."""
    generation = llm.generation_config
    if generation is not None and not generation.do_sample:  # Vicuna's temperature without sampling cannot be saved
        generation.do_sample = any(getattr(generation, name) is not None for name in ("temperature", "top_p", "top_k"))
    llm.save_pretrained(folder, state_dict=dict(state))
    tokenizer.save_pretrained(folder)


def read_weights(
    config: PretrainedConfig, llm: PreTrainedModel, folder: Path, *, expected: set[str]
) -> dict[str, Tensor]:
    """Read all trained weights of a model from its folder or checkpoint, by the model's names `expected`.

    Raises:
        ValueError: missing, damaged, or weights of another model.
    """
    weights = read_safetensors(folder / WEIGHTS)
    if adapter.has_adapter(llm):
        of_llm = adapter.read_adapter(llm, folder / adapter.FOLDER)
    else:
        of_llm = read_llm(folder / LLM_FOLDER) if config.train == "llm" else {}
    weights |= {f"{LLM}{name}": tensor for name, tensor in of_llm.items()}
    check_names(weights, expected, folder)
    return weights


def read_llm(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a trained language model, whole and in fp32, by its names.

    Raises:
        ValueError: missing or damaged.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; the language model was trained and lay there, copy it again")
    with whole_models(), weights_explained(str(folder)):  # transformers joins files, tied weights and old names
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    return model.state_dict()


def open_llm(config: SkiLvlmConfig, folder: Path, *, dtype: torch.dtype) -> Llm:
    """Load the language model of a SKI-LVLM, with the weights and the adapter that it had when it was saved.

    Raises:
        ValueError: the language model has other weights now, or the adapter is missing or damaged.
    """
    name = str(folder / config.llm_folder) if config.llm_folder else config.base_llm
    llm = load_llm(name, dtype=dtype)
    is_tuned = config.train == "llm"
    expected = config.tuned_llm_digest if is_tuned else config.llm_digest
    check_frozen_part("language model", name, digest=weights_digest(llm.model), expected=expected)
    if config.load_in_4bit:
        quantise(llm.model)
    if config.lora_rank:
        adapter.open_adapter(llm.model, folder / adapter.FOLDER)
    elif is_tuned:
        llm.model.requires_grad_(True)
    return llm


def check_names(weights: Mapping[str, Tensor], expected: set[str], folder: Path) -> None:
    """Make sure that the weights of a folder are those that a model expects."""
    if set(weights) != expected:
        raise ValueError(
            f"{folder / WEIGHTS}: missing {sorted(expected - set(weights))}, unexpected "
            f"{sorted(set(weights) - expected)}; the file does not belong to the config.json beside it"
        )


def check_frozen_part(part: str, model_id: str, *, digest: str, expected: str) -> None:
    """Make sure that a frozen part has the weights with which the projectors were trained."""
    if digest != expected:
        raise ValueError(
            f"the {part} {model_id!r} has weights with digest {digest}, expected {expected}, with which the projectors "
            f"were trained; point to that {part} again or train anew"
        )
