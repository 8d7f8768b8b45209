"""Text files in every form they come in: with a byte order mark, in UTF-16, compressed, with any line ends."""

import gzip
import json
import re
import zlib
from pathlib import Path

from ski_lvlm.storage.git_lfs import refuse_pointers

_GZIP = b"\x1f\x8b"


def read_text(file: Path) -> str:
    """Return the text of a file without its byte order mark. A gzip file is unpacked.

    Windows' Notepad writes UTF-8 and UTF-16 with a mark, and PowerShell UTF-16.

    Raises:
        ValueError: no such file, a folder, a Git LFS pointer, a damaged gzip file, or no such text.
    """
    return decoded(read_bytes(file), file)


def read_bytes(file: Path) -> bytes:
    """Return the bytes of a file, unpacked if it is a gzip file.

    Raises:
        ValueError: no such file, a folder, a Git LFS pointer, or a damaged gzip file.
    """
    if file.is_dir():
        raise ValueError(f"{file}: is a folder; give the file in it")
    if not file.is_file():
        raise ValueError(f"{file}: no such file; check its name")
    refuse_pointers(file)
    raw = file.read_bytes()
    try:
        return gzip.decompress(raw) if is_gzip(raw) else raw
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file}: is no whole gzip file ({error}); copy it again") from error


def is_gzip(raw: bytes) -> bool:
    """Return whether a file that begins with `raw` is compressed by gzip."""
    return raw.startswith(_GZIP)


def encoding_of(raw: bytes) -> str:
    """Return the encoding of a text, told by its mark or by the zeros beside its first character.

    >>> encoding_of(b"a"), encoding_of(b"\\xef\\xbb\\xbfa"), encoding_of(b"a\\0b\\0")
    ('utf-8', 'utf-8-sig', 'utf-16-le')
    """
    return json.detect_encoding(raw)


def decoded(raw: bytes, file: Path) -> str:
    """Return the text that `raw` encodes. `file` is for the message.

    Raises:
        ValueError: it is in no Unicode encoding.
    """
    encoding = encoding_of(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        raise ValueError(f"{file}: byte {error.start} is not {name} text; save the file as UTF-8") from error


def read_lines(file: Path) -> list[str]:
    """Return the lines of a text file. See `read_text` and `lines_of`."""
    return lines_of(read_text(file))


def lines_of(text: str) -> list[str]:
    """Return the lines of a text. Unlike in `str.splitlines`, they end in `\\n`, `\\r\\n` or `\\r` alone.

    >>> lines_of("a\\u2028b\\r\\nc\\n")
    ['a\\u2028b', 'c']
    """
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[:-1] if lines[-1] == "" else lines
