"""Token ids of plain texts, one by one or many at once."""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase


class PlainTokenizer:
    """Tokenizer of stretches of text, without special tokens and without a space of its own.

    `ids` looks texts up in the last batch of `tokenise_together` first.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._adds_space = tokenizer.tokenize("a")[0].startswith("▁")
        self._line_break = self._plain("\n") if self._adds_space else []
        self._batch: dict[str, list[int]] = {}

    def ids(self, text: str, *, is_continued: bool) -> list[int]:
        """Tokenise a text. It is continued if it was cut from the text before it, in the middle of a mark."""
        if not self._adds_space:
            return self._look_up(text)
        # Sentencepiece puts a space before every text. With one of the text there would be two, and a word that
        # continues another would become a word by itself.
        if not is_continued:
            return self._look_up(text.removeprefix(" "))
        ids = self._look_up(f"\n{text}")
        start = len(self._line_break)
        return ids[start:] if ids[:start] == self._line_break else self._look_up(text)

    def tokenise_together(self, texts: Iterable[str]) -> None:
        """Tokenise a batch of texts for later calls of `ids`, several times faster than one by one."""
        plain = {text.removeprefix(" ") if self._adds_space else text for text in texts}
        self._batch = {text: self._batch[text] for text in plain if text in self._batch}
        if new_texts := sorted(plain - self._batch.keys()):
            encoded = self._tokenizer(new_texts, add_special_tokens=False, return_attention_mask=False)
            self._batch |= dict(zip(new_texts, encoded["input_ids"], strict=True))

    def _look_up(self, text: str) -> list[int]:
        ids = self._batch.get(text)
        return self._plain(text) if ids is None else ids

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])
