"""Check of a Matroska or WebM file for completeness.

These containers store no number of frames, and FFmpeg silently skips broken parts of them. Their structure shows the
damage: every byte of the segment belongs to an element of known kind and size.
"""

from pathlib import Path
from typing import BinaryIO, NamedTuple

_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675
_GROUPS = frozenset((_SEGMENT, _CLUSTER))  # elements with elements in them
_IN_SEGMENT = frozenset(  # seek head, info, tracks, cluster, cues, attachments, chapters, tags, signatures
    (0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0x1B538667)
)
_IN_CLUSTER = frozenset((0xE7, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF, 0x5854))  # times, position, sizes, blocks, silent tracks
_BLOCKS = frozenset((0xA3, 0xA0))
_ANYWHERE = frozenset((0xEC, 0xBF, 0x1A45DFA3))  # filling, checksum, and the header of the file
_LONGEST_HEAD = 12  # bytes
_KNOWN = _IN_SEGMENT | _IN_CLUSTER | _ANYWHERE | _GROUPS


class Structure(NamedTuple):
    """Structure of a file.

    Args:
        has_broken_element: an element of unknown kind or impossible size is between others.
        num_blocks: blocks of packets, one packet or more in each.
        present: share of the announced bytes that the file has.
    """

    has_broken_element: bool
    num_blocks: int
    present: float


def structure(path: Path) -> Structure:
    """Return the structure of a file. Only the heads of its elements are read."""
    size = path.stat().st_size
    position, announced, num_blocks, is_broken = 0, 0, 0, False  # bytes; a live recording announces no size
    with path.open("rb") as file:
        while position < min(size, announced or size):
            element = _element(file, position)
            if element is None or element.kind not in _KNOWN or (announced and (element.end or 0) > announced):
                is_broken = size - position > _LONGEST_HEAD
                break
            if element.kind == _SEGMENT:
                announced = element.end or 0
            num_blocks += element.kind in _BLOCKS and (element.end or size) <= size
            position = element.start if element.kind in _GROUPS else element.end or size
    return Structure(is_broken, num_blocks, present=min(1.0, size / (announced or size)))


class _Element(NamedTuple):
    kind: int
    start: int  # of its content
    end: int | None  # None where its size is unknown, as in live recordings


def _element(file: BinaryIO, position: int) -> _Element | None:
    file.seek(position)
    head = file.read(_LONGEST_HEAD)
    kind_length = _length(head[:1], longest=4)
    size_length = _length(head[kind_length : kind_length + 1], longest=8)
    start = kind_length + size_length
    if not kind_length or not size_length or len(head) < start:
        return None
    all_ones = (1 << 7 * size_length) - 1
    size = int.from_bytes(head[kind_length:start]) & all_ones
    end = None if size == all_ones else position + start + size
    return _Element(int.from_bytes(head[:kind_length]), position + start, end)


def _length(first: bytes, *, longest: int) -> int:
    """Return the length in bytes of a number, from the leading zeros of its first byte (0: invalid)."""
    zeros = 8 - first[0].bit_length() if first else 8
    return zeros + 1 if zeros < longest else 0
