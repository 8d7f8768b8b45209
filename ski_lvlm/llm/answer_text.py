"""Text of an answer from the token ids that a language model generates, whole or word by word."""

from collections.abc import Collection, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase, TextStreamer

from ski_lvlm.llm.thoughts import is_thought_mark, without_thoughts


def reply_text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> str:
    """Return the text of the ids up to the first of the end tokens `ends`.

    Special tokens are dropped, except the marks around thoughts, without which a thought reads like an answer.
    """
    hidden = {k for k, token in tokenizer.added_tokens_decoder.items() if token.special} | {*tokenizer.all_special_ids}
    hidden -= {k for k in hidden if is_thought_mark(str(tokenizer.convert_ids_to_tokens(k)))}
    length = next((n for n, k in enumerate(ids) if k in ends), len(ids))
    return str(tokenizer.decode([k for k in ids[:length] if k not in hidden]))


def answer_text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> str:
    """Return the answer without thoughts."""
    return without_thoughts(reply_text(ids, tokenizer, ends)).strip()


class AnswerStreamer(TextStreamer):
    """Printer of an answer during generation, word by word and without thoughts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Collection[int]) -> None:
        super().__init__(tokenizer, skip_prompt=True)
        self._ends = ends
        self._ids: list[int] = []
        self._printed = ""

    def put(self, value: Any) -> None:  # noqa: ANN401
        """Take the next token ids. Those of the first call are the prompt."""
        if self.next_tokens_are_prompt:
            self.next_tokens_are_prompt = False
            return
        self._ids += value.flatten().tolist()
        text = answer_text(self._ids, self.tokenizer, self._ends)
        if not text.endswith("�"):  # a character of several tokens
            self._print(text if text and self._is_chinese_char(ord(text[-1])) else text[: text.rfind(" ") + 1])

    def end(self) -> None:
        """Print what remains, and reset for another answer."""
        self._print(answer_text(self._ids, self.tokenizer, self._ends))
        self.on_finalized_text("", stream_end=True)
        self._ids, self._printed, self.next_tokens_are_prompt = [], "", True

    def _print(self, text: str) -> None:
        """Print what is new in the answer."""
        if not text.startswith(self._printed):  # what was printed turned out to be a thought
            if self._printed.startswith(text):
                return
            self.on_finalized_text("\n")
            self._printed = ""
        self.on_finalized_text(text[len(self._printed) :])
        self._printed = text
