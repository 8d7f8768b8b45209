"""Matching of clip names with files, for every command.

Instruction files, question files, lists of clips and folders spell one clip in many ways: `x`, `x.pkl`, `x_pose.pkl`,
`cam1/x_rgb.avi`. A `ClipIndex` finds the file that a name means in one place. The full name is tried first and then
shortened step by step, so that a clip that is itself called `tree_pose` or `S1.partA` is not cut to another one.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

VIDEO_SUFFIXES = (
    *(".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".m2ts"),
    *(".3gp", ".3g2", ".ogv", ".ogm", ".vob", ".asf", ".f4v", ".divx", ".m1v", ".m2v", ".mpe", ".qt", ".dv", ".mxf"),
    *(".rm", ".rmvb", ".y4m", ".gif"),
)
_DATA_SUFFIXES = (
    *(".npy", ".npz", ".safetensors", ".pkl", ".pickle", ".pt", ".pth", ".bin", ".h5", ".hdf5", ".mat"),
    *(".skeleton", ".json", ".txt", ".csv", ".jpg", ".jpeg", ".png"),
)
_SUFFIXES = frozenset((*VIDEO_SUFFIXES, *_DATA_SUFFIXES))
_VIDEO_ENDINGS = ("_rgb",)
_ENDINGS = (*_VIDEO_ENDINGS, "_video", "_human_pose", "_pose", "_skeleton", "_object")
# Four or more letters that are each followed by three digits, as set-up, camera, person, … of the action data sets.
_SYSTEMATIC = re.compile(r"(?:.*/)?((?:[A-Z][0-9]{3}_?){4,})")


class ClipNameError(ValueError):
    """A name that means more than one file. The message lists them."""


def normal(name: str) -> str:
    """Return a name in the form in which names are compared.

    That is composed characters, forward slashes, no `./` and no leading slash.

    >>> normal(".\\\\cam1\\\\Cafe\\u0301.mp4") == "cam1/Caf\\u00e9.mp4"
    True
    """
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def without_suffix(name: str) -> str:
    """Return a name without the suffix of a known kind of file, in upper or lower case.

    >>> without_suffix("cam1/x_rgb.AVI"), without_suffix("S1.partA"), without_suffix("v_1.5")
    ('cam1/x_rgb', 'S1.partA', 'v_1.5')
    """
    suffix = _suffix(name)
    return name.removesuffix(suffix) if suffix.lower() in _SUFFIXES else name


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")  # ten times faster than pathlib, for sets of 100,000 clips
    return dot + suffix if stem and stem[-1] != "/" else ""


def clip_name(name: str, *, modality: str = "video") -> str:
    """Return the name of the clip that a file name means, without an index.

    `_rgb` is cut off, and `_pose` or `_skeleton` where the file holds features or the modality is "skeleton". Folders
    belong to the name, except before a systematic name such as NTU's and ETRI's, which is unique in its data set.

    >>> clip_name("S001C001P001R001A001_pose.pkl"), clip_name("rgb/S001C001P001R001A001_rgb.avi")
    ('S001C001P001R001A001', 'S001C001P001R001A001')
    >>> clip_name("cam1/clip01.mp4"), clip_name("tree_pose.mp4"), clip_name("P001/A001_P001_G001_C001.avi")
    ('cam1/clip01', 'tree_pose', 'A001_P001_G001_C001')
    """
    *_, stem = _without_suffixes(normal(name))
    is_feature = _suffix(name).lower() in _DATA_SUFFIXES or modality == "skeleton"
    short = _without_ending(stem, _ENDINGS if is_feature else _VIDEO_ENDINGS)
    systematic = _SYSTEMATIC.fullmatch(short)
    return systematic[1] if systematic else short


def _without_suffixes(name: str) -> Iterator[str]:
    """Yield the name, and the name without one known suffix, two, and so on."""
    yield name
    while (short := without_suffix(name)) != name:
        name = short
        yield name


def _without_ending(stem: str, endings: Sequence[str]) -> str:
    return next((stem.removesuffix(ending) for ending in endings if stem.endswith(ending)), stem)


def _spellings(name: str, endings: Sequence[str]) -> list[str]:
    """Return the spellings of a name, the longest first: with its suffix, without it, without its ending."""
    stems = list(_without_suffixes(normal(name)))
    return [s for s in dict.fromkeys((*stems, _without_ending(stems[-1], endings))) if s and not s.endswith("/")]


class _Match(NamedTuple):
    """The files that a spelling may mean, and how many cuts led from their names to it."""

    cuts: int
    files: list[str]


_Table = dict[str, _Match]


class ClipIndex:
    """Index of the files of one place by the names that mean them.

    Args:
        files: paths relative to the place, or the names of clips where there are no files.
        endings: may follow the clip's name in a file's name.
    """

    def __init__(self, files: Iterable[str], *, endings: Sequence[str] = _VIDEO_ENDINGS) -> None:
        self._endings = tuple(endings)
        self._files = list(files)
        self._full_paths: _Table = {}  # by spellings with all folders
        self._partial_paths: _Table = {}  # by spellings without some of the folders
        for file in self._files:
            for cuts, spelling in enumerate(_spellings(file, endings)):
                _enter(self._full_paths, spelling, cuts, file)
                for shorter in _inside(spelling):
                    _enter(self._partial_paths, shorter, cuts, file)

    def find(self, name: str, *, drop_folders: bool = False) -> str | None:
        """Return the file that a name means, or None.

        A name without folders is searched in all of them. With `drop_folders`, the folders of a name may be absent
        here: `academic_source/Charades/AB12C.mp4` then means `AB12C.npy`.

        Raises:
            ClipNameError: the name means several files.
        """
        path = normal(name)
        file = self._look_up(path, name, (self._full_paths, self._partial_paths))
        for shorter in _inside(path) if drop_folders else ():
            file = file or self._look_up(shorter, name, (self._full_paths,))
        return file

    def _look_up(self, path: str, name: str, tables: Sequence[_Table]) -> str | None:
        for spelling in _spellings(path, _ENDINGS):
            for table in tables:
                if spelling in table:
                    return _only(name, table[spelling].files)
        return None

    @cached_property
    def clips(self) -> Mapping[str, str]:
        """All clips with their files, sorted by name.

        A clip's name is its file's without suffix and ending. It has the folder where two folders hold that name.

        Raises:
            ClipNameError: a folder holds two files of one clip.
        """
        by_name: dict[str, list[str]] = {}
        for file in sorted(self._files):
            by_name.setdefault(_spellings(file, self._endings)[-1], []).append(file)
        by_path = {name: _only(name, files) for name, files in by_name.items()}
        bases = [name.rpartition("/")[2] for name in by_path]
        unique = {base for base, count in Counter(bases).items() if count == 1}
        clips = {base if base in unique else path: by_path[path] for path, base in zip(by_path, bases, strict=True)}
        return dict(sorted(clips.items()))

    def find_all(self, names: Iterable[str]) -> dict[str, str]:
        """Return the files of those names that mean one. Folders of a name may be absent here.

        Raises:
            ClipNameError: a name means several files, or two names that differ in their folders mean one file.
        """
        files: dict[str, str] = {}
        names_of: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            if (file := self.find(name, drop_folders=True)) is not None:
                files[name] = file
                names_of.setdefault(file, []).append(name)
        for file, all_names in names_of.items():
            full_names = [name for name in all_names if _is_part(clip_name(name), clip_name(file))] or all_names
            check_one_clip(file, full_names)
            for shortened in set(all_names) - set(full_names):  # its own file is absent, and this is another clip's
                del files[shortened]
        return files


def check_one_clip(file: str, names: Iterable[str]) -> None:
    """Make sure that names which mean one file are not in different folders.

    Raises:
        ClipNameError: two of them are.
    """
    longest_first = sorted({clip_name(name) for name in names}, key=lambda name: (-len(name), name))
    for other in longest_first[1:]:
        if not _is_part(longest_first[0], other):
            raise ClipNameError(
                f"{longest_first[0]!r} and {other!r} are two clips, but both mean the file {file}; name the files "
                "as the clips are named, with their folders"
            )


def _is_part(one: str, other: str) -> bool:
    """Return whether two paths are equal as far as the shorter goes, counted from their ends."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _enter(table: _Table, spelling: str, cuts: int, file: str) -> None:
    """Add a file under a spelling. Only the files with the fewest cuts stay."""
    match = table.setdefault(spelling, _Match(cuts, []))
    if cuts < match.cuts:
        table[spelling] = _Match(cuts, [file])
    elif cuts == match.cuts:
        match.files.append(file)


def _inside(path: str) -> Iterator[str]:
    """Yield the path without its first folder, without its first two, and so on."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path


def _only(name: str, files: Sequence[str]) -> str:
    if len(files) > 1:
        listed = ", ".join(files[:5]) + (", …" if len(files) > 5 else "")
        raise ClipNameError(
            f"the clip name {name!r} means {len(files)} files: {listed}; give its folder or suffix with the name, or "
            "keep only one of them"
        )
    return files[0]
