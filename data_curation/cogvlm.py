"""The paper's captioner: CogVLM (Vicuna-1.5-7B, EVA2-CLIP-E, 224x224), through its own code on the Hugging Face hub.

That code works with transformers up to 4.41 (zai-org/CogVLM issues 504, 517, 530); with later ones run it in an
environment of its own, or serve a vision-language model and use `--captioner openai:MODEL --base_url URL`.

Paper: App. D. Assumption: greedy decoding of at most 256 tokens, as LLAVIDAL does.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from data_curation.prompts import CAPTION_PROMPT

if TYPE_CHECKING:
    from PIL.Image import Image

MODEL = "THUDM/cogvlm-chat-hf"
TOKENIZER = "lmsys/vicuna-7b-v1.5"
MAX_NEW_TOKENS = 256
_COMMIT = re.compile(r"[0-9a-f]{40}")

Describe = Callable[["Image"], tuple[str, int, int]]


def load_cogvlm(model_id: str, *, tokenizer_id: str, trust_remote_code: bool, revision: str | None) -> Describe:
    """Load CogVLM, sharded over the GPUs there are, and return the function that captions a picture.

    The function returns the caption and how many tokens went in and came out.

    Raises:
        ValueError: remote code was not allowed, or its revision is not pinned to a commit.
    """
    check_trust(model_id, trust_remote_code=trust_remote_code, revision=revision)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if on_gpu else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        model_id,
        revision=revision,
        trust_remote_code=True,
        torch_dtype=dtype,
        device_map="auto" if on_gpu else None,
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_id, use_fast=False)

    @torch.inference_mode()
    def describe(picture: "Image") -> tuple[str, int, int]:
        asked = model.build_conversation_input_ids(tokenizer, query=CAPTION_PROMPT, history=[], images=[picture])
        inputs = {
            name: asked[name][None].to(model.device) for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        images = [[asked["images"][0].to(model.device, dtype)]]
        said = model.generate(**inputs, images=images, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answer = said[0, inputs["input_ids"].shape[1] :]
        text = str(tokenizer.decode(answer, skip_special_tokens=True))
        return text, inputs["input_ids"].shape[1], len(answer)

    return describe


def check_trust(model_id: str, *, trust_remote_code: bool, revision: str | None) -> None:
    """Refuse to run a stranger's code unless told to, and unless its version is fixed.

    A local folder needs no revision: its files are its version.
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
