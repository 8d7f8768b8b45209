"""Captioners that look at pictures: CogVLM and other models on this machine, and models on a server."""

import io
from dataclasses import replace

from data_curation.captioning import local_models
from data_curation.captioning.captioner import MAX_TOKENS, Caption, Captioner, CaptionerSettings, CroppedClip
from data_curation.captioning.frame_choice import chosen_frames
from data_curation.captioning.local_models import LocalModel
from data_curation.captioning.sentences import whole_sentences
from data_curation.captioning.vision_models import COGVLM_PICTURES
from data_curation.ledger import Failed, Rejected
from data_curation.prompts import CAPTION_PROMPT, SEVERAL_FRAMES, prompt_hash
from ski_lvlm.llm.thoughts import without_thoughts
from ski_lvlm.servers.client import ChatRequest, Message
from ski_lvlm.videos.folder import VideoError


def open_cogvlm(name: str, settings: CaptionerSettings) -> Captioner:
    """Open the paper's captioner.

    Raises:
        ValueError: several pictures, or its code is not allowed or not pinned.
    """
    if settings.frames.isdigit():
        raise ValueError(
            f"cogvlm takes one picture, but --frames is {settings.frames}; use middle, motion or another model"
        )
    captioner = _with_model(local_models.open_cogvlm(settings.loading), settings.frames)
    return replace(captioner, note=COGVLM_PICTURES)


def open_local(name: str, settings: CaptionerSettings) -> Captioner:
    """Open `hf:MODEL`, any image-text-to-text model of transformers.

    Raises:
        ValueError: there is no such model, or its code is not allowed or not pinned.
    """
    return _with_model(local_models.open_image_text(name.removeprefix("hf:"), settings.loading), settings.frames)


def _with_model(model: LocalModel, frames: str) -> Captioner:
    def describe(clip: CroppedClip) -> Caption:
        pictures = _pictures(clip, frames)
        return _checked(Caption(*model.pool.ask(_prompt(len(pictures)), pictures, max_tokens=MAX_TOKENS)))

    return Captioner(model.name, _version(frames), describe, threads=len(model.pool), close=model.pool.close)


def open_on_server(name: str, settings: CaptionerSettings) -> Captioner:
    """Open `openai:MODEL` or `ollama:MODEL`, which `settings.asker` asks."""
    asker, frames = settings.asker, settings.frames
    assert asker, f"{name} needs an asker"

    def describe(clip: CroppedClip) -> Caption:
        pictures = _pictures(clip, frames)
        message = Message(_prompt(len(pictures)), images=tuple(pictures))
        reply = asker.ask(clip.name, ChatRequest([message], max_tokens=MAX_TOKENS))
        return _checked(Caption(reply.text, reply.prompt_tokens, reply.completion_tokens, reply.cut))

    pictures = int(frames) if frames.isdigit() else 1
    return Captioner(asker.model, _version(frames), describe, asker=asker, pictures=pictures)


def caption_probe() -> ChatRequest:
    """Return a question in the form of a caption request, which fails for models that take no pictures."""
    from PIL import Image

    png = io.BytesIO()
    Image.new("RGB", (64, 64), "gray").save(png, "PNG")
    return ChatRequest([Message("Say yes.", images=(png.getvalue(),))], max_tokens=MAX_TOKENS)


def _prompt(pictures: int) -> str:
    return CAPTION_PROMPT if pictures == 1 else SEVERAL_FRAMES.format(count=pictures) + CAPTION_PROMPT


def _version(frames: str) -> str:
    return prompt_hash(CAPTION_PROMPT, *() if frames == "middle" else (SEVERAL_FRAMES, frames))


def _pictures(clip: CroppedClip, frames: str) -> list[bytes]:
    try:
        return chosen_frames(clip.crop, frames)
    except VideoError as error:  # a crop that was damaged after it was made
        raise Failed(f"{error}; delete the crop to have it made again") from error


def _checked(caption: Caption) -> Caption:
    """Return the caption on one line, without thoughts and without a half sentence at its maximum length."""
    text = " ".join(without_thoughts(caption.text).split())
    cost = {"prompt_tokens": caption.prompt_tokens, "completion_tokens": caption.completion_tokens}
    if not text:
        raise Rejected("the captioner said nothing", **cost)
    if caption.cut and not (text := whole_sentences(text)):
        raise Rejected(f"the captioner did not end one sentence in {MAX_TOKENS} tokens", **cost)
    return caption._replace(text=text)
