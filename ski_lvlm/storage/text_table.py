"""Texts in two tensors, which processes share, where a list would be copied into each of them."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor


class TextTable:
    """Texts by number. They are decoded when asked for.

    >>> texts = TextTable(TextTable.tensors(["a", "", "bé"]))
    >>> len(texts), texts[2]
    (3, 'bé')
    """

    def __init__(self, tensors: Mapping[str, Tensor], *, prefix: str = "") -> None:
        self._ends = tensors[f"{prefix}ends"].numpy()
        self._content = tensors[f"{prefix}content"].numpy()

    @staticmethod
    def tensors(texts: Iterable[str], *, prefix: str = "") -> dict[str, Tensor]:
        """Return the tensors of texts: `content` in UTF-8 and the `ends` of each."""
        encoded = [text.encode() for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        content = np.frombuffer(bytearray(b"".join(encoded)), np.uint8)
        return {f"{prefix}ends": torch.from_numpy(ends), f"{prefix}content": torch.from_numpy(content)}

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = self._ends[number - 1] if number else 0
        return self._content[start : self._ends[number]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        content, start = self._content.tobytes(), 0
        for end in self._ends.tolist():
            yield content[start:end].decode()
            start = end
