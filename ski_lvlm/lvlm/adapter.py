"""Adapters of the language model: LoRA and DoRA by peft, in peft's own file format.

The adapter is injected into the language model, whose class and other weights stay as they are. All functions also take
other models of transformers.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.weight_files import read_safetensors

if TYPE_CHECKING:
    from peft import LoraConfig

FOLDER = "adapter"  # in the folder of a trained model
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # peft's names
ALL_LINEAR = "all-linear"
_NAME = "default"  # of the one adapter, in the names of its weights
_PREFIX = "base_model.model."  # before the model's names, in peft's files


def check_adapter(recipe: AdapterRecipe, *, is_partitioned: bool = False) -> None:
    """Refuse settings that contradict each other, do nothing, or need whole layers where ZeRO-3 partitions them."""
    if is_partitioned and recipe.load_in_4bit:
        raise ValueError("--load_in_4bit packs whole layers, which ZeRO-3 partitions; give --deepspeed zero2.json")
    if recipe.lora_rank < 0:
        raise ValueError(f"--lora_rank {recipe.lora_rank}: expected 0 (no adapter) or more")
    if not 0 <= recipe.lora_dropout < 1:
        raise ValueError(f"--lora_dropout {recipe.lora_dropout}: expected 0 or more and less than 1")
    if recipe.lora_alpha is not None and recipe.lora_alpha <= 0:
        raise ValueError(f"--lora_alpha {recipe.lora_alpha}: expected a number above 0, often twice the rank")
    if recipe.train == "llm":
        for flag, is_set in (("--lora_rank", recipe.lora_rank), ("--load_in_4bit", recipe.load_in_4bit)):
            if is_set:
                raise ValueError(f"{flag} is for a frozen language model, and --train llm trains it; give one of them")
    if recipe.lora_rank:
        return
    default = AdapterRecipe()
    names = ["lora_alpha", "lora_dropout", "lora_target", "dora"]
    names += [] if recipe.train == "llm" else ["adapter_learning_rate"]
    if idle := [f"--{name}" for name in names if getattr(recipe, name) != getattr(default, name)]:
        raise ValueError(f"{', '.join(idle)} without an adapter does nothing; give --lora_rank, for instance 16, too")


def add_adapter(model: PreTrainedModel, recipe: AdapterRecipe, *, base: str, within: str = "") -> None:
    """Add an untrained adapter to a frozen model, which changes none of its outputs.

    Only the adapter's weights require gradients then, and they are held in fp32. `base` is the name of the model that
    peft's other users load the adapter onto. `within` names the part of it that gets the adapter, by default all.

    Raises:
        ValueError: the model has no layers with the names of `recipe.lora_target`.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha or 2 * recipe.lora_rank,  # type: ignore[arg-type]
        lora_dropout=recipe.lora_dropout,
        target_modules=_targets(model, recipe.lora_target, within),
        use_dora=recipe.dora,
        task_type="CAUSAL_LM",
    )
    _inject(model, config, base=base)


def open_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Add the adapter of a folder, in peft's format, to a frozen model. Its weights stay trainable.

    Raises:
        ValueError: no LoRA adapter in the folder, or one of another model.
    """
    from peft import LoraConfig, PeftConfig

    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder}: no {CONFIG}; the model was trained with an adapter, copy that folder again")
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        raise ValueError(f"{folder / CONFIG}: found an adapter of kind {config.peft_type}, expected LORA")
    _inject(model, config, base=str(config.base_model_name_or_path))
    model.load_state_dict(read_adapter(model, folder), strict=False)


def save_adapter(model: PreTrainedModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the adapter of a model in peft's format. `weights` has its values by the model's names."""
    from peft import LoraConfig

    config: LoraConfig = LoraConfig(**_config(model).to_dict() | {"inference_mode": True})
    if not isinstance(config.target_modules, str):
        config.target_modules = sorted(config.target_modules or ())
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = {key: weights[name].detach().cpu().contiguous() for key, name in adapter_names(model).items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def read_adapter(model: PreTrainedModel, folder: Path) -> dict[str, Tensor]:
    """Read the weights of an adapter that has been added to the model, by the model's names.

    Raises:
        ValueError: missing, damaged, or weights of another adapter.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise ValueError(f"{folder}: no {WEIGHTS}; the model was trained with an adapter, copy that folder again")
    weights, names, state = read_safetensors(file), adapter_names(model), dict(model.named_parameters())
    shapes = {key: tuple(state[name].shape) for key, name in names.items()}
    if differences := sorted(
        key for key in weights.keys() | shapes.keys() if key not in weights or shapes.get(key) != weights[key].shape
    ):
        raise ValueError(
            f"{file}: {len(differences)} weights differ in name or shape from those of the adapter that is expected, "
            f"first {differences[0]}; it belongs to another model, or to other --lora_rank, --lora_target or --dora"
        )
    alpha, expected = read_json(folder / CONFIG)["lora_alpha"], _config(model).lora_alpha
    if alpha != expected:
        raise ValueError(f"{folder}: found an adapter with --lora_alpha {alpha}, expected {expected}; give that one")
    return {names[key]: tensor for key, tensor in weights.items()}


def adapter_names(model: PreTrainedModel) -> dict[str, str]:
    """Map the names of the adapter's weights in peft's files to their names in the model."""
    from peft import get_peft_model_state_dict

    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    numbers = {name: torch.tensor(number) for number, name in enumerate(names)}
    numbers_of = get_peft_model_state_dict(model, numbers, _NAME, save_embedding_layers=False)
    return {f"{_PREFIX}{key}": names[int(number)] for key, number in numbers_of.items()}


def set_adapter_mode(model: PreTrainedModel, mode: bool) -> None:
    """Turn the adapter's dropout on or off, and leave that of the frozen layers as it is."""
    if not has_adapter(model):
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.train(mode)


def has_adapter(model: PreTrainedModel) -> bool:
    """Return whether an adapter has been added to the model."""
    return bool(getattr(model, "_hf_peft_config_loaded", False))


def _inject(model: PreTrainedModel, config: "LoraConfig", *, base: str) -> None:
    from peft.functional import cast_adapter_dtype

    config.inference_mode = False
    model.add_adapter(config, _NAME)
    cast_adapter_dtype(model, _NAME, autocast_adapter_dtype=True)
    _config(model).base_model_name_or_path = base
    set_adapter_mode(model, model.training)


def _config(model: PreTrainedModel) -> "LoraConfig":
    adapters: Mapping[str, Any] = model.peft_config
    return adapters[_NAME]


def _targets(model: PreTrainedModel, target: str, within: str) -> str | list[str]:
    if target == ALL_LINEAR and not within:
        return target
    # An adapter of the output layer cannot be merged where that layer is the word embeddings.
    embeddings = {id(model.get_input_embeddings()), id(model.get_output_embeddings())}
    layers = model.get_submodule(within).named_modules()
    endings = {name.rpartition(".")[2] for name, m in layers if _is_matrix(m) and id(m) not in embeddings}
    targets = sorted(endings) if target == ALL_LINEAR else [name.strip() for name in target.split(",")]
    if unknown := sorted(set(targets) - endings):
        expected = f"expected {ALL_LINEAR} or some of {sorted(endings)}"
        raise ValueError(f"--lora_target: found {unknown}, {expected}")
    return rf"{re.escape(within)}\.(.*\.)?({'|'.join(map(re.escape, targets))})" if within else targets


def _is_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and not isinstance(module, nn.Embedding)
