"""Models with an adapter to hand on: merged into the language model, or without anything but what was trained."""

import shutil
from pathlib import Path

import torch
from transformers import PretrainedConfig, PreTrainedModel

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.loading import Llm, load_llm
from ski_lvlm.llm.quantisation import round_to_4bit
from ski_lvlm.lvlm import adapter
from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.model_folder import LLM_FOLDER, WEIGHTS, check_frozen_part, write_llm


def write_merged(folder: Path, out: Path, *, dtype: torch.dtype | None = None) -> torch.dtype:
    """Write the SKI-LVLM in `folder` to `out` with its adapter merged, and return the precision of its language model.

    `out`/llm is a plain language model of transformers. Its weights are merged in fp32 and written in `dtype`, by
    default that of the base. Where training held the base in 4 bits, its values are those of the 4 bits.

    Raises:
        ValueError: no adapter in `folder`, or a language model with other weights than in training.
    """
    config = _checked_config(folder, out)
    if (kind := PretrainedConfig.get_config_dict(folder)[0]["model_type"]) != SkiLvlmConfig.model_type:
        raise ValueError(
            f"{folder}: found a {kind} model, trained with --base_vlm, expected a {SkiLvlmConfig.model_type}; its "
            "adapter is used beside the base: give --to adapter"
        )
    llm, stored = _merged(config, folder)
    precision = dtype or stored
    model = llm.model.to(precision)  # type: ignore[arg-type]
    write_llm(model, llm.tokenizer, out / LLM_FOLDER, state=model.state_dict())
    config.llm_digest, config.llm_folder = weights_digest(model), LLM_FOLDER
    config.lora_rank, config.load_in_4bit = 0, False
    config.save_pretrained(out)
    shutil.copyfile(folder / WEIGHTS, out / WEIGHTS)
    return precision


def write_adapter(folder: Path, out: Path) -> str:
    """Copy projectors, adapter and config.json from `folder` to `out`, and return the name of the base.

    The adapter is in the format of peft. Checkpoints and logs of the training stay behind.

    Raises:
        ValueError: no adapter in `folder`, or a model in `out`.
    """
    config = _checked_config(folder, out)
    shutil.copytree(folder / adapter.FOLDER, out / adapter.FOLDER)
    for name in ("config.json", WEIGHTS):
        shutil.copyfile(folder / name, out / name)
    return str(config.base_llm)


def _checked_config(folder: Path, out: Path) -> SkiLvlmConfig:
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder}: no {WEIGHTS}; expected the --output_dir of a finished train_ski_lvlm.py")
    config = SkiLvlmConfig.from_pretrained(folder)
    if not config.lora_rank:
        raise ValueError(f"{folder}: found no adapter, expected a model trained with --lora_rank; use it as it is")
    if (out / WEIGHTS).exists():
        raise ValueError(f"{out}: holds a model already; choose another --out")
    return config


def _merged(config: SkiLvlmConfig, folder: Path) -> tuple[Llm, torch.dtype]:
    from peft import PeftModel

    name = str(folder / config.llm_folder) if config.llm_folder else config.base_llm
    llm = load_llm(name, dtype="auto")
    check_frozen_part("language model", name, digest=weights_digest(llm.model), expected=config.llm_digest)
    stored, model = llm.model.dtype, llm.model.float()
    if config.load_in_4bit:
        round_to_4bit(model)
    tuned = PeftModel.from_pretrained(model, str(folder / adapter.FOLDER))
    merged: PreTrainedModel = tuned.merge_and_unload(safe_merge=True)
    return Llm(merged, llm.tokenizer), stored
