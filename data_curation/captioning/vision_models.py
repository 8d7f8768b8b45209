"""Vision-language models that caption on this machine: the paper's CogVLM, and models that transformers supports.

They run in their own process (`vision_worker.py`), and CogVLM in its own environment: its code on the Hugging Face hub
works with transformers up to 4.41 (zai-org/CogVLM issues 504, 517, 530), which `scripts/cogvlm_environment.sh`
installs. So this file may import only packages of both environments.

Paper: App. D (CogVLM: Vicuna-1.5-7B, EVA2-CLIP-E, 224x224). Assumption: greedy decoding, as LLAVIDAL does.
Deviation: cogvlm-chat-hf sees 490x490 pixels (image_size of its configuration). It resizes every crop to that size, so
a crop of 224x224 is enlarged 2.2 times. Only cogvlm-base-224 sees 224x224, and it does not chat.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from data_curation.captioning.vision_protocol import VlmAnswer

if TYPE_CHECKING:
    from PIL.Image import Image

COGVLM = "THUDM/cogvlm-chat-hf"
COGVLM_TOKENIZER = "lmsys/vicuna-7b-v1.5"
COGVLM_PICTURES = "crops resized to 490x490 by the model (the paper names 224x224)"
_COMMIT = re.compile(r"[0-9a-f]{40}")


class LoadedVlm(NamedTuple):
    """A loaded model.

    `describe` answers a prompt about pictures in at most so many tokens. `commit` is the version on the hub.
    """

    describe: Callable[[str, "list[Image]", int], VlmAnswer]
    commit: str | None


def load_cogvlm(model_id: str, *, tokenizer_id: str, trust_remote_code: bool, revision: str | None) -> LoadedVlm:
    """Load CogVLM, which takes one picture at a time, on the first GPU or the CPU.

    Raises:
        ValueError: remote code was not allowed, or its revision is not pinned to a commit.
    """
    check_trust(model_id, trust_remote_code=trust_remote_code, revision=revision)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device, dtype = _device_and_dtype()
    model = AutoModelForCausalLM.from_pretrained(
        model_id,
        revision=revision,
        trust_remote_code=True,
        use_safetensors=True,
        torch_dtype=dtype,  # the only name in transformers 4.41
        device_map=device,
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_id, use_fast=False, trust_remote_code=False)

    @torch.inference_mode()
    def describe(prompt: str, pictures: "list[Image]", max_tokens: int) -> VlmAnswer:
        sample = model.build_conversation_input_ids(tokenizer, query=prompt, history=[], images=pictures)
        names = ("input_ids", "token_type_ids", "attention_mask")
        inputs = {name: sample[name][None].to(model.device) for name in names}
        images = [[sample["images"][0].to(model.device, dtype)]]
        ids = model.generate(**inputs, images=images, max_new_tokens=max_tokens, do_sample=False)
        return _answer(ids[0].tolist(), inputs["input_ids"].shape[1], model, tokenizer, max_tokens=max_tokens)

    return LoadedVlm(describe, _commit(model))


def load_image_text(model_id: str, *, trust_remote_code: bool, revision: str | None) -> LoadedVlm:
    """Load an image-text-to-text model of transformers (LLaVA, Qwen2-VL, ...) on the first GPU or the CPU.

    The pictures come before the prompt, in one turn of the model's own chat template.

    Raises:
        ValueError: another kind of model, no chat template, or it needs code that was not allowed or is not pinned.
        ImportError: transformers is older than 4.46.
    """
    if trust_remote_code:
        check_trust(model_id, trust_remote_code=True, revision=revision)
    import torch
    import transformers

    if not hasattr(transformers, "AutoModelForImageTextToText"):
        raise ImportError(
            f"hf: models need transformers 4.46 or newer, found {transformers.__version__} in {sys.executable}; run: "
            "python -m pip install transformers==5.23.0, or omit --captioner_python"
        )
    device, dtype = _device_and_dtype()
    source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    processor = transformers.AutoProcessor.from_pretrained(model_id, **source)
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        model_id, **source, use_safetensors=True, dtype=dtype, device_map=device
    ).eval()

    # Templates without the switch would take it for an argument of the processor.
    without_thoughts = {"enable_thinking": False} if "enable_thinking" in str(processor.chat_template) else {}

    @torch.inference_mode()
    def describe(prompt: str, pictures: "list[Image]", max_tokens: int) -> VlmAnswer:
        content = [*({"type": "image", "image": picture} for picture in pictures), {"type": "text", "text": prompt}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **without_thoughts,
        ).to(model.device, dtype)
        ids = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False, num_beams=1)
        length = inputs["input_ids"].shape[1]
        return _answer(ids[0].tolist(), length, model, processor.tokenizer, max_tokens=max_tokens)

    return LoadedVlm(describe, _commit(model))


def check_trust(model_id: str, *, trust_remote_code: bool, revision: str | None) -> None:
    """Refuse remote code that is not allowed, or not pinned to a commit. A local folder needs no commit.

    Raises:
        ValueError: it is refused.
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


def _device_and_dtype() -> tuple[str | None, Any]:
    """Return the device to load on, None for the CPU, and the precision."""
    import torch

    return ("cuda", torch.bfloat16) if torch.cuda.is_available() else (None, torch.float32)


def _commit(model: Any) -> str | None:  # noqa: ANN401
    return getattr(model.config, "_commit_hash", None)


def _answer(ids: list[int], prompt_tokens: int, model: Any, tokenizer: Any, *, max_tokens: int) -> VlmAnswer:  # noqa: ANN401
    """Return the answer after the prompt's tokens. It was cut if it has maximum length and no end token."""
    from ski_lvlm.llm.answer_text import reply_text

    answer = ids[prompt_tokens:]
    eos = getattr(model.generation_config, "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
    cut = len(answer) >= max_tokens and answer[-1] not in ends
    return VlmAnswer(reply_text(answer, tokenizer, ends), prompt_tokens, len(answer), cut)
