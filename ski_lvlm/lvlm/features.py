"""The feature store: frozen video and skeleton tokens on disk, one file per clip and modality.

    DIR/features.json          origin of the features, absent for those of other programs
    DIR/video/<clip>.npy       [N F], float16 or float32
    DIR/skeleton/<clip>.npy

Features of other programs may also be `.safetensors` or `.pkl` files (read by the restricted unpickler). A skeleton's
file may be called `<clip>_pose`, as in LLAVIDAL and the published SKI data. A modality without a folder may have its
files in DIR itself, a skeleton's then with `_pose` or `_skeleton`. Clips may be in folders.
"""

import errno
import os
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Float32
from torch import Tensor

from ski_lvlm.lvlm.feature_files import SUFFIXES, FeatureError, check_tokens, count_tokens, read_tokens
from ski_lvlm.storage.clip_names import ClipIndex, ClipNameError, check_one_clip, without_suffix
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json

MANIFEST = "features.json"
MODALITIES = ("video", "skeleton")
_ENDINGS = {"video": ("_rgb", "_video"), "skeleton": ("_human_pose", "_pose", "_skeleton")}
_PATHS = ("tower", "encoder")  # of the weights, which may move, and which the digest identifies


class FeatureFolder:
    """Tokens of clips by name and modality ("video" or "skeleton").

    Raises:
        FeatureError: the folder does not exist, or its features.json cannot be read.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise FeatureError(f"{self.root}: no such features folder; make it with scripts/extract_features.py")
        self.manifest: dict[str, dict[str, Any]] = _read_manifest(self.root)
        self._remembered: dict[str, Mapping[str, str]] = {}

    def has(self, clip: str, modality: str) -> bool:
        """Return whether the clip has tokens of this modality."""
        return self.find(clip, modality) is not None

    def width(self, modality: str) -> int:
        """Return F, from features.json or from the first file of the modality."""
        return self._widths[modality] if modality in self._widths else self._measure(modality)

    def token_count(self, clip: str, modality: str) -> int:
        """Return N of one clip."""
        return count_tokens(self._file(clip, modality))

    def load(self, clip: str, modality: str) -> Float32[Tensor, "N F"]:
        """Return the clip's tokens.

        Raises:
            FeatureError: there are none, or they are damaged, not N x F, of another width than others, or not finite.
        """
        file = self._file(clip, modality)
        tokens = read_tokens(file)
        if tokens.shape[1] != self.width(modality):
            raise FeatureError(
                f"{file}: found tokens of width {tokens.shape[1]}, expected {self.width(modality)} like the other "
                f"{modality} features in {self.root}; extract them all with the same encoder"
            )
        return torch.from_numpy(tokens.astype(np.float32))

    def check_origin(self, modality: str, digest: str) -> None:
        """Make sure that these features come from the tower or encoder with that digest.

        Features without features.json are trusted.
        """
        entry = self.manifest.get(modality)
        if entry and entry.get("digest") != digest:
            maker = entry.get("tower", entry.get("encoder"))
            raise FeatureError(
                f"{self.root}: the {modality} features were made by {maker!r} with weights {entry.get('digest')}, but "
                f"weights {digest} are expected; extract them again with the right ones (scripts/extract_features.py)"
            )

    def check_same_origin(
        self,
        manifest: Mapping[str, Mapping[str, Any]],
        *,
        trained: str,
        remedy: str = "resume with the same features, or choose another --output_dir",
    ) -> None:
        """Make sure that these features have the origin of those that `trained` was trained on.

        Features without features.json are trusted.
        """
        for modality, entry in manifest.items():
            if modality in self.manifest and (differences := _differences(entry, self.manifest[modality])):
                raise FeatureError(
                    f"{self.root}: {trained} was trained on other {modality} features ({differences}); {remedy}"
                )

    @cached_property
    def _widths(self) -> dict[str, int]:
        return {modality: int(entry["width"]) for modality, entry in self.manifest.items() if "width" in entry}

    def clips(self, modality: str, *, limit: int | None = None) -> list[str]:
        """Return the clips with tokens of a modality, in the order of their names.

        Args:
            modality: "video" or "skeleton".
            limit: so many clips at most, evenly spaced. None: all.

        Raises:
            FeatureError: there are none.
        """
        files = set(self._files_of(modality))
        names = sorted(without_suffix(clip) for clip, file in self._files[modality].items() if file in files)
        count = min(len(names), limit or len(names))
        return [names[k * len(names) // count] for k in range(count)]

    def _files_of(self, modality: str) -> list[str]:
        files = set(self._files[modality].values())
        if modality == "video" and self._folder("skeleton") == self._folder("video"):
            files = files - set(self._files["skeleton"].values()) or files
        if not files:
            raise FeatureError(
                f"{self.root}: no {modality} features ({modality}/<clip>.npy, .safetensors or .pkl) here"
            )
        return sorted(files)

    def _measure(self, modality: str) -> int:
        self._widths[modality] = read_tokens(self._folder(modality) / self._files_of(modality)[0]).shape[1]
        return self._widths[modality]

    @cached_property
    def _folders(self) -> dict[str, Path]:
        return {modality: self._folder(modality) for modality in MODALITIES}

    def _folder(self, modality: str) -> Path:
        folder = self.root / modality
        return folder if folder.is_dir() else self.root

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """Map each modality to its files: key of the clip → path in the modality's folder."""
        files = {name: {file: file for file in _feature_files(self._folder(name))} for name in MODALITIES}
        if self._folder("skeleton") == self.root:
            files["skeleton"] = _skeletons_among(files["skeleton"])
        return files

    @cached_property
    def _indices(self) -> dict[str, ClipIndex]:
        is_cut = {"video": False, "skeleton": self._folder("skeleton") == self.root}  # endings are removed already
        return {
            name: ClipIndex(files, endings=() if is_cut[name] else _ENDINGS[name])
            for name, files in self._files.items()
        }

    def find(self, clip: str, modality: str) -> Path | None:
        """Return the file of a clip's tokens, or None. Folders in the name may be absent in the store.

        Raises:
            FeatureError: the name means several files.
        """
        file = self.find_relative(clip, modality)
        return None if file is None else self._folders[modality] / file

    def find_relative(self, clip: str, modality: str) -> str | None:
        """Return the file of a clip's tokens as `find`, relative to the modality's folder."""
        if file := self._remembered.get(modality, {}).get(clip):
            return file
        try:
            name = self._indices[modality].find(clip, drop_folders=True)
        except ClipNameError as error:
            raise FeatureError(f"{self._folders[modality]}: {error}") from error
        return None if name is None else self._files[modality][name]

    def remember(self, modality: str, files: Mapping[str, str]) -> None:
        """Take the files of clips, relative to the modality's folder, from an earlier search."""
        self._remembered[modality] = files

    @cached_property
    def state(self) -> str:
        """Return a digest of all files by name, size and time of change, and of features.json."""
        folders = {self._folder(name) for name in MODALITIES}
        files = (folder / file for folder in sorted(folders) for file in _feature_files(folder))
        return digest(self.manifest, *map(_file_state, files))

    def check_apart(self, clips: Iterable[str], modality: str) -> None:
        """Make sure that no two clips of different folders have the same file."""
        clips_of: dict[str, list[str]] = {}
        for clip in dict.fromkeys(clips):
            if file := self.find_relative(clip, modality):
                clips_of.setdefault(file, []).append(clip)
        try:
            for file, several in clips_of.items():
                check_one_clip(str(self._folders[modality] / file), several)
        except ClipNameError as error:
            raise FeatureError(str(error)) from error

    def _file(self, clip: str, modality: str) -> Path:
        file = self.find(clip, modality)
        if file is None:
            raise FeatureError(
                f"no {modality} features of clip {clip!r} in {self._folder(modality)} (.npy, .safetensors or .pkl); "
                "extract them with scripts/extract_features.py, or remove the clip"
            )
        return file


def _feature_files(folder: Path) -> list[str]:
    """List the files of tokens below a folder, relative to it, but not in the folder of one modality."""
    if not folder.is_dir():
        return []
    files: list[str] = []
    for path, _, names in os.walk(folder, followlinks=True):  # texts, since pathlib takes seconds for 100,000 files
        start = Path(path).relative_to(folder)
        if not (start.parts and start.parts[0] in MODALITIES):
            place = f"{start}/" if start.parts else ""
            files += [place + name for name in names if name[0] != "." and _suffix(name) in SUFFIXES]
    return sorted(files)


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix.lower() if stem else ""


def _file_state(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _skeletons_among(files: Collection[str]) -> dict[str, str]:
    """Map clips to the skeletons' files in a folder shared with videos: the files with an ending.

    A file `tree_pose` beside `tree_pose_pose` is the video of a clip of that name.
    """
    stems = {without_suffix(file): file for file in files}
    with_skeleton = {stem.removesuffix(e): stem for e in _ENDINGS["skeleton"] for stem in stems if stem.endswith(e)}
    return {clip: stems[stem] for clip, stem in with_skeleton.items() if stem not in with_skeleton}


class FeatureWriter:
    """Writer of tokens as float16 `.npy`, atomically, beside a features.json that states their origin.

    `entries` describes each modality: {"video": {"tower": …, "digest": …, "num_frames": …, …}}. Features are added to
    a folder only if those in it have the same origin.

    Raises:
        FeatureError: the folder's features have another origin, or an unknown one.
    """

    def __init__(self, root: Path | str, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.manifest = _read_manifest(self.root)
        if any(self.manifest.get(modality) != dict(entry) for modality, entry in entries.items()):
            self._add(entries)  # else nothing is written, so that a folder without permission to write can be read

    def _add(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        with FileLock(self.root / ".features.lock"):  # shards and the other modality write it too
            self.manifest = _read_manifest(self.root)
            for modality, entry in entries.items():
                _check_same_origin(self.root, modality, self.manifest.get(modality), entry)
                self.manifest[modality] = dict(entry)
            write_json(self.root / MANIFEST, self.manifest)

    def has(self, clip: str, modality: str) -> bool:
        """Return whether the clip's tokens are stored already."""
        return self.path(clip, modality).is_file()

    def path(self, clip: str, modality: str) -> Path:
        """Return the file of a clip's tokens, which may not be there yet."""
        return self.root / modality / f"{clip}.npy"

    def write(self, clip: str, modality: str, tokens: Float[np.ndarray, "N F"]) -> None:
        """Store one clip's tokens.

        Raises:
            FeatureError: a value is NaN or beyond float16's 65504.
            OSError: the disk is full. Files written before are whole.
        """
        file = self.path(clip, modality)
        with np.errstate(over="ignore"):  # the check below has the better message
            stored = tokens.astype(np.float16)
        check_tokens(stored, file)
        try:
            with atomic_path(file) as temporary:
                np.save(temporary, stored, allow_pickle=False)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"the disk of {self.root} is full; the features written so far stay: free space (about "
                f"{stored.nbytes / 2**20:.1f} MB per clip are needed) and run the same command again",
            ) from error


def _check_same_origin(root: Path, modality: str, old: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> None:
    if old is None:
        if (root / modality).is_dir() and any((root / modality).iterdir()):
            raise FeatureError(
                f"{root / modality} holds files, but {root / MANIFEST} does not say what made them; "
                "choose another folder"
            )
        return
    if differences := _differences(old, entry):
        raise FeatureError(
            f"{root}: the {modality} features there were made otherwise ({differences}); choose "
            f"another folder, or delete {root / modality} and its entry in {MANIFEST}"
        )


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the differences between two origins of features, but for the paths of the weights."""
    keys = sorted((old.keys() | new.keys()) - set(_PATHS))
    return "; ".join(f"{key} {old.get(key)!r} → {new.get(key)!r}" for key in keys if old.get(key) != new.get(key))


def _read_manifest(root: Path) -> dict[str, dict[str, Any]]:
    file = root / MANIFEST
    if not file.is_file():
        return {}
    try:
        manifest = read_json(file)
    except ValueError as error:
        raise FeatureError(f"{file}: damaged ({error}); extract the features again into another folder") from error
    if not isinstance(manifest, dict) or not all(isinstance(entry, dict) for entry in manifest.values()):
        raise FeatureError(f"{file}: expected an object with an object for each modality")
    return manifest
