"""Prompts of a video LLM for a question without a video."""

from typing import Any

import torch

from ski_lvlm.video_llm.answering import Prompting
from ski_lvlm.video_llm.frames import VideoFrames
from ski_lvlm.video_llm.prompting import Inputs, checked_question

NO_VIDEO = VideoFrames(torch.zeros(0, 3, 1, 1, dtype=torch.uint8), [], 0, 1.0)
"""A video of no frames."""


class TextPrompting:
    """Prompts of the question alone, in the template of the processor that another prompting uses."""

    def __init__(self, prompting: Prompting) -> None:
        self._prompting = prompting
        self.processor, self.tokenizer = prompting.processor, prompting.tokenizer
        self.template, self.end_ids, self.prompt = prompting.template, prompting.end_ids, prompting.prompt

    def inputs(self, question: str, video: VideoFrames) -> Inputs:
        """Return the model's inputs for a question, for a batch of one. The frames are left out.

        Raises:
            ValueError: the question is empty, or holds a mark of the model's own.
        """
        content = [{"type": "text", "text": checked_question(question, self.template.marks)}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        bos = self.tokenizer.bos_token
        settings: dict[str, Any] = {"add_special_tokens": False} if bos and text.startswith(bos) else {}
        outputs = self.tokenizer(text, return_tensors="pt", **settings)
        return {name: outputs[name] for name in ("input_ids", "attention_mask")}

    def problem(self, length: int) -> str | None:
        """Return the reason why a prompt of so many tokens leaves no room for an answer, None where it does."""
        return self._prompting.problem(length)

    def room(self, length: int, max_new_tokens: int) -> int:
        """Return the maximum length of an answer behind a prompt of this length."""
        return self._prompting.room(length, max_new_tokens)
