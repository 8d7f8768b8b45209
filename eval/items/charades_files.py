"""The annotations of Charades' test set, out of the authors' zip or a folder; nothing is ever extracted."""

import csv
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from ski_lvlm.storage.git_lfs import refuse_pointers

SUBMISSION, TABLE = "test_submission_caption.txt", "Charades_v1_test*.csv"
LARGEST = 50 * 2**20  # bytes; the genuine files have less than 2 MB
_RESOURCES = "__MACOSX"  # what a Mac packs beside the files, under the same names
_COLUMNS = ("id", "script", "descriptions")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class CharadesError(ValueError):
    """The annotations are missing, damaged or contradict themselves; the message names the file."""


class Found(NamedTuple):
    """One file of the annotations."""

    where: str
    content: bytes


class Caption(NamedTuple):
    """A video's id and what a person wrote about it."""

    video: str
    text: str


def find_file(annotations: Path, pattern: str) -> tuple[Found | None, list[str]]:
    """The file of that name in a zip or a folder, at any depth, also in a zip in the folder; None if there is none.

    With it come the zips that cannot be read, each with the reason: beside the annotations often lie the videos.

    Raises:
        CharadesError: there are several that differ, one is larger than 50 MB, or there is none and a zip, in which it
            may be, cannot be read.
    """
    if not annotations.exists():
        raise CharadesError(f"{annotations} does not exist; expected Charades.zip or the folder it was unpacked into")
    damaged: list[str] = []
    found = list(_matches(annotations, pattern, damaged))
    if len({file.content for file in found}) > 1:
        names = ", ".join(file.where for file in found)
        raise CharadesError(f"{annotations} holds {len(found)} different files {pattern} ({names}); leave one")
    if damaged and not found:
        raise CharadesError(f"{'; '.join(damaged)}; fetch it again, or unpack it into a folder")
    return (found[0] if found else None), damaged


def _matches(annotations: Path, pattern: str, damaged: list[str]) -> Iterator[Found]:
    if annotations.is_file():
        yield from _members(annotations, pattern, damaged)
        return
    for path in sorted(p for p in annotations.rglob("*") if p.is_file() and _RESOURCES not in p.parts):
        if fnmatch(path.name, pattern):
            _check_size(str(path), path.stat().st_size)
            refuse_pointers(path)
            yield Found(str(path), path.read_bytes())
        elif path.suffix.lower() == ".zip":
            yield from _members(path, pattern, damaged)


def _members(path: Path, pattern: str, damaged: list[str]) -> Iterator[Found]:
    """The files of that name in a zip; why it cannot be read is added to `damaged`."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.rpartition("/")[2]
                if fnmatch(name, pattern) and _RESOURCES not in member.filename.split("/"):
                    where = f"{path}/{member.filename}"
                    _check_size(where, member.file_size)
                    with archive.open(member) as file:  # the size in a header may be a lie
                        content = file.read(LARGEST + 1)
                    _check_size(where, len(content))
                    yield Found(where, content)
    except _DAMAGED as error:
        damaged.append(f"{path} is no readable zip ({error})")


def _check_size(where: str, size: int) -> None:
    if size > LARGEST:
        raise CharadesError(
            f"{where} has {size} bytes, expected at most {LARGEST}; these are not Charades' annotations"
        )


def text_of(file: Found) -> tuple[str, str]:
    """The text of a file and its encoding: UTF-8 with or without its mark, UTF-16 with it, else Windows-1252.

    Raises:
        CharadesError: it is none of these.
    """
    encoding = "utf-16" if file.content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    for name in (encoding, "cp1252"):
        try:
            text = file.content.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name
    raise CharadesError(f"{file.where} is no text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8")


def submission_captions(text: str, where: str) -> list[Caption]:
    """`<id> <caption>` lines in order; a line without a caption has an empty one, repeated lines count once.

    >>> submission_captions("AB12C  Someone sits down.\\r\\n\\r\\nAB12D\\n", "f")
    [Caption(video='AB12C', text='Someone sits down.'), Caption(video='AB12D', text='')]

    Raises:
        CharadesError: a video has two different captions, or a line does not start with an id.
    """
    lines = [line.strip().split(maxsplit=1) for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    return _each_once((_caption(line, where) for line in lines), where)


def _caption(line: list[str], where: str) -> Caption:
    if not re.fullmatch(r"[A-Z0-9]{5}", line[0]):
        raise CharadesError(f"{where}: a line starts with {line[0]!r:.40}; expected a video's id of five A-Z, 0-9")
    return Caption(line[0], line[1] if len(line) == 2 else "")


def _each_once(captions: Iterable[Caption], where: str) -> list[Caption]:
    each = list(dict.fromkeys(captions))
    counts = Counter(caption.video for caption in each)
    if twice := sorted(video for video, count in counts.items() if count > 1):
        raise CharadesError(f"{where}: {len(twice)} videos have two different captions, such as {twice[:5]}; keep one")
    return each


def table_rows(text: str, where: str) -> dict[str, dict[str, str]]:
    """Video → its row of the CSV.

    Raises:
        CharadesError: columns are missing, a row is too short, or a video has two different rows.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, dict[str, str]] = {}
    try:
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise CharadesError(f"{where} has no column {', '.join(missing)}; found {reader.fieldnames}")
        for row in reader:
            if any(row[name] is None for name in _COLUMNS):
                raise CharadesError(f"{where}, line {reader.line_num}: the row is too short; fetch the file again")
            if rows.setdefault(row["id"], row) != row:
                raise CharadesError(f"{where}, line {reader.line_num}: a second, different row of {row['id']}")
    except csv.Error as error:
        raise CharadesError(f"{where}, line {reader.line_num}: no CSV ({error}); fetch the file again") from error
    return rows


def script_captions(rows: dict[str, dict[str, str]]) -> list[Caption]:
    """What the actors were asked to do, one a video."""
    return [Caption(video, row["script"].strip()) for video, row in rows.items()]


def description_captions(rows: dict[str, dict[str, str]]) -> list[Caption]:
    """What people wrote who saw the video: several a video, in the order of the CSV, split at `;`.

    >>> description_captions({"AB12C": {"descriptions": "One sits.; One gets up.;"}})
    [Caption(video='AB12C', text='One sits.'), Caption(video='AB12C', text='One gets up.')]
    """
    texts = {video: [t.strip() for t in row["descriptions"].split(";") if t.strip()] for video, row in rows.items()}
    return [Caption(video, text) for video, found in texts.items() for text in found or [""]]
