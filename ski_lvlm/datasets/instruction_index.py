"""Instruction files that are read and checked once, for every later start and every process."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Conversation, Turn, read_instructions
from ski_lvlm.storage.digests import digest, remembered_digest
from ski_lvlm.storage.tensor_cache import cached_tensors, rules_digest
from ski_lvlm.storage.text_table import TextTable

_SMALL = 1 << 20  # bytes; smaller files are read in no time


class IndexedConversations(Sequence[Conversation]):
    """Conversations of an instruction file, mapped from disk and decoded when asked for.

    Args:
        tensors: a text table of all conversations of the file as JSON, and one of all clips.
        source: the file.
        digest: identifies the file's content and the rules by which it was read.
        numbers: conversations that belong here, in order. None: all.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], source: Path, digest: str, numbers: np.ndarray | None = None
    ) -> None:
        self._tensors, self.source, self.digest = tensors, source, digest
        self._texts = TextTable(tensors, prefix="conversation.")
        self._numbers = np.arange(len(self._texts)) if numbers is None else numbers

    @property
    def clips(self) -> list[str]:
        """Every clip that a conversation of the file names, once."""
        return list(TextTable(self._tensors, prefix="clip."))

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, key: int) -> Conversation: ...

    @overload
    def __getitem__(self, key: slice) -> "IndexedConversations": ...

    def __getitem__(self, key: int | slice) -> "Conversation | IndexedConversations":
        """Return one conversation, or those of a slice."""
        if isinstance(key, slice):
            return self.subset(np.arange(len(self))[key])
        name, video, skeleton, turns = json.loads(self._texts[int(self._numbers[key])])
        return Conversation(name, video, skeleton, tuple(Turn(*turn) for turn in turns))

    def subset(self, places: np.ndarray) -> "IndexedConversations":
        """Return the conversations at these places."""
        state = digest(self.digest, places.tolist())
        return IndexedConversations(self._tensors, self.source, state, self._numbers[places])


def indexed_instructions(file: Path, folders: Sequence[Path]) -> IndexedConversations:
    """Read and check an instruction file, or map what an earlier start has read from it.

    Args:
        file: as for `read_instructions`.
        folders: where the result of a large file may be, as for `cached_tensors`.

    Raises:
        ValueError: as `read_instructions`.
    """

    def make() -> dict[str, Tensor]:
        conversations = read_instructions(file)
        texts = (json.dumps(conversation, ensure_ascii=False) for conversation in conversations)
        clips = dict.fromkeys(clip for c in conversations for clip in (c.video, c.skeleton) if clip)
        return TextTable.tensors(texts, prefix="conversation.") | TextTable.tensors(clips, prefix="clip.")

    if not file.is_file():
        read_instructions(file)  # says what is wrong
    state = digest(remembered_digest(file), rules_digest())
    if file.stat().st_size < _SMALL:
        folders = ()
    tensors = cached_tensors(f"instructions-{digest(file.resolve())}", folders, state=state, make=make)
    return IndexedConversations(tensors, file.resolve(), state)
