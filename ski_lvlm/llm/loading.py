"""The frozen language model: any Hugging Face causal LM by hub id, local folder or GGUF file."""

import json
import logging
import struct
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import transformers
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ski_lvlm.encoders.offline import resolve_model
from ski_lvlm.llm.config import read_config
from ski_lvlm.llm.limits import check_vocabulary
from ski_lvlm.llm.shared_weights import SharedWeightsError, shared_weights
from ski_lvlm.parallel.partitioned import whole_models
from ski_lvlm.storage.digests import cache_folder, digest, remembered_digest
from ski_lvlm.storage.weight_files import check_weights, weights_explained

logger = logging.getLogger(__name__)


class Llm(NamedTuple):
    """A frozen causal LM and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def native_bf16() -> bool:
    """Return whether bf16 is fast here: on any GPU, and on a CPU that multiplies bf16 natively."""
    if torch.cuda.is_available():
        return True
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and bool({"avx512_bf16", "amx_bf16"} & set(cpuinfo.read_text().split()))


def load_llm(model_id: str, *, dtype: torch.dtype | Literal["auto"] = torch.float32) -> Llm:
    """Load and freeze an LLM: Vicuna, Llama, Qwen, SmolLM2 or any other causal LM. "auto" is the files' precision.

    A GGUF file is dequantised once and cached as safetensors (in `SKI_CACHE`, default ~/.cache/ski_lvlm). So are fp16
    weights that several processes need in bf16, of which they then share one copy (`shared_weights`).

    A tokenizer without a pad token, or with one that the model has no row for, pads with its end-of-text token, which
    the attention mask hides.

    Raises:
        ValueError: nothing loadable at `model_id`, or a tokenizer with words that the model has no rows for.
    """
    transformers.utils.logging.disable_progress_bar()
    path = model_path(model_id)
    with weights_explained(path):
        try:
            tokenizer = AutoTokenizer.from_pretrained(path)
            path = shared_weights(path, dtype)
            model = AutoModelForCausalLM.from_pretrained(path, config=read_config(path), dtype=dtype)
        except SharedWeightsError:
            raise
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"no language model could be loaded from {model_id!r}: {str(error).splitlines()[0]}; expected a "
                "Hugging Face hub id, a folder with config.json and weights, a .gguf file, or the offline name smollm2"
            ) from error
    check_vocabulary(model, tokenizer, model_id)
    return Llm(model.requires_grad_(False).eval(), tokenizer)


def model_path(model_id: str) -> str:
    """Return the hub id or folder that transformers loads for an LLM. A GGUF file is dequantised first.

    Raises:
        ValueError: the GGUF file does not exist, or is damaged.
    """
    path = resolve_model(model_id)
    return _dequantised(Path(path)) if path.endswith(".gguf") else path


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash of the tokenizer's rules and of the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend else sorted(tokenizer.get_vocab().items())
    if isinstance(rules, dict):  # how the last batch was padded and cut is no part of it
        rules |= {"padding": None, "truncation": None}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return digest(json.dumps([rules, special, tokenizer.chat_template]))


def _dequantised(gguf: Path) -> str:
    if not gguf.exists():
        raise ValueError(f"{gguf}: no such GGUF file; expected an existing path or the offline name smollm2")
    check_weights(gguf)
    cache = cache_folder()
    folder = cache / f"{gguf.stem}-{remembered_digest(gguf)}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):  # the ranks of one run must not write it twice
        if not (folder / "complete.json").exists():
            logger.warning("dequantising %s into %s (once)", gguf.name, folder)
            try:
                with whole_models():
                    _dequantise(gguf, folder)
            except (ValueError, LookupError, OverflowError, struct.error) as error:
                raise ValueError(
                    f"{gguf}: cannot be read ({error}); it is cut off or damaged: fetch it again"
                ) from error
    return str(folder)


def _dequantise(gguf: Path, folder: Path) -> None:
    from transformers import GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(
        **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
    (folder / "complete.json").write_text(json.dumps({"source": gguf.name}))
