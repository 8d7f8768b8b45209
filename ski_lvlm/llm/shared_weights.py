"""One copy of a language model in the memory of a machine, whatever the number of its processes.

Weights in bf16 safetensors are mapped, so that all processes share them. Weights of another type, as the fp16 `.bin`
files of older checkpoints, are cast, and each process holds a copy of its own. Here they are cast once, into a folder
that all can map.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Literal

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import (
    GENERATION_CONFIG_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    cached_file,
)
from transformers.utils.hub import get_checkpoint_shard_files

from ski_lvlm.llm.config import read_config
from ski_lvlm.parallel.partitioned import whole_models
from ski_lvlm.storage.digests import cache_folder, digest

logger = logging.getLogger(__name__)
_OTHER_SHARE = 0.1  # of the bytes, which may be of another type, such as routers in fp32
_SMALL = 1 << 26  # bytes of weights whose copies cost nothing
_MARGIN = 1 << 28  # bytes of disk that stay free


class SharedWeightsError(ValueError):
    """A conversion that could not be written."""


def shared_weights(path: str, dtype: torch.dtype | Literal["auto"]) -> str:
    """Return a folder or hub id with the same weights, such that processes that load them as `dtype` share them.

    Where several processes train together, weights of another type are converted to bf16 once, under a lock, in
    `SKI_CACHE` (default ~/.cache/ski_lvlm). A process alone uses the folder if it is there. After a kill the conversion
    begins anew.

    Raises:
        SharedWeightsError: no room for the converted weights.
        OSError: no weights at `path`.
    """
    if dtype != torch.bfloat16:
        return path
    files = weight_files(path)
    if sum(file.stat().st_size for file in files) < _SMALL or is_shareable(files):
        return path
    folder = cache_folder() / f"bf16-{Path(path).name}-{_state(path, files)}"
    if folder.is_dir():
        return str(folder)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return path
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # the first process converts, the others wait
        if not folder.is_dir():
            _convert(path, files, folder)
    return str(folder)


def weight_files(path: str) -> list[Path]:
    """Return the files with the weights that transformers would load, and fetch them if need be.

    Raises:
        OSError: there are none.
    """
    for name, index in ((SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME), (WEIGHTS_NAME, WEIGHTS_INDEX_NAME)):
        if file := cached_file(path, name, _raise_exceptions_for_missing_entries=False):
            return [Path(file)]
        if file := cached_file(path, index, _raise_exceptions_for_missing_entries=False):
            return [Path(shard) for shard in get_checkpoint_shard_files(path, file)[0]]
    raise OSError(f"{path}: no {SAFE_WEIGHTS_NAME} and no {WEIGHTS_NAME}")


def is_shareable(files: list[Path]) -> bool:
    """Return whether these files hold bf16 weights that a process maps as they are."""
    if any(file.suffix != ".safetensors" for file in files):
        return False
    sizes = {"BF16": 0, "other": 0}
    for file in files:
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118 (no dict)
                tensor = weights.get_slice(name)
                kind = tensor.get_dtype()
                sizes[kind if kind == "BF16" else "other"] += torch.Size(tensor.get_shape()).numel()
    return sizes["other"] <= _OTHER_SHARE * sum(sizes.values())


def _state(path: str, files: list[Path]) -> str:
    """Return a hash of what the weights depend on, without reading them."""
    stats = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return digest(json.dumps([stats, read_config(path).to_dict()], default=str))


def _convert(path: str, files: list[Path], folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a kill left
    size, room = sum(file.stat().st_size for file in files) + _MARGIN, shutil.disk_usage(folder.parent).free
    remedy = f"make room, or let SKI_CACHE name a folder with room (now {folder.parent})"
    if room < size:
        raise SharedWeightsError(
            f"{path}: found {room / 1e9:.1f} GB of free disk, expected {size / 1e9:.1f} GB for a copy in bf16 that "
            f"all processes share; {remedy}"
        )
    logger.warning("converting %s to bf16 in %s (once)", path, folder)
    with whole_models():
        model = AutoModelForCausalLM.from_pretrained(path, config=read_config(path), dtype=torch.bfloat16)
    model.generation_config = GenerationConfig()  # some old ones cannot be saved
    try:
        model.save_pretrained(partial)
        (partial / GENERATION_CONFIG_NAME).unlink(missing_ok=True)
        if generation := cached_file(path, GENERATION_CONFIG_NAME, _raise_exceptions_for_missing_entries=False):
            shutil.copyfile(generation, partial / GENERATION_CONFIG_NAME)
        partial.replace(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise SharedWeightsError(f"{path}: its copy in bf16 could not be written ({error}); {remedy}") from error
