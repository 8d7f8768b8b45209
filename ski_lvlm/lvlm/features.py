"""The feature store: frozen video and skeleton tokens on disk, one file per clip and modality, no pickle of our own.

    DIR/features.json          what made them; absent for features of one's own
    DIR/video/<clip>.npy       [N F], float16 or float32
    DIR/skeleton/<clip>.npy

Of one's own, `.safetensors` and others' `.pkl` (through the restricted unpickler) are read as well, and `<clip>_pose`
is taken for the skeleton's file, as LLAVIDAL and the published SKI data spell it. Where a modality has no folder of its
own, its files may lie in DIR itself, the skeleton's then with `_pose` or `_skeleton`. Clips may lie in folders.
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

from ski_lvlm.lvlm.feature_files import SUFFIXES, FeatureError, check_tokens, read_tokens
from ski_lvlm.storage.clip_names import ClipIndex, ClipNameError, check_one_clip, without_suffix
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json

MANIFEST = "features.json"
MODALITIES = ("video", "skeleton")
_ENDINGS = {"video": ("_rgb", "_video"), "skeleton": ("_human_pose", "_pose", "_skeleton")}
_NAMES_ONLY = ("tower", "encoder")  # where the weights lay may change; what they are is in the digest


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

    def has(self, clip: str, modality: str) -> bool:
        """Whether the clip has tokens of this modality."""
        return self.find(clip, modality) is not None

    def width(self, modality: str) -> int:
        """F: from features.json, or from the first file of the modality.

        Raises:
            FeatureError: the folder has no features of this modality.
        """
        return self._widths[modality] if modality in self._widths else self._measure(modality)

    def token_count(self, clip: str, modality: str) -> int:
        """N of one clip."""
        return len(read_tokens(self._file(clip, modality), finite=False))

    def load(self, clip: str, modality: str) -> Float32[Tensor, "N F"]:
        """The clip's tokens.

        Raises:
            FeatureError: there are none, or they are damaged, not N x F, of another width than the rest, or not finite.
        """
        file = self._file(clip, modality)
        tokens = read_tokens(file)
        if tokens.shape[1] != self.width(modality):
            raise FeatureError(
                f"{file}: found tokens of width {tokens.shape[1]}, expected {self.width(modality)} like the other "
                f"{modality} features in {self.root}; extract them all with the same encoder"
            )
        return torch.from_numpy(tokens.astype(np.float32))

    def check_tower(self, modality: str, digest: str) -> None:
        """Make sure that these features come from the tower or encoder with that digest.

        Features of one's own, without features.json, are trusted.

        Raises:
            FeatureError: they come from other weights.
        """
        entry = self.manifest.get(modality)
        if entry and entry.get("digest") != digest:
            maker = entry.get("tower", entry.get("encoder"))
            raise FeatureError(
                f"{self.root}: the {modality} features were made by {maker!r} with weights {entry.get('digest')}, but "
                f"weights {digest} are expected; extract them again with the right ones (scripts/extract_features.py)"
            )

    @cached_property
    def _widths(self) -> dict[str, int]:
        return {modality: int(entry["width"]) for modality, entry in self.manifest.items() if "width" in entry}

    def _measure(self, modality: str) -> int:
        files = set(self._files[modality].values())
        if modality == "video" and self._folder("skeleton") == self._folder("video"):
            files = files - set(self._files["skeleton"].values()) or files
        first = min(files, default=None)
        if first is None:
            raise FeatureError(
                f"{self.root}: no {modality} features ({modality}/<clip>.npy, .safetensors or .pkl) here"
            )
        self._widths[modality] = read_tokens(self._folder(modality) / first).shape[1]
        return self._widths[modality]

    def _folder(self, modality: str) -> Path:
        own = self.root / modality
        return own if own.is_dir() else self.root

    @cached_property
    def _files(self) -> dict[str, dict[str, str]]:
        """Modality → what the clip of a file is looked up by → the file, relative to the modality's folder."""
        files = {name: {file: file for file in _feature_files(self._folder(name))} for name in MODALITIES}
        if self._folder("skeleton") == self.root:
            files["skeleton"] = _skeletons_among(files["skeleton"])
        return files

    @cached_property
    def _indices(self) -> dict[str, ClipIndex]:
        is_cut = {"video": False, "skeleton": self._folder("skeleton") == self.root}  # endings are cut off already
        return {
            name: ClipIndex(files, endings=() if is_cut[name] else _ENDINGS[name])
            for name, files in self._files.items()
        }

    def find(self, clip: str, modality: str) -> Path | None:
        """Return the file of a clip's tokens, or None; folders of the name may be absent here.

        Raises:
            FeatureError: the name means several files.
        """
        folder = self._folder(modality)
        try:
            name = self._indices[modality].find(clip, drop_folders=True)
        except ClipNameError as error:
            raise FeatureError(f"{folder}: {error}") from error
        return None if name is None else folder / self._files[modality][name]

    def check_apart(self, clips: Iterable[str], modality: str) -> None:
        """Make sure that no two clips of different folders have the same file.

        Raises:
            FeatureError: two have.
        """
        clips_of: dict[Path, list[str]] = {}
        for clip in dict.fromkeys(clips):
            if file := self.find(clip, modality):
                clips_of.setdefault(file, []).append(clip)
        try:
            for file, several in clips_of.items():
                check_one_clip(str(file), several)
        except ClipNameError as error:
            raise FeatureError(str(error)) from error

    def _file(self, clip: str, modality: str) -> Path:
        file = self.find(clip, modality)
        if file is None:
            raise FeatureError(
                f"no {modality} features of clip {clip!r} in {self._folder(modality)} (.npy, .safetensors or .pkl); "
                "extract them with scripts/extract_features.py, or leave the clip out"
            )
        return file


def _feature_files(folder: Path) -> list[str]:
    """The files of tokens below a folder, relative to it, but not in the folder of one modality."""
    walked = os.walk(folder, followlinks=True) if folder.is_dir() else ()
    files = (Path(where, name).relative_to(folder) for where, _, names in walked for name in names if name[0] != ".")
    return sorted(str(file) for file in files if file.suffix.lower() in SUFFIXES and file.parts[0] not in MODALITIES)


def _skeletons_among(files: Collection[str]) -> dict[str, str]:
    """Clip → file of the skeletons in a folder that videos share: those with an ending.

    A file `tree_pose` beside `tree_pose_pose` is the video of a clip that is called so.
    """
    stems = {without_suffix(file): file for file in files}
    with_skeleton = {stem.removesuffix(e): stem for e in _ENDINGS["skeleton"] for stem in stems if stem.endswith(e)}
    return {clip: stems[stem] for clip, stem in with_skeleton.items() if stem not in with_skeleton}


class FeatureWriter:
    """Writes tokens as float16 `.npy`, whole or not at all, beside a features.json that says what made them.

    `entries` describes each modality: {"video": {"tower": …, "digest": …, "num_frames": …, …}}. A folder that already
    holds features of a modality is added to only if they were made in the same way.

    Raises:
        FeatureError: the folder's features were made otherwise, or nobody knows how.
    """

    def __init__(self, root: Path | str, entries: Mapping[str, Mapping[str, Any]]) -> None:
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root / ".features.lock"):  # shards and the other modality write it too
            manifest = _read_manifest(self.root)
            for modality, entry in entries.items():
                _check_same_origin(self.root, modality, manifest.get(modality), entry)
                manifest[modality] = dict(entry)
            write_json(self.root / MANIFEST, manifest)
        self.manifest = manifest

    def has(self, clip: str, modality: str) -> bool:
        """Whether the clip's tokens are there already."""
        return self._path(clip, modality).is_file()

    def write(self, clip: str, modality: str, tokens: Float[np.ndarray, "N F"]) -> None:
        """Store one clip's tokens.

        Raises:
            FeatureError: a value is NaN or beyond float16's 65504.
            OSError: the disk is full; what was written before is whole.
        """
        file = self._path(clip, modality)
        with np.errstate(over="ignore"):  # the check below says it better
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
                f"the disk of {self.root} is full; the features written so far are kept: free space (about "
                f"{stored.nbytes / 2**20:.1f} MB per clip are needed) and run the same command again",
            ) from error

    def _path(self, clip: str, modality: str) -> Path:
        return self.root / modality / f"{clip}.npy"


def _check_same_origin(root: Path, modality: str, old: Mapping[str, Any] | None, entry: Mapping[str, Any]) -> None:
    if old is None:
        if (root / modality).is_dir() and any((root / modality).iterdir()):
            raise FeatureError(
                f"{root / modality} holds files, but {root / MANIFEST} does not say what made them; "
                "choose another --out"
            )
        return
    keys = sorted((old.keys() | entry.keys()) - set(_NAMES_ONLY))
    if differing := [f"{key} {old.get(key)!r} → {entry.get(key)!r}" for key in keys if old.get(key) != entry.get(key)]:
        raise FeatureError(
            f"{root}: the {modality} features there were made otherwise ({'; '.join(differing)}); choose "
            f"another --out, or delete {root / modality} and its entry in {MANIFEST}"
        )


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
