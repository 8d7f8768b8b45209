"""Videos decoded ahead of the model, one clip after the other; a clip that cannot be read says why."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from ski_lvlm.videos.decoding import read_for_tower
from ski_lvlm.videos.folder import VideoError, VideoFolder


class DecodedClip(NamedTuple):
    """A clip's frames, or why there are none."""

    name: str
    frames: UInt8[Tensor, "T_v 3 H W"] | None
    error: str | None


class DecodedClips(Dataset[DecodedClip]):
    """Clips by name, sampled and resized for a vision tower."""

    def __init__(self, names: Sequence[str], folder: Path, *, num_frames: int, side: int, framing: str) -> None:
        self.names = names
        self.videos = VideoFolder(folder)
        self.num_frames, self.side, self.framing = num_frames, side, framing

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> DecodedClip:
        name = self.names[index]
        try:
            path = self.videos.find(name)
            frames = read_for_tower(path, num_frames=self.num_frames, side=self.side, framing=self.framing)
            return DecodedClip(name, frames, None)
        except VideoError as error:
            return DecodedClip(name, None, str(error))
