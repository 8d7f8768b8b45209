"""The feature store: frozen video and skeleton tokens on disk, one file per clip and modality, no pickle of our own.

    DIR/features.json          what made them; absent for features of one's own
    DIR/video/<clip>.npy       [N F], float16 or float32
    DIR/skeleton/<clip>.npy

Of one's own, `.safetensors` and others' `.pkl` (through the restricted unpickler) are read as well, and `<clip>_pose`
is taken for the skeleton's file, as LLAVIDAL and the published SKI data spell it. Where a modality has no folder of its
own, its files may lie in DIR itself, the skeleton's then with `_pose` or `_skeleton`.
"""

import errno
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Float, Float32
from torch import Tensor

from ski_lvlm.feature_files import SUFFIXES, FeatureError, check_tokens, read_tokens
from ski_lvlm.files import atomic_path, write_json
from ski_lvlm.video import clip_stem

MANIFEST = "features.json"
MODALITIES = ("video", "skeleton")
_OWN_FOLDER = {"video": ("", "_video"), "skeleton": ("", "_pose", "_skeleton")}
_SHARED_FOLDER = {"video": ("", "_video"), "skeleton": ("_pose", "_skeleton")}
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
        return self._find(clip, modality) is not None

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
        folder, endings = self._place(modality)
        names = (entry.name for entry in os.scandir(folder)) if folder.is_dir() else ()
        files = (folder / name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))
        first = min((f for f in files if f.stem.endswith(tuple(endings))), default=None)
        if first is None:
            raise FeatureError(
                f"{self.root}: no {modality} features ({modality}/<clip>.npy, .safetensors or .pkl) here"
            )
        self._widths[modality] = read_tokens(first).shape[1]
        return self._widths[modality]

    def _place(self, modality: str) -> tuple[Path, tuple[str, ...]]:
        own = self.root / modality
        return (own, _OWN_FOLDER[modality]) if own.is_dir() else (self.root, _SHARED_FOLDER[modality])

    def _find(self, clip: str, modality: str) -> Path | None:
        folder, endings = self._place(modality)
        stem = clip_stem(clip).removesuffix("_pose")
        candidates = (folder / f"{stem}{ending}{suffix}" for ending in endings for suffix in SUFFIXES)
        return next((file for file in candidates if file.is_file()), None)

    def _file(self, clip: str, modality: str) -> Path:
        file = self._find(clip, modality)
        if file is None:
            folder, _ = self._place(modality)
            raise FeatureError(
                f"no {modality} features of clip {clip!r} in {folder} (.npy, .safetensors or .pkl); extract them with "
                "scripts/extract_features.py, or leave the clip out"
            )
        return file


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
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FeatureError(f"{file}: damaged ({error}); extract the features again into another folder") from error
    if not isinstance(manifest, dict) or not all(isinstance(entry, dict) for entry in manifest.values()):
        raise FeatureError(f"{file}: expected an object with an object for each modality")
    return manifest
