"""The language model of a SKI-LVLM as other programs load it: a hub id, or a folder in transformers' own layout."""

import json
from pathlib import Path

from filelock import FileLock
from transformers import PretrainedConfig

from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.llm.loading import model_path
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.model_folder import write_llm
from ski_lvlm.storage.digests import cache_folder


def plain_llm(model: SkiLvlm, folder: Path | None = None) -> str:
    """Return the hub id or folder from which another program loads the language model of `model`.

    A checkpoint of LLaVA's first generation is a Llama under another model type. It is written once as a plain one,
    with the weights of `model`, into `SKI_CACHE`.

    Args:
        model: the SKI-LVLM.
        folder: from which it was loaded, where its own language model may lie. None for one without a folder.

    Raises:
        ValueError: no plain weights give the answers of the model, since it has an adapter or was trained in 4 bits.
    """
    config = model.config
    if config.lora_rank or config.load_in_4bit:
        reason = "an adapter" if config.lora_rank else "weights of 4 bits"
        raise ValueError(
            f"{folder}: found a language model with {reason}, expected a plain one; write one with "
            f"scripts/export.py --model {folder} --to merged --out DIR and use DIR, or use transformers (--engine hf)"
        )
    path = str(folder / config.llm_folder) if folder and config.llm_folder else model_path(config.base_llm)
    stored, _ = PretrainedConfig.get_config_dict(path)
    if stored.get("model_type") == model.llm.config.model_type:
        return path
    dtype = str(model.llm.dtype).removeprefix("torch.")
    plain = cache_folder() / f"{model.llm.config.model_type}-{weights_digest(model.llm)}-{dtype}"
    plain.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{plain}.lock"):  # shards must not write it twice
        if not (plain / "complete.json").exists():
            write_llm(model.llm, model.tokenizer, plain, state=model.llm.state_dict())
            (plain / "complete.json").write_text(json.dumps({"source": config.base_llm}))
    return str(plain)
