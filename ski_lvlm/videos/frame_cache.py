"""Sources of a clip's frames for training and evaluation: the videos, or a cache of decoded frames.

Decoding all of a 1080p clip for 16 small frames keeps a training step waiting. A cache holds a fixed number of frames
of every clip, already scaled, and a step reads only those it shows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.storage.array_files import array_fault
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.videos.decoding import read_moments
from ski_lvlm.videos.folder import VideoClip, VideoError, check_has_videos, list_videos
from ski_lvlm.videos.timeline import frames_at

_VERSION = 1


@runtime_checkable
class FrameSource(Protocol):
    """Source of frames, `side` pixels square, of the clips `names`."""

    side: int
    names: list[str]

    def window(
        self, name: str, *, start: float, stop: float, num_frames: int, rng: np.random.Generator | None = None
    ) -> UInt8[Tensor, "T 3 H W"]:
        """Return the frames at the moments of `segment_moments` between `start` and `stop` (shares of the clip)."""
        ...


def segment_moments(
    num_frames: int, *, start: float, stop: float, rng: np.random.Generator | None = None
) -> Float[np.ndarray, " T"]:
    """Return one moment of each of `num_frames` equal segments of a window: the middle, or with `rng` any.

    This is how TSN samples. Moments are shares of the clip and do not depend on its number of frames. The middles of
    the whole clip are those of `timeline.sample_indices`.

    Assumption: where there are fewer frames than segments, frames repeat, since a batch needs clips of one length.

    >>> segment_moments(4, start=0.0, stop=1.0).tolist()
    [0.125, 0.375, 0.625, 0.875]
    """
    if not 0 <= start < stop <= 1:
        raise ValueError(f"the time window is {start} to {stop}; expected shares of the clip, 0 <= start < stop <= 1")
    within = np.full(num_frames, 0.5) if rng is None else rng.random(num_frames)
    return start + (stop - start) * (np.arange(num_frames) + within) / num_frames


class DecodedFrames:
    """Frames straight from the videos: exact, and slow.

    Args:
        videos: the folder that holds `rgb/` or the videos themselves, or the video of each clip.
        side: height and width in pixels.
        framing: "centre" cuts out the central square, "whole" squeezes the whole frame into one.
    """

    def __init__(self, videos: Path | str | Mapping[str, VideoClip], *, side: int, framing: str = "centre") -> None:
        self.side, self.framing = side, framing
        if isinstance(videos, Mapping):
            self._clips = dict(videos)
        else:
            files = list_videos(videos)
            check_has_videos(videos, files, flag="the folder")
            self._clips = {name: VideoClip(path) for name, path in files.items()}
        self.names = list(self._clips)

    def window(
        self, name: str, *, start: float, stop: float, num_frames: int, rng: np.random.Generator | None = None
    ) -> UInt8[Tensor, "T 3 H W"]:
        """Decode the clip's frames at the moments of the window.

        Raises:
            VideoError: the folder has no such clip, or it cannot be decoded.
        """
        if name not in self._clips:
            raise VideoError(f"no video of clip {name!r} among the {len(self.names)} of the folder; leave the clip out")
        moments = segment_moments(num_frames, start=start, stop=stop, rng=rng)
        clip = self._clips[name]
        return read_moments(clip.path, moments=moments, side=self.side, framing=self.framing, span=clip.span)


class FrameCache:
    """A folder with `frames.json` and for every clip a `.npy` of uint8 [num_frames 3 side side], mapped when read.

    The cached frames are the middle ones of `num_frames` equal segments of the clip. For a moment between two of them,
    the nearest one is read. Where `num_frames` is an odd multiple of the frames of a sample, evaluation gets exactly
    the frames that decoding would give.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        settings = _read_settings(self.folder)
        self.num_frames: int = settings["num_frames"]
        self.side: int = settings["side"]
        self.framing: str = settings["framing"]
        # a name that begins with a dot is a clip half-written
        files = (file.relative_to(self.folder) for file in self.folder.rglob("*.npy") if file.name[0] != ".")
        self.names = sorted(str(file).removesuffix(".npy") for file in files)

    @classmethod
    def open(cls, folder: Path) -> "FrameCache":
        """Open a cache for reading.

        Raises:
            ValueError: there is none, or another version of this code made it.
        """
        return cls(folder)

    @classmethod
    def create(cls, folder: Path, *, num_frames: int, side: int, framing: str = "centre") -> "FrameCache":
        """Create a cache, or open one with the same settings.

        Raises:
            ValueError: the folder holds frames of other settings.
        """
        path = Path(folder) / "frames.json"
        settings = {"num_frames": num_frames, "side": side, "framing": framing, "version": _VERSION}
        if not path.exists():
            write_json(path, settings)
        stored = _read_settings(Path(folder))
        differing = [f"{key} {stored[key]!r}, not {value!r}" for key, value in settings.items() if stored[key] != value]
        if differing:
            raise ValueError(
                f"{folder}: holds frames of other settings ({'; '.join(differing)}); choose another folder, or the "
                "settings that it was created with"
            )
        return cls(folder)

    def window(
        self, name: str, *, start: float, stop: float, num_frames: int, rng: np.random.Generator | None = None
    ) -> UInt8[Tensor, "T 3 H W"]:
        """Read the cached frames nearest to the moments of the window.

        Raises:
            ValueError: the cache has no such clip, or its file is damaged.
        """
        moments = segment_moments(num_frames, start=start, stop=stop, rng=rng)
        return torch.from_numpy(self._mapped(name)[frames_at(moments, total=self.num_frames)])

    def has(self, name: str) -> bool:
        """Return whether the cache holds the clip undamaged."""
        try:
            self._mapped(name)
        except ValueError:
            return False
        return True

    def write(self, name: str, frames: UInt8[Tensor, "N 3 S S"]) -> None:
        """Write the frames of one clip. After a crash the file is whole or absent."""
        if frames.shape != self._shape:
            raise ValueError(f"{name}: frames {tuple(frames.shape)}, but the cache holds {self._shape}")
        with atomic_path(self._file(name)) as temporary:
            np.save(temporary, frames.numpy())

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.num_frames, 3, self.side, self.side

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _mapped(self, name: str) -> UInt8[np.ndarray, "N 3 S S"]:
        path = self._file(name)
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise ValueError(
                f"{self.folder}: no frames of clip {name!r}; run scripts/cache_frames.py again, or leave the clip out "
                "(failures.json lists the unreadable ones)"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            fault = array_fault(path, error, remedy="run scripts/cache_frames.py again")
            raise ValueError(f"{path}: damaged: {fault}") from error
        if frames.shape != self._shape or frames.dtype != np.uint8:
            raise ValueError(
                f"{path}: {frames.dtype} {frames.shape}, but frames.json promises uint8 {self._shape}; "
                "delete the file and run scripts/cache_frames.py again"
            )
        return frames.view(np.ndarray)


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "frames.json"
    if not path.is_file():
        raise ValueError(f"{folder}: no frame cache (frames.json) here; make one with scripts/cache_frames.py")
    try:
        settings = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); delete the folder and cache the frames again") from error
    expected = {"num_frames", "side", "framing", "version"}
    if not isinstance(settings, dict) or set(settings) != expected or settings["version"] != _VERSION:
        raise ValueError(
            f"{path}: found {settings}; expected {', '.join(sorted(expected))}, version {_VERSION}: it comes from "
            "another version of this code; delete the folder and cache the frames again"
        )
    return settings
