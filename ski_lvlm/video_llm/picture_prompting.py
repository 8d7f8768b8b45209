"""Prompts for models of pictures and text that know no videos: the frames of a video as several pictures."""

from typing import Any

import torch
from einops import rearrange

from ski_lvlm.llm.limits import context_of
from ski_lvlm.video_llm.chat_template import VideoChatTemplate
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.loading import VideoLlm
from ski_lvlm.video_llm.prompting import Inputs, checked_question, context_problem


class PicturePrompting:
    """Prompts that show the frames one after the other, before the question."""

    def __init__(self, base: VideoLlm) -> None:
        self.processor = base.processor
        self.tokenizer = base.processor.tokenizer
        self.context = context_of(base.model.config, self.tokenizer)
        self.prompt = [str(base.processor.chat_template)]
        self.template = _PictureTemplate(base.processor)
        generation: Any = base.model.generation_config
        self.end_ids = self.template.end_ids(generation.eos_token_id)

    def inputs(self, question: str, video: VideoFrames) -> Inputs:
        """Return the model's inputs for a question about a video, as its processor makes them, for a batch of one.

        Raises:
            ValueError: the question is empty, or holds a mark of the model's own.
        """
        text = checked_question(question, self.template.marks)
        content = [*[{"type": "image"}] * len(video.pixels), {"type": "text", "text": text}]
        prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        settings: dict[str, Any] = {}
        if self.tokenizer.bos_token and prompt.startswith(self.tokenizer.bos_token):
            settings["add_special_tokens"] = False  # as in transformers' own apply_chat_template
        pictures = list(rearrange(video.pixels, "t c h w -> t h w c").numpy())
        outputs = self.processor(text=[prompt], images=[pictures], return_tensors="pt", **settings)
        return {name: torch.as_tensor(value) for name, value in outputs.items()}

    def problem(self, length: int) -> str | None:
        """Return the reason why a prompt of so many tokens leaves no room for an answer, None where it does."""
        return context_problem(self.context, length)

    def room(self, length: int, max_new_tokens: int) -> int:
        """Return the maximum length of an answer behind a prompt of this length."""
        return max_new_tokens if self.context is None else min(max_new_tokens, self.context.tokens - length)


class _PictureTemplate(VideoChatTemplate):
    """The template of a processor without pictures, for answers and the tokens that end them."""

    def _render_messages(self, messages: list[dict[str, Any]], *, opened: bool) -> str:
        parts = [{**m, "content": [{"type": "text", "text": str(m["content"])}]} for m in messages]
        return str(self._processor.apply_chat_template(parts, add_generation_prompt=opened))
