"""Files of a data set's folder: found wherever they lie in it, told apart by their names, and matched with clips."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ski_lvlm.storage.clip_names import VIDEO_SUFFIXES, ClipIndex, ClipNameError

_VIDEO_ENDINGS = ("_rgb", "_color", "_colour", "-rgb", "-color")
_MADE = ("dataset.json", "clips.csv", "clips.edited.csv", "report.json", "index.json", "joints.npy")
_OTHER_PICTURES = re.compile(r"depth|infrared|(?:^|[^a-z])ir(?:[^a-z]|$)|body.?index|flow", re.IGNORECASE)


def files_of(root: Path, *suffixes: str) -> list[Path]:
    """Return the files with these suffixes in a folder and its sub-folders, sorted. Hidden files are left out.

    Raises:
        ValueError: there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; --root names the folder that holds the data set's files")
    return sorted(path for path in _walk(root) if path.name.lower().endswith(suffixes))


def _walk(root: Path) -> Iterator[Path]:
    real_folders = set()
    for folder, inside, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inside[:] = [name for name in inside if name[0] != "." and name != "__MACOSX" and real not in real_folders]
        if real not in real_folders:  # a link may lead back to where it lies
            real_folders.add(real)
            is_made_here = "dataset.json" in files  # --out may lie in --root
            inside[:] = [] if is_made_here and Path(folder) != root else inside
            yield from (Path(folder, file) for file in files if file[0] != "." and not (is_made_here and file in _MADE))


def matched(files: Iterable[Path], pattern: str) -> tuple[dict[str, tuple[Path, re.Match[str]]], dict[str, str]]:
    """Return the files whose names fit a pattern, by clip, and the others with the reason.

    The pattern's group `clip` is the clip's name, and a suffix is no part of it. Upper and lower case are the same. Of
    two files of one clip, the first counts.
    """
    compiled = re.compile(pattern, re.IGNORECASE)
    clips: dict[str, tuple[Path, re.Match[str]]] = {}
    first: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    for file in files:
        match = compiled.fullmatch(file.stem)
        if match is None:
            skipped[str(file)] = "its name is none of this data set's clips; rename it if it is one"
        elif (key := match["clip"].lower()) in first:
            skipped[str(file)] = f"a second file of the clip {match['clip']}; {first[key]} is used"
        else:
            first[key] = file
            clips[match["clip"]] = (file, match)
    return clips, skipped


def videos_of(root: Path, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the colour videos of clips as absolute paths, and the clips that have several, with the reason.

    Videos in folders of depth or infrared pictures are left out.
    """
    root = Path(root)
    files = [path.relative_to(root).as_posix() for path in files_of(root, *VIDEO_SUFFIXES)]
    index = ClipIndex([file for file in files if not _OTHER_PICTURES.search(file)], endings=_VIDEO_ENDINGS)
    videos: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for name in names if files else ():
        try:
            if file := index.find(name):
                videos[name] = str((root / file).resolve())
        except ClipNameError as error:
            skipped[f"video of {name}"] = str(error)
    return videos, skipped


def none_of(root: Path, expected: str) -> ValueError:
    """Return the error of a folder without a file of the data set."""
    suffixes = sorted({path.suffix for path in _walk(Path(root)) if path.suffix})[:8]
    kinds = ", ".join(suffixes) or "no files"
    return ValueError(f"{root}: found {kinds}; expected {expected}: unpack the data set there, or check --kind")
