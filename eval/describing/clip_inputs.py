"""The input of a clip for a model's tower: tokens that were kept earlier, or frames."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_files import clip_reader, stretches_of, video_clips
from ski_lvlm.datasets.reading import LoadedClip
from ski_lvlm.lvlm.feature_files import FeatureError
from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.lvlm.video_tokens import VideoTokens, video_entry
from ski_lvlm.storage.clip_names import clip_name
from ski_lvlm.videos.folder import VideoClip, VideoFolder


class ClipInput(NamedTuple):
    """A clip's tokens, or its frames where none are kept, and the name to keep them under."""

    name: str
    tokens: Float[Tensor, "N F"] | None
    frames: UInt8[Tensor, "T_v 3 H W"] | None


class ClipInputs:
    """Reader and encoder of clips for a model.

    Attributes:
        read: reads a clip by its name in the questions. It holds no model, for worker processes.

    Args:
        lvlm: the model and its tower.
        videos: a folder of videos. With `data`, the place of that data set's videos.
        data: a data set's name or folder, whose clips may be stretches of videos.
        features: the feature folder in which tokens are kept.

    Raises:
        ValueError: there are no such videos, or the folder keeps tokens of another origin.
    """

    def __init__(self, lvlm: LoadedLvlm, videos: Path | None, *, data: str | None, features: Path | None) -> None:
        clips = video_clips(open_data_set(data), videos) if data else None
        source = VideoFolder(str(videos)) if clips is None else clips
        tower, framing = lvlm.tower, lvlm.framing
        read_frames = clip_reader(source, num_frames=tower.num_frames, side=tower.image_size, framing=framing)
        stretches = stretches_of(open_data_set(str(data)), clips) if clips else None
        entry = video_entry(tower, framing=framing, data_set=stretches)
        self._lvlm = lvlm
        self._store = VideoTokens(features, entry) if features else None
        self.read = _Reader(source, read_frames, self._store)

    def content(self, clip: LoadedClip[ClipInput]) -> tuple[Float[Tensor, "N F"] | None, str]:
        """Return a clip's tokens, or None and the reason. Those that the tower makes now are kept."""
        if clip.content is None:
            return None, clip.error
        name, tokens, frames = clip.content
        if frames is None:
            return tokens, ""
        tokens = self._lvlm.encode(frames)
        try:
            return self._store.keep(name, tokens) if self._store else tokens, ""
        except FeatureError as error:
            return None, str(error)


@dataclass(frozen=True)
class _Reader:
    videos: Mapping[str, VideoClip] | VideoFolder
    read_frames: Callable[[str], UInt8[Tensor, "T_v 3 H W"]]
    store: VideoTokens | None

    def __call__(self, name: str) -> ClipInput:
        if self.store is None:
            return ClipInput(name, None, self.read_frames(name))
        stored_name = name_of(self.videos, name)
        tokens = self.store.load(stored_name)
        return ClipInput(stored_name, tokens, self.read_frames(name) if tokens is None else None)


def name_of(videos: Mapping[str, VideoClip] | VideoFolder, name: str) -> str:
    """Return the one name of a clip that a question file may spell in several ways.

    It is the name under which `scripts/extract_features.py` keeps the clip's tokens.

    Raises:
        VideoError: there is no such video.
    """
    if isinstance(videos, VideoFolder):
        return clip_name(videos.find(name).relative_to(videos.root).as_posix())
    return name
