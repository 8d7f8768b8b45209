"""Captioners behind one interface: `kinematics` (offline), `cogvlm`, and any vision-language model on a server."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from data_curation import action_phrases, kinematics, measured_motion
from data_curation.asking import one_clip
from data_curation.crop import middle_frame
from data_curation.ledger import Rejected
from data_curation.prompts import CAPTION_PROMPT, prompt_hash
from ski_lvlm.chat_client import ChatClient, Message
from ski_lvlm.ntu import parse_name

MAX_TOKENS = 256


@dataclass(frozen=True)
class Cropped:
    """A clip that is ready to be described; its skeleton is read only if asked for."""

    name: str
    crop: Path
    joints: Callable[[], Float[np.ndarray, "T M J 3"]]


class Captioned(NamedTuple):
    """A caption, and the tokens it cost (0 where no language model was asked)."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Captioner:
    """Describes clips. `model` and `version` say who did it and how it was told to; `threads` how many at a time."""

    model: str
    version: str
    describe: Callable[[Cropped], Captioned]
    threads: int | None = None  # as many as there are workers


def load_captioner(
    name: str, *, base_url: str | None = None, trust_remote_code: bool = False, revision: str | None = None
) -> Captioner:
    """The captioner called `kinematics`, `cogvlm`, `openai:MODEL` or `ollama:MODEL`, ready to work.

    Raises:
        ValueError: no such captioner, or it cannot be used (remote code not allowed, server not running).
    """
    if name == "kinematics":
        rules = (action_phrases, kinematics, measured_motion)  # its instructions are its code
        return Captioner(name, prompt_hash(*map(inspect.getsource, rules)), _from_kinematics)
    if name == "cogvlm":
        from data_curation import cogvlm

        look = cogvlm.load_cogvlm(
            cogvlm.MODEL, tokenizer_id=cogvlm.TOKENIZER, trust_remote_code=trust_remote_code, revision=revision
        )
        return Captioner(f"{cogvlm.MODEL}@{revision}", prompt_hash(CAPTION_PROMPT), _by(look), threads=1)
    if name.startswith(("openai:", "ollama:")):
        client = ChatClient(name, base_url=base_url)
        client.ping()
        return Captioner(client.name, prompt_hash(CAPTION_PROMPT), lambda clip: _ask(client, clip))
    raise ValueError(f"unknown captioner {name!r}; expected kinematics, cogvlm, openai:MODEL or ollama:MODEL")


def _from_kinematics(clip: Cropped) -> Captioned:
    try:
        return Captioned(kinematics.caption(clip.name, action=parse_name(clip.name).action, joints=clip.joints()))
    except ValueError as error:
        raise Rejected(str(error)) from error


def _by(look: Callable) -> Callable[[Cropped], Captioned]:
    def describe(clip: Cropped) -> Captioned:
        from PIL import Image

        with Image.open(BytesIO(middle_frame(clip.crop))) as picture:
            return _checked(Captioned(*look(picture.convert("RGB"))))

    return describe


def _ask(client: ChatClient, clip: Cropped) -> Captioned:
    message = Message(CAPTION_PROMPT, images=(middle_frame(clip.crop),))
    with one_clip(client):
        reply = client.chat([message], max_tokens=MAX_TOKENS)
    return _checked(Captioned(reply.text, reply.prompt_tokens, reply.completion_tokens))


def _checked(said: Captioned) -> Captioned:
    text = " ".join(said.text.split())
    if not text:
        raise Rejected("the captioner said nothing")
    return said._replace(text=text)
