"""PKU-MMD: untrimmed recordings of 25 joints of two bodies, with a label file a recording that gives the clips.

Source: Liu, Hu, Li, Song, Liu, "PKU-MMD: a large scale benchmark for continuous multi-modal human action
understanding", 2017.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row, class_name, numbered
from ski_lvlm.datasets.converters.files import files_of, matched, none_of, videos_of
from ski_lvlm.datasets.converters.number_text import read_numbers
from ski_lvlm.skeletons.centring import without_zeros
from ski_lvlm.skeletons.cleaning import CLEANING, clean
from ski_lvlm.skeletons.recordings import recording
from ski_lvlm.storage.text_files import read_text

CLASSES = numbered(
    [
        *("bow", "brushing hair", "brushing teeth", "check time (from watch)", "cheer up", "clapping"),
        *("cross hands in front (say stop)", "drink water", "drop", "eat meal/snack", "falling"),
        *("giving something to other person", "hand waving", "handshaking", "hopping (one foot jumping)"),
        *("hugging other person", "jump up", "kicking other person", "kicking something"),
        *("make a phone call/answer phone", "pat on back of other person", "pickup", "playing with phone/tablet"),
        *("point finger at the other person", "pointing to something with finger", "punching/slapping other person"),
        *("pushing other person", "put on a hat/cap", "put something inside pocket", "reading"),
        *("rub two hands together", "salute", "sitting down", "standing up", "take off a hat/cap", "take off glasses"),
        *("take off jacket", "take out something from pocket", "taking a selfie", "tear up paper", "throw"),
        *("touch back (backache)", "touch chest (stomachache/heart pain)", "touch head (headache)"),
        *("touch neck (neckache)", "typing on a keyboard", "use a fan (with hand or paper)/feeling warm"),
        *("wear jacket", "wear on glasses", "wipe face", "writing"),
    ],
    pairs=(12, 14, 16, 18, 21, 24, 26, 27),
)
_RECORDING = r"(?P<clip>(?:\d{4}|A\d+N\d+)-(?P<camera>[LMR]))(?:-skeleton)?"
_IN_A_LIST = re.compile(r"(?:\d{4}|A\d+N\d+)-[LMR]", re.IGNORECASE)
_NUMBERS_A_FRAME = 150
_LABEL_COLUMNS = (3, 4)


class Span(NamedTuple):
    """A clip of a recording. `end` is not included."""

    file: Path
    start: int
    end: int


def convert(root: Path) -> Conversion:
    """Return the labelled spans of all recordings in a folder.

    Skeletons and labels have the same names. They are told apart by their content. The lists cross-subject.txt and
    cross-view.txt become columns. Without the latter, cameras M and R train.

    Assumption: frames of labels count from 0, and the end is not included.

    Raises:
        ValueError: there are no skeletons, or no labels.
    """
    texts = files_of(root, ".txt")
    lists = {protocol: _list_named(texts, words) for protocol, words in (("xsub", "subject"), ("xview", "view"))}
    candidates = [path for path in texts if re.fullmatch(_RECORDING, path.stem, re.IGNORECASE)]
    labels, _ = matched((path for path in candidates if _is_label(path)), _RECORDING)
    skeletons, skipped = matched((path for path in candidates if not _is_label(path)), _RECORDING)
    if not labels or not skeletons:
        raise none_of(root, "skeletons such as 0002-L.txt in one folder and labels of the same names in another")
    videos, several = videos_of(root, labels)
    parts = {protocol: _parts(path) for protocol, path in lists.items() if path}
    parts = {protocol: part for protocol, part in parts.items() if any(name.upper() in part for name in labels)}
    clips: list[Row] = []
    spans: dict[str, Span] = {}
    for name, (label_file, match) in labels.items():
        if name not in skeletons:
            skipped[str(label_file)] = f"labels of {name}, which has no skeletons here"
            continue
        columns: Row = {"recording": name, "camera": match["camera"].upper()}
        columns |= {protocol: part[name.upper()] for protocol, part in parts.items() if name.upper() in part}
        columns |= {"video": videos[name]} if name in videos else {}
        for clip, span, row in _labelled(name, label_file, skeletons[name][0], skipped):
            spans[clip] = span
            clips.append({**row, **columns})
    files = [path for path, _ in (*labels.values(), *skeletons.values())] + [path for path in lists.values() if path]
    read = partial(read_clip, spans=spans)
    return Conversion(_description(parts), clips, files, skipped | several, CLEANING, read)


def _description(parts: Mapping[str, object]) -> dict[str, Any]:
    protocols: dict[str, Any] = {"xview": {"train": {"camera": ["M", "R"]}, "test": {"camera": "L"}}}
    listed = {name: {"train": {name: "train"}, "test": {name: "test"}} for name in parts}
    return {
        "name": "pku-mmd",
        "classes": CLASSES,
        "protocols": listed | {name: protocol for name, protocol in protocols.items() if name not in listed},
        "layout": "ntu-25",
        "fps": 30,
        "views": ["camera"],
    }


def _list_named(texts: list[Path], word: str) -> Path | None:
    return next((path for path in texts if "cross" in path.stem.lower() and word in path.stem.lower()), None)


def _parts(file: Path) -> dict[str, str]:
    """Return the part of each recording of a list. Its headings name training and validation (or test)."""
    parts: dict[str, str] = {}
    part = ""
    for line in read_text(file).splitlines():
        if re.search("train", line, re.IGNORECASE):
            part = "train"
        elif re.search("valid|test", line, re.IGNORECASE):
            part = "test"
        parts |= {name.upper(): part for name in _IN_A_LIST.findall(line) if part}
    return parts


def _is_label(file: Path) -> bool:
    """Return whether a file's first line has as few numbers as a label has."""
    with file.open("rb") as content:
        return len(content.readline(4000).replace(b",", b" ").split()) <= max(_LABEL_COLUMNS)


def _labelled(name: str, file: Path, skeleton: Path, skipped: dict[str, str]) -> Iterator[tuple[str, Span, Row]]:
    """Yield the clips of a label file. What is wrong goes into `skipped`."""
    try:
        lines = read_numbers(file)
        if lines.shape[1] not in _LABEL_COLUMNS:
            raise ValueError(f"found {lines.shape[1]} numbers a line; expected class, start, end, confidence")
    except ValueError as error:
        skipped[str(file)] = str(error)
        return
    for number, line in enumerate(lines, start=1):
        clip, (action, start, end) = f"{name}_{number:03}", (int(value) for value in line[:3])
        try:
            row: Row = {"clip": clip, "class": class_name(CLASSES, action), "start_frame": start, "end_frame": end}
            if not 0 <= start < end:
                raise ValueError(f"its span is {start} to {end}; expected ascending frames")
        except ValueError as error:
            skipped[clip] = f"line {number} of {file}: {error}"
            continue
        yield clip, Span(skeleton, start, end), row


def read_clip(name: str, *, spans: Mapping[str, Span]) -> Float32[np.ndarray, "T M 25 3"]:
    """Return the cleaned joints of a clip in metres.

    Raises:
        ValueError: the recording is damaged or ends before the clip, or nobody is in it.
    """
    file, start, end = spans[name]
    joints = _recording(file)
    if start >= len(joints):
        raise ValueError(f"{file}: has {len(joints)} frames, but the clip {name} starts at {start}: copy it again")
    return clean(recording(name, joints[start:end])).joints


@lru_cache(maxsize=2)  # a worker reads the clips of a recording one after the other
def _recording(file: Path) -> Float32[np.ndarray, "T 2 25 3"]:
    lines = read_numbers(file)
    if lines.shape[1] != _NUMBERS_A_FRAME:
        raise ValueError(f"{file}: found {lines.shape[1]} numbers a line; expected 150, of two bodies of 25 joints")
    return without_zeros(lines.reshape(-1, 2, 25, 3))
