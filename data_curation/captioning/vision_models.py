"""Vision-language models that caption on this machine: the paper's CogVLM, and any that transformers knows by itself.

They are loaded in a process of their own (`vision_worker.py`), CogVLM's in an environment of its own as well: its code,
on the Hugging Face hub, works with transformers up to 4.41 (zai-org/CogVLM issues 504, 517, 530), and
`scripts/cogvlm_environment.sh` installs that. So this file may import only what both environments have.

Paper: App. D (CogVLM: Vicuna-1.5-7B, EVA2-CLIP-E, 224x224). Assumption: greedy decoding, as LLAVIDAL does.
Deviation: cogvlm-chat-hf sees 490x490 pixels (image_size of its configuration). It resizes every crop to that itself,
so a crop of 224x224 is enlarged 2.2 times. Only cogvlm-base-224 sees 224x224, and it does not chat.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_curation.captioning.vision_protocol import Said

if TYPE_CHECKING:
    from PIL.Image import Image

COGVLM = "THUDM/cogvlm-chat-hf"
COGVLM_TOKENIZER = "lmsys/vicuna-7b-v1.5"
COGVLM_PICTURES = "crops resized to 490x490 by the model (the paper names 224x224)"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class Look(NamedTuple):
    """A loaded model. `at` answers a prompt about pictures in at most so many tokens; `commit` is the hub's."""

    at: Callable[[str, "list[Image]", int], Said]
    commit: str | None


def load_cogvlm(model_id: str, *, tokenizer_id: str, trust_remote_code: bool, revision: str | None) -> Look:
    """Load CogVLM, which answers about one picture at a time, on the first GPU there is.

    Raises:
        ValueError: remote code was not allowed, or its revision is not pinned to a commit.
        OSError: no such model.
        ImportError: a package that its code needs is missing.
    """
    check_trust(model_id, trust_remote_code=trust_remote_code, revision=revision)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device, dtype = _place()
    model = AutoModelForCausalLM.from_pretrained(
        model_id,
        revision=revision,
        trust_remote_code=True,
        use_safetensors=True,
        torch_dtype=dtype,  # transformers 4.41 knows no other name for it
        device_map=device,
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_id, use_fast=False, trust_remote_code=False)

    @torch.inference_mode()
    def at(prompt: str, pictures: "list[Image]", max_tokens: int) -> Said:
        asked = model.build_conversation_input_ids(tokenizer, query=prompt, history=[], images=pictures)
        inputs = {
            name: asked[name][None].to(model.device) for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        images = [[asked["images"][0].to(model.device, dtype)]]
        said = model.generate(**inputs, images=images, max_new_tokens=max_tokens, do_sample=False)
        return _said(said[0].tolist(), inputs["input_ids"].shape[1], model, tokenizer, max_tokens=max_tokens)

    return Look(at, _commit(model))


def load_image_text(model_id: str, *, trust_remote_code: bool, revision: str | None) -> Look:
    """Load any image-text-to-text model of transformers (LLaVA, Qwen2-VL, SmolVLM, ...) on the first GPU there is.

    The pictures come before the prompt, in one turn of the model's own chat template.

    Raises:
        ValueError: not such a model, no chat template, or it needs code that was not allowed or is not pinned.
        OSError: no such model.
        ImportError: a package that the model needs is missing, or transformers is older than 4.46.
    """
    if trust_remote_code:
        check_trust(model_id, trust_remote_code=True, revision=revision)
    import torch
    import transformers

    if not hasattr(transformers, "AutoModelForImageTextToText"):
        raise ImportError(
            f"hf: models need transformers 4.46 or newer, found {transformers.__version__} in {sys.executable}; run: "
            "python -m pip install transformers==5.23.0, or leave --captioner_python away"
        )
    device, dtype = _place()
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    processor = transformers.AutoProcessor.from_pretrained(model_id, **source)
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        model_id, **source, use_safetensors=True, dtype=dtype, device_map=device
    ).eval()

    # Others take it for an argument of the processor.
    without_thoughts = {"enable_thinking": False} if "enable_thinking" in str(processor.chat_template) else {}

    @torch.inference_mode()
    def at(prompt: str, pictures: "list[Image]", max_tokens: int) -> Said:
        content = [*({"type": "image", "image": picture} for picture in pictures), {"type": "text", "text": prompt}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **without_thoughts,
        ).to(model.device, dtype)
        said = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False, num_beams=1)
        length = inputs["input_ids"].shape[1]
        return _said(said[0].tolist(), length, model, processor.tokenizer, max_tokens=max_tokens)

    return Look(at, _commit(model))


def check_trust(model_id: str, *, trust_remote_code: bool, revision: str | None) -> None:
    """Refuse to run a stranger's code unless told to, and unless its version is fixed.

    A local folder needs no revision: its files are its version.

    Raises:
        ValueError: it is not allowed, or not pinned.
    """
    if not trust_remote_code:
        raise ValueError(
            f"{model_id} runs Python code from its repository; read it, then allow it with --trust_remote_code "
            "--revision COMMIT"
        )
    if not Path(model_id).is_dir() and not _COMMIT.fullmatch(revision or ""):
        raise ValueError(
            f"--revision is {revision!r}; expected the 40-digit commit of {model_id} whose code you read, because a "
            "branch can change under you"
        )


def _place() -> tuple[str | None, Any]:
    """The device to load on (None: where it is, on the CPU) and the precision."""
    import torch

    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else (None, torch.float32)


def _commit(model: Any) -> str | None:  # noqa: ANN401
    return getattr(model.config, "_commit_hash", None)


def _said(ids: list[int], prompt_tokens: int, model: Any, tokenizer: Any, *, max_tokens: int) -> Said:  # noqa: ANN401
    """The answer behind the prompt's tokens. It was cut if it is as long as allowed and does not end by itself."""
    from ski_lvlm.llm.answer_text import reply_text

    answer = ids[prompt_tokens:]
    stated = getattr(model.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])} - {None}
    cut = len(answer) >= max_tokens and answer[-1] not in ends
    return Said(reply_text(answer, tokenizer, ends), prompt_tokens, len(answer), cut)
