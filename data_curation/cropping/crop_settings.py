"""How crops look, and what a record of a crop is keyed by."""

from dataclasses import dataclass
from typing import Literal, get_args

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.cropping.boxes import KINECT, SLACK

Mode = Literal["static", "tracking"]
Shape = Literal["pad", "aspect"]
Persons = Literal["acting", "all"]


@dataclass(frozen=True)
class CropSettings:
    """What moves, what shape and size a crop has, how fast it is, and who is in it.

    `mode` is one rectangle a clip ("static") or a window that follows ("tracking"); `shape` a black-padded square
    ("pad") or the rectangle's own aspect with its longer side of `size` pixels ("aspect"). `fps` None keeps the video's
    frames. `slack` is in pixels of a 1920x1080 image. `persons` "acting" leaves bystanders out of one-person actions.

    Raises:
        ValueError: a setting that cannot be met.
    """

    mode: Mode = "static"
    shape: Shape = "pad"
    size: int = 224
    fps: float | None = None
    slack: float = SLACK
    persons: Persons = "acting"

    def __post_init__(self) -> None:
        for name, kind in (("mode", Mode), ("shape", Shape), ("persons", Persons)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown; expected {' or '.join(get_args(kind))}")
        if self.size < 16 or self.size % 2:
            raise ValueError(f"a crop's size of {self.size} is not possible; give an even number of at least 16 pixels")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"{self.fps} frames per second are not possible; give a number above 0, or none")
        if not 0 <= self.slack < max(KINECT):
            raise ValueError(f"a slack of {self.slack} pixels is not possible; give 0 or more, such as {SLACK:g}")

    @property
    def version(self) -> str:
        """The settings and the state of this code, in words.

        >>> CropSettings(fps=10).version
        'crop-4 static pad 224 fps=10 slack=64 acting'
        """
        fps = "own" if self.fps is None else f"{self.fps:g}"
        return f"crop-4 {self.mode} {self.shape} {self.size} fps={fps} slack={self.slack:g} {self.persons}"

    def persons_in(self, action: int) -> int:
        """How many persons a crop of NTU's action (from 1) shows at most.

        >>> CropSettings().persons_in(1), CropSettings().persons_in(50), CropSettings(persons="all").persons_in(1)
        (1, 2, 2)
        """
        return 1 if self.persons == "acting" and ACTION_PHRASES[action][0] == "one" else 2
