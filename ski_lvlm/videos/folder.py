"""Folders of videos: their clips, and the file that a clip's name means.

A folder may hold the videos themselves, one sub-folder for each class (as UCF101 and HMDB51 come), or NTU's `rgb/`.
"""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ski_lvlm.storage.clip_names import VIDEO_SUFFIXES, ClipIndex, ClipNameError, clip_name, without_suffix
from ski_lvlm.videos.timeline import Span


class VideoError(ValueError):
    """A video that cannot be found or decoded. The message names the file and the remedy."""


class VideoClip(NamedTuple):
    """The video of a clip, whole or a stretch of it."""

    path: Path
    span: Span | None = None


class VideoFolder:
    """The videos in a folder and its sub-folders, or in NTU's `rgb/` if it has one.

    A clip is called by its path in the folder, without suffix and `_rgb`: `x`, or `class/x`. Names of NTU's clips are
    unique and stand alone, and the file that lies least deep counts, since crops may lie in a folder of their own. Two
    files of one clip are refused.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.root = self.folder / "rgb" if (self.folder / "rgb").is_dir() else self.folder

    @cached_property
    def clips(self) -> dict[str, Path]:
        """All clips with their files, sorted by name.

        Raises:
            VideoError: there is no such folder, or a clip has several files.
        """
        if not self.root.is_dir():
            raise VideoError(
                f"{self.root}: no such folder of videos; give the folder that holds rgb/ or the videos themselves"
            )
        return {clip: self._only(clip) for clip in sorted(self._files)}

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        """The files of each clip, relative to the root, that lie least deep."""
        files: dict[str, list[str]] = {}
        for file in sorted(_video_files(self.root), key=lambda file: (file.count("/"), file)):
            files_of_clip = files.setdefault(clip_name(file), [])
            if not files_of_clip or files_of_clip[0].count("/") == file.count("/"):
                files_of_clip.append(file)
        return files

    def _only(self, clip: str) -> Path:
        files = self._files[clip]
        if len(files) > 1:
            raise VideoError(_two_files(clip, self.root, *files[:2]))
        return self.root / files[0]

    def find(self, name: str) -> Path:
        """Return the file of a clip, by its name or by a file name of the clip.

        Folders in a name belong to it. A name without folders is also searched in sub-folders.

        Raises:
            VideoError: there is none, or the name means several files.
        """
        relative = self._relative(name)
        if ".." in relative.parts:
            raise VideoError(f"no video of clip {name[:60]!r} in {self.root}: '..' leads out of the folder")
        try:
            files = [self.root / file for file in _likely_files(relative) if (self.root / file).is_file()]
            inside = None if files else self._index.find(relative.as_posix())
        except OSError as error:  # such as a name that is too long for any file
            raise VideoError(f"no video of clip {name[:60]!r} in {self.root}: {error.strerror}") from error
        except ClipNameError as error:
            raise VideoError(f"no video of clip {name!r} alone in {self.root}: {error}") from error
        clip = clip_name(relative.as_posix())
        if len(files) > 1 and files[0] != self.root / relative:
            raise VideoError(_two_files(clip, self.root, *(str(file.relative_to(self.root)) for file in files[:2])))
        if files or inside:
            return files[0] if files else self._only(str(inside))
        raise VideoError(
            f"no video of clip {clip!r} in {self.root}: looked for {clip}[_rgb]{{{','.join(VIDEO_SUFFIXES)}}}"
        )

    @cached_property
    def _index(self) -> ClipIndex:
        return ClipIndex(self._files)

    def _relative(self, name: str) -> Path:
        """Return the name relative to the root. It may be spelled relative to the folder, or absolute."""
        path = Path(name)
        if path.is_absolute() and path.is_relative_to(self.root.absolute()):
            return path.relative_to(self.root.absolute())
        is_spelled_from_ntu = self.root != self.folder and path.parts[:1] == (self.root.name,)
        return Path(*path.parts[1:]) if is_spelled_from_ntu else path


def find_video(folder: Path | str, name: str) -> Path:
    """Return the file of one clip. See `VideoFolder.find`."""
    return VideoFolder(folder).find(name)


def list_videos(folder: Path | str) -> dict[str, Path]:
    """Return all clips of a folder with their files, sorted by name. See `VideoFolder.clips`."""
    return VideoFolder(folder).clips


def check_has_videos(folder: Path | str, clips: dict[str, Path], *, flag: str) -> None:
    """Make sure that a folder holds a video.

    Raises:
        VideoError: it holds none. The message lists the kinds of files that it holds.
    """
    if not clips:
        suffixes = sorted({file.suffix for file in Path(folder).rglob("*.*") if file.is_file()})[:10]
        raise VideoError(
            f"{folder}: no videos ({', '.join(VIDEO_SUFFIXES[:6])}, …) in it, in its sub-folders or in its rgb/, "
            f"{'only ' + ', '.join(suffixes) if suffixes else 'it is empty'}; check {flag}"
        )


def _video_files(root: Path) -> Iterator[str]:
    """Yield the videos relative to the root. A name that begins with a dot is hidden, or a video half-written."""
    real_folders = set()
    for folder, inside, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inside[:] = sorted(name for name in inside if name[0] != "." and real not in real_folders)
        if real not in real_folders:  # a link may lead back to where it lies
            real_folders.add(real)
            relative = os.path.relpath(folder, root)
            videos = (file for file in files if file[0] != "." and file.lower().endswith(VIDEO_SUFFIXES))
            yield from (file if relative == "." else f"{relative}/{file}" for file in videos)


def _two_files(clip: str, root: Path, *files: str) -> str:
    return f"{root}: the clip {clip!r} has two files, {' and '.join(files)}; keep one, or give the name with its suffix"


def _likely_files(name: Path) -> Iterator[Path]:
    """Yield the likely files of a clip, the name itself first, so that a large folder need not be listed."""
    if name.suffix.lower() in VIDEO_SUFFIXES and not name.is_absolute():
        yield name
    stem = without_suffix(name.name)
    for ending in ("", "_rgb") if stem and not name.is_absolute() else ():
        files = (name.with_name(f"{stem}{ending}{suffix}") for suffix in VIDEO_SUFFIXES)
        yield from (file for file in files if file != name)
