"""Captioners behind one interface: `kinematics` (offline), `cogvlm`, `hf:MODEL`, and models on a server."""

import inspect
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from jaxtyping import Float

from data_curation import action_phrases
from data_curation.captioning import kinematics, local_captioner, measured_motion
from data_curation.captioning.frame_choice import chosen_frames, frames_choice
from data_curation.captioning.local_captioner import LocalModel
from data_curation.captioning.sentences import whole_sentences
from data_curation.captioning.vision_models import COGVLM_PICTURES
from data_curation.captioning.vision_pool import Loading
from data_curation.ledger import Failed, Rejected
from data_curation.prompts import CAPTION_PROMPT, SEVERAL_FRAMES, prompt_hash
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.llm.thoughts import without_thoughts
from ski_lvlm.servers.client import ChatRequest, Message
from ski_lvlm.videos.folder import VideoError

if TYPE_CHECKING:
    from data_curation.asking.asker import Asker

MAX_TOKENS = 256  # Assumption: as LLAVIDAL; the paper does not say


@dataclass(frozen=True)
class Cropped:
    """A clip that is ready to be described; its skeleton is read only if asked for."""

    name: str
    crop: Path
    joints: Callable[[], Float[np.ndarray, "T M J 3"]]


class Captioned(NamedTuple):
    """A caption, and the tokens it cost (0 where no language model was asked).

    `cut` says that the model ran into `MAX_TOKENS`, so that the text ends with its last whole sentence.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Captioner:
    """Describes clips, until it is closed; a context manager that closes itself.

    `model` and `version` say who does it and how it was told to; `threads` how many clips at a time. `asker` is who is
    asked where that costs money, about so many `pictures` a clip. `measures` says that it reads joints.
    `note` is what the data set's card says of its pictures.
    """

    model: str
    version: str
    describe: Callable[[Cropped], Captioned]
    threads: int | None = None  # as many as there are workers
    asker: "Asker | None" = None
    pictures: int = 1
    measures: bool = False
    note: str = ""
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def load_captioner(
    name: str,
    *,
    asker: "Asker | None" = None,
    trust_remote_code: bool = False,
    revision: str | None = None,
    frames: str = "middle",
    captioner_python: str | None = None,
) -> Captioner:
    """The captioner called `kinematics`, `cogvlm`, `hf:MODEL`, `openai:MODEL` or `ollama:MODEL`, ready to work.

    Args:
        name: which.
        asker: asks the model on the server; for `openai:` and `ollama:`.
        trust_remote_code: let the model's repository run its code; for `cogvlm` and `hf:`, as are the next ones.
        revision: commit of that repository.
        frames: which pictures are described, as in `frames_choice`; `kinematics` looks at none.
        captioner_python: the Python that the model runs in; default: this one.

    Raises:
        ValueError: no such captioner, or it cannot be used (remote code not allowed, more pictures than it takes).
    """
    choice = frames_choice(frames)
    loading = Loading(trust_remote_code, revision, captioner_python or sys.executable)
    if name == "kinematics":
        rules = (action_phrases, kinematics, measured_motion)  # its instructions are its code
        return Captioner(name, prompt_hash(*map(inspect.getsource, rules)), _from_kinematics, measures=True)
    if name == "cogvlm":
        if choice.isdigit():
            raise ValueError(f"cogvlm takes one picture, but --frames is {frames}; use middle, motion or another model")
        return replace(_from_here(local_captioner.open_cogvlm(loading), choice), note=COGVLM_PICTURES)
    if name.startswith("hf:") and name != "hf:":
        return _from_here(local_captioner.open_image_text(name.removeprefix("hf:"), loading), choice)
    if name.startswith(("openai:", "ollama:")):
        assert asker, f"nobody to ask {name}"
        return _from_server(asker, choice)
    raise ValueError(f"unknown captioner {name!r}; expected kinematics, cogvlm, hf:MODEL, openai:MODEL or ollama:MODEL")


def _from_kinematics(clip: Cropped) -> Captioned:
    joints = clip.joints()
    try:
        return Captioned(kinematics.caption(clip.name, action=parse_name(clip.name).action, joints=joints))
    except ValueError as error:
        raise Rejected(str(error)) from error


def _from_here(model: LocalModel, choice: str) -> Captioner:
    def describe(clip: Cropped) -> Captioned:
        pictures = _pictures(clip, choice)
        return _checked(Captioned(*model.pool.ask(_prompt(len(pictures)), pictures, max_tokens=MAX_TOKENS)))

    return Captioner(model.name, _version(choice), describe, threads=len(model.pool), close=model.pool.close)


def _from_server(asker: "Asker", choice: str) -> Captioner:
    def describe(clip: Cropped) -> Captioned:
        pictures = _pictures(clip, choice)
        message = Message(_prompt(len(pictures)), images=tuple(pictures))
        reply = asker.ask(clip.name, ChatRequest([message], max_tokens=MAX_TOKENS))
        return _checked(Captioned(reply.text, reply.prompt_tokens, reply.completion_tokens, reply.cut))

    pictures = int(choice) if choice.isdigit() else 1
    return Captioner(asker.model, _version(choice), describe, asker=asker, pictures=pictures)


def caption_probe() -> ChatRequest:
    """Return a question of the shape of a request for a caption, which fails where a model takes no pictures."""
    from PIL import Image

    png = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(png, "PNG")
    return ChatRequest([Message("Say yes.", images=(png.getvalue(),))], max_tokens=MAX_TOKENS)


def _prompt(pictures: int) -> str:
    return CAPTION_PROMPT if pictures == 1 else SEVERAL_FRAMES.format(count=pictures) + CAPTION_PROMPT


def _version(choice: str) -> str:
    """What captions are made with: another choice of frames makes them anew."""
    return prompt_hash(CAPTION_PROMPT, *() if choice == "middle" else (SEVERAL_FRAMES, choice))


def _pictures(clip: Cropped, choice: str) -> list[bytes]:
    try:
        return chosen_frames(clip.crop, choice)
    except VideoError as error:  # a crop that was damaged since it was made
        raise Failed(f"{error}; delete the crop to have it made again") from error


def _checked(said: Captioned) -> Captioned:
    """The caption on one line, without thoughts and without the half sentence of a model that ran into its limit."""
    text = " ".join(without_thoughts(said.text).split())
    cost = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
    if not text:
        raise Rejected("the captioner said nothing", **cost)
    if said.cut and not (text := whole_sentences(text)):
        raise Rejected(f"the captioner did not end one sentence in {MAX_TOKENS} tokens", **cost)
    return said._replace(text=text)
