"""The annotations of Charades' test set, read from the authors' zip or a folder without extraction."""

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
MAX_BYTES = 50 * 2**20  # the genuine files have less than 2 MB
_RESOURCES = "__MACOSX"  # resource forks that a Mac packs beside the files, under the same names
_COLUMNS = ("id", "script", "descriptions")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


class CharadesError(ValueError):
    """Missing, damaged or contradictory annotations. The message names the file."""


class AnnotationFile(NamedTuple):
    """One file of the annotations."""

    source: str
    content: bytes


class Caption(NamedTuple):
    """A video's id and a text that a person wrote about it."""

    video: str
    text: str


def find_file(annotations: Path, pattern: str) -> tuple[AnnotationFile | None, list[str]]:
    """Return the file of that name in a zip or a folder at any depth, and the unreadable zips.

    Zips inside the folder are searched too. Unreadable ones are not fatal, as the videos often lie beside the
    annotations.

    Raises:
        CharadesError: several files differ, one is larger than 50 MB, or there is none and a zip cannot be read.
    """
    if not annotations.exists():
        raise CharadesError(f"{annotations} does not exist; expected Charades.zip or the folder it was unpacked into")
    damaged: list[str] = []
    files = list(_matches(annotations, pattern, damaged))
    if len({file.content for file in files}) > 1:
        names = ", ".join(file.source for file in files)
        raise CharadesError(f"{annotations} holds {len(files)} different files {pattern} ({names}); keep one")
    if damaged and not files:
        raise CharadesError(f"{'; '.join(damaged)}; fetch it again, or unpack it into a folder")
    return (files[0] if files else None), damaged


def _matches(annotations: Path, pattern: str, damaged: list[str]) -> Iterator[AnnotationFile]:
    if annotations.is_file():
        yield from _members(annotations, pattern, damaged)
        return
    for path in sorted(p for p in annotations.rglob("*") if p.is_file() and _RESOURCES not in p.parts):
        if fnmatch(path.name, pattern):
            _check_size(str(path), path.stat().st_size)
            refuse_pointers(path)
            yield AnnotationFile(str(path), path.read_bytes())
        elif path.suffix.lower() == ".zip":
            yield from _members(path, pattern, damaged)


def _members(path: Path, pattern: str, damaged: list[str]) -> Iterator[AnnotationFile]:
    """Yield the files of that name in a zip. If it cannot be read, the reason is added to `damaged`."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.rpartition("/")[2]
                if fnmatch(name, pattern) and _RESOURCES not in member.filename.split("/"):
                    source = f"{path}/{member.filename}"
                    _check_size(source, member.file_size)
                    with archive.open(member) as file:  # a header may state a wrong size
                        content = file.read(MAX_BYTES + 1)
                    _check_size(source, len(content))
                    yield AnnotationFile(source, content)
    except _DAMAGED as error:
        damaged.append(f"{path} is no readable zip ({error})")


def _check_size(source: str, size: int) -> None:
    if size > MAX_BYTES:
        raise CharadesError(
            f"{source} has {size} bytes, expected at most {MAX_BYTES}; these are not Charades' annotations"
        )


def text_of(file: AnnotationFile) -> tuple[str, str]:
    """Return the text of a file and its encoding: UTF-8, UTF-16 with a byte-order mark, or Windows-1252.

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
    raise CharadesError(f"{file.source} is no text in UTF-8, UTF-16 or Windows-1252; save it as UTF-8")


def submission_captions(text: str, source: str) -> list[Caption]:
    """Parse `<id> <caption>` lines in order. The caption may be missing, and repeated lines count once.

    >>> submission_captions("AB12C  Someone sits down.\\r\\n\\r\\nAB12D\\n", "f")
    [Caption(video='AB12C', text='Someone sits down.'), Caption(video='AB12D', text='')]

    Raises:
        CharadesError: a video has two different captions, or a line does not start with an id.
    """
    lines = [line.strip().split(maxsplit=1) for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    return _each_once((_caption(line, source) for line in lines), source)


def _caption(line: list[str], source: str) -> Caption:
    if not re.fullmatch(r"[A-Z0-9]{5}", line[0]):
        raise CharadesError(f"{source}: a line starts with {line[0]!r:.40}; expected a video's id of five A-Z, 0-9")
    return Caption(line[0], line[1] if len(line) == 2 else "")


def _each_once(captions: Iterable[Caption], source: str) -> list[Caption]:
    each = list(dict.fromkeys(captions))
    counts = Counter(caption.video for caption in each)
    if twice := sorted(video for video, count in counts.items() if count > 1):
        raise CharadesError(f"{source}: {len(twice)} videos have two different captions, such as {twice[:5]}; keep one")
    return each


def table_rows(text: str, source: str) -> dict[str, dict[str, str]]:
    """Return the CSV's row of each video.

    Raises:
        CharadesError: columns are missing, a row is too short, or a video has two different rows.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, dict[str, str]] = {}
    try:
        if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
            raise CharadesError(f"{source} has no column {', '.join(missing)}; found {reader.fieldnames}")
        for row in reader:
            if any(row[name] is None for name in _COLUMNS):
                raise CharadesError(f"{source}, line {reader.line_num}: the row is too short; fetch the file again")
            if rows.setdefault(row["id"], row) != row:
                raise CharadesError(f"{source}, line {reader.line_num}: a second, different row of {row['id']}")
    except csv.Error as error:
        raise CharadesError(f"{source}, line {reader.line_num}: no CSV ({error}); fetch the file again") from error
    return rows


def script_captions(rows: dict[str, dict[str, str]]) -> list[Caption]:
    """Return the scripts that the actors were given, one a video."""
    return [Caption(video, row["script"].strip()) for video, row in rows.items()]


def description_captions(rows: dict[str, dict[str, str]]) -> list[Caption]:
    """Return the descriptions by viewers, several a video, split at `;`, in the order of the CSV.

    >>> description_captions({"AB12C": {"descriptions": "One sits.; One gets up.;"}})
    [Caption(video='AB12C', text='One sits.'), Caption(video='AB12C', text='One gets up.')]
    """
    texts = {video: [t.strip() for t in row["descriptions"].split(";") if t.strip()] for video, row in rows.items()}
    return [Caption(video, text) for video, captions in texts.items() for text in captions or [""]]
