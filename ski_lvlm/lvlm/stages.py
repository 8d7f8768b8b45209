"""Stages that hand over to each other: a run that begins with another's weights, and modalities that are frozen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from ski_lvlm.encoders.digest import tensors_digest
from ski_lvlm.lvlm import adapter
from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.model_folder import LLM_FOLDER, WEIGHTS, check_names, read_llm
from ski_lvlm.lvlm.ski_model import SkiModel
from ski_lvlm.lvlm.trained import LLM, modality_of, trained_names
from ski_lvlm.parallel.partitioned import assign
from ski_lvlm.storage.weight_files import read_safetensors


def run_digest(folder: Path) -> str:
    """Return a hash of what a finished run has trained.

    Raises:
        ValueError: the folder is none of a finished run.
    """
    config = _config_of(folder)
    weights = read_safetensors(folder / WEIGHTS)
    if config.lora_rank:
        weights |= read_safetensors(folder / adapter.FOLDER / adapter.WEIGHTS)
    return tensors_digest(weights, config.tuned_llm_digest, rounded=False)


def take_weights(model: SkiModel, folder: Path, features: FeatureFolder) -> list[str]:
    """Give a new model the weights of a finished run, and return the modalities that it knew.

    Modalities that the run did not know keep their new projectors. A run without an adapter hands its projectors to one
    with an adapter.

    Raises:
        ValueError: the run had another language model or other features, or trained what this one does not have.
    """
    config = _config_of(folder)
    _check_llm(model, config, folder)
    features.check_same_origin(config.manifest, trained=f"--init_from {folder}", remedy="give the same features")
    weights = read_safetensors(folder / WEIGHTS)
    modalities = [name for name in model.projectors if name in config.token_widths]
    _check_projectors(model, config, modalities, folder)
    projectors = {name: tensor for name, tensor in weights.items() if modality_of(name) in modalities}
    check_names(projectors, {name for name in trained_names(model) if modality_of(name) in modalities}, folder)
    assign(model, projectors | _llm_weights(model, config, folder))
    if model.config.skeleton_control == "none":  # what grows out of a control is part of one
        model.config.skeleton_control = config.skeleton_control
    return modalities


def freeze(model: SkiModel, modalities: Sequence[str], *, trained: Sequence[str]) -> None:
    """Freeze the projectors of these modalities. `trained` are those that begin with weights of an earlier training.

    Raises:
        ValueError: an unknown or untrained modality, or nothing that is left to train.
    """
    if unknown := sorted(set(modalities) - set(model.projectors)):
        raise ValueError(f"--freeze: found {unknown}, expected some of the --modalities {list(model.projectors)}")
    if untrained := sorted(set(modalities) - set(trained)):
        raise ValueError(
            f"--freeze: the projectors of {untrained} have not been trained; give --init_from the run that did"
        )
    for name in modalities:
        model.projectors[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("--freeze: nothing is left to train; leave a modality out of it, or give --lora_rank")


def _config_of(folder: Path) -> SkiLvlmConfig:
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"--init_from {folder}: no {WEIGHTS}; expected the --output_dir of a finished run")
    return SkiLvlmConfig.from_pretrained(folder)


def _check_llm(model: SkiModel, config: SkiLvlmConfig, folder: Path) -> None:
    """Make sure that the run's projectors fit the new language model, and that nothing it has trained gets lost."""
    if config.lora_rank and not model.config.lora_rank:
        raise ValueError(
            f"--init_from {folder}: that run has an adapter of rank {config.lora_rank}, which would get lost; give "
            f"--lora_rank {config.lora_rank}, or merge it first with scripts/export.py --to merged"
        )
    is_continued = config.train == "llm" and model.config.train == "llm"
    expected = config.llm_digest if config.train != "llm" or is_continued else config.tuned_llm_digest
    if model.config.llm_digest != expected:
        remedy = f"--base_llm {folder / LLM_FOLDER}" if config.train == "llm" else f"--base_llm {config.base_llm}"
        raise ValueError(
            f"--init_from {folder}: its projectors were trained before a language model with digest {expected}, but "
            f"--base_llm {model.config.base_llm} has {model.config.llm_digest}; give {remedy}"
        )


def _llm_weights(model: SkiModel, config: SkiLvlmConfig, folder: Path) -> dict[str, Tensor]:
    if config.lora_rank:
        of_llm = adapter.read_adapter(model.llm, folder / adapter.FOLDER)
    elif config.train == "llm" and model.config.train == "llm":
        of_llm = read_llm(folder / LLM_FOLDER)
    else:
        return {}
    return {f"{LLM}{name}": tensor for name, tensor in of_llm.items()}


def _check_projectors(model: SkiModel, config: SkiLvlmConfig, modalities: Sequence[str], folder: Path) -> None:
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (_described(config, name), _described(cast(SkiLvlmConfig, model.config), name)) for name in modalities
    ]
    if differences := [f"{old}, now {new}" for old, new in pairs if old != new]:
        raise ValueError(
            f"--init_from {folder}: that run's projectors are others ({'; '.join(differences)}); give the same "
            "--projector, --standardise and features"
        )


def _described(config: SkiLvlmConfig, modality: str) -> dict[str, Any]:
    width = {"width": config.token_widths[modality], "standardised": config.standardised}
    return {"modality": modality, **width, **config.projectors[modality]}
