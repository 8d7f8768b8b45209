"""The chat template of a video LLM, with a video before the first question."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.chat_template import ChatTemplate, Frame, marks_of


class VideoChatTemplate(ChatTemplate):
    """The template of a processor, rendered as transformers does for a conversation about one video.

    The video is the first part of the first question, as the authors of these models put it.
    """

    def __init__(self, processor: Any) -> None:  # noqa: ANN401
        tokenizer: PreTrainedTokenizerBase = processor.tokenizer
        super().__init__(tokenizer)
        self._processor = processor
        self.marks = marks_of(tokenizer, processor.chat_template or "")

    def frame(self, turns: Sequence[Turn]) -> Frame:
        """Lay out turns up to the point where the answer begins, which is always the template's own opening of one.

        So a prompt is to the letter that of transformers, and answers are trained where they will be generated.
        """
        return super().frame(turns)._replace(texts=self._in_order(turns, opened=True), lead="")

    def _render_messages(self, messages: list[dict[str, Any]], *, opened: bool) -> str:
        first = next((k for k, message in enumerate(messages) if message["role"] == "user"), 0)
        with_video = []
        for k, message in enumerate(messages):
            content = message["content"]
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
            with_video.append({**message, "content": [{"type": "video"}] * (k == first) + parts})
        return str(self._processor.apply_chat_template(with_video, add_generation_prompt=opened))
