"""UTKinect-Action3D: a text file a recording, `joints_sSS_eEE.txt`, and one file of the spans of ten actions.

Source: Xia, Chen, Aggarwal, "View invariant human action recognition using histograms of 3D joints", CVPR 2012
workshops.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from ski_lvlm.datasets.converters.conversion import Conversion, Row, numbered, odd_and_even
from ski_lvlm.datasets.converters.files import files_of, matched, none_of
from ski_lvlm.datasets.converters.number_text import read_numbers
from ski_lvlm.skeletons.centring import CENTRED, centred, without_zeros
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.storage.text_files import read_text

_WORDS = {
    "walk": "walk",
    "sitdown": "sit down",
    "standup": "stand up",
    "pickup": "pick up",
    "carry": "carry",
    "throw": "throw",
    "push": "push",
    "pull": "pull",
    "wavehands": "wave hands",
    "claphands": "clap hands",
}
_LAYOUT = layout_named("kinect-20")
_NAME = r"(?:joints?_)?(?P<clip>s(?P<subject>\d+)_e(?P<take>\d+))(?:_joints?)?"
_ENTRY = re.compile(r"\b(?P<recording>s\d+_e\d+)\b|(?P<action>[A-Za-z]+)\s*:\s*(?P<first>\S+)\s+(?P<last>\S+)")


class Span(NamedTuple):
    """An action of a recording. `first` and `last` are frame numbers, both included."""

    recording: str
    action: str
    first: str
    last: str

    @property
    def clip(self) -> str:
        """Name of the clip."""
        return f"{self.recording}_{self.action}"


def convert(root: Path) -> Conversion:
    """Return the spans of all recordings in a folder. A span that the labels leave open (NaN) is no clip.

    Assumption: odd subjects train and even ones test. The data set's authors leave one recording out at a time.

    Raises:
        ValueError: there is no recording, or no file of labels.
    """
    paths = files_of(root, ".txt")
    beside = sorted(Path(root).absolute().parent.glob("*.txt"))  # the archive has joints/ and the labels side by side
    labels = [path for path in (*paths, *beside) if "label" in path.stem.lower()]
    files, skipped = matched((path for path in paths if path not in labels), _NAME)
    if not files or not labels:
        raise none_of(root, "joints_s01_e01.txt and so on, and actionLabel.txt")
    recordings = {name.lower(): (file, match) for name, (file, match) in files.items()}
    clips: list[Row] = []
    spans: dict[str, Span] = {}
    for span in _spans(labels[0]):
        reason = _fault(span, recordings, spans)
        if reason:
            skipped[span.clip] = reason
            continue
        _, match = recordings[span.recording]
        spans[span.clip] = span
        row: Row = {"clip": span.clip, "class": _WORDS[span.action], "subject": int(match["subject"])}
        clips.append(row | {"take": int(match["take"])})
    description = {
        "name": "utkinect",
        "classes": numbered(list(_WORDS.values())),
        "protocols": {"xsub": odd_and_even("subject", up_to=10)},
        "layout": _LAYOUT.name,
    }
    read = partial(read_clip, spans=spans, files={name: file for name, (file, _) in recordings.items()})
    return Conversion(description, clips, [labels[0], *(f for f, _ in recordings.values())], skipped, CENTRED, read)


def _spans(file: Path) -> Iterator[Span]:
    recording = ""
    for entry in _ENTRY.finditer(read_text(file)):
        if entry["recording"]:
            recording = entry["recording"].lower()
        elif recording:
            yield Span(recording, entry["action"].lower(), entry["first"], entry["last"])


def _fault(span: Span, recordings: Mapping[str, object], spans: Mapping[str, Span]) -> str:
    """Return why a span is no clip, or nothing."""
    if span.recording not in recordings:
        return f"no file joints_{span.recording}.txt"
    if span.action not in _WORDS:
        return f"found the action {span.action}; expected one of {', '.join(_WORDS)}"
    if span.clip in spans:
        return "the labels have this action of this recording twice; the first counts"
    if not (span.first.isdecimal() and span.last.isdecimal()):
        return f"its span is {span.first} to {span.last}; expected frame numbers"
    return ""


def read_clip(name: str, *, spans: Mapping[str, Span], files: Mapping[str, Path]) -> Float32[np.ndarray, "T 1 20 3"]:
    """Return the joints of a clip in metres. Of several lines of one frame the first counts.

    Raises:
        ValueError: the file is damaged, or has no frame in the span.
    """
    span = spans[name]
    file = files[span.recording]
    numbers, joints = _recording(file)
    inside = (numbers >= int(span.first)) & (numbers <= int(span.last))
    if not inside.any():
        raise ValueError(
            f"{file}: no frame from {span.first} to {span.last}, where {span.action} is; it has {numbers.min():.0f} to "
            f"{numbers.max():.0f}: copy it again, or correct the labels"
        )
    return centred(joints[inside], layout=_LAYOUT)


@lru_cache(maxsize=2)  # a worker reads the clips of a recording one after the other
def _recording(file: Path) -> tuple[Float32[np.ndarray, " T"], Float32[np.ndarray, "T 1 20 3"]]:
    """Return the frame numbers of a recording, ascending, and its joints."""
    lines = read_numbers(file)
    if lines.shape[1] != 61:
        raise ValueError(f"{file}: found {lines.shape[1]} numbers a line; expected a frame number and 20 joints (61)")
    numbers, rows = np.unique(lines[:, 0], return_index=True)
    return numbers, without_zeros(lines[rows, 1:].reshape(-1, 1, 20, 3))
