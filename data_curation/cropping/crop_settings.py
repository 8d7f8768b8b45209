"""The settings of crops."""

from dataclasses import dataclass
from typing import Literal, get_args

from data_curation.cropping.boxes import KINECT, SLACK
from ski_lvlm.datasets.action_classes import ActionClass

Mode = Literal["static", "tracking", "none"]
Shape = Literal["pad", "aspect"]
Persons = Literal["acting", "all"]


@dataclass(frozen=True)
class CropSettings:
    """Motion, shape, size, frame rate and persons of a crop.

    Attributes:
        mode: one rectangle a clip ("static"), a window that follows the person ("tracking"), or no crop ("none").
        shape: a black-padded square ("pad"), or the rectangle's aspect with a longer side of `size` pixels ("aspect").
        size: the longer side in pixels.
        fps: frames a second, or None for the frames of the video.
        slack: pixels around the joints, in a 1920x1080 image.
        persons: "acting" leaves bystanders out of one-person actions.

    Raises:
        ValueError: a setting is out of range.
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
        """The settings and the version of the code, as text.

        >>> CropSettings(fps=10).version
        'crop-4 static pad 224 fps=10 slack=64 acting'
        """
        fps = "own" if self.fps is None else f"{self.fps:g}"
        return f"crop-4 {self.mode} {self.shape} {self.size} fps={fps} slack={self.slack:g} {self.persons}"

    def persons_in(self, action: ActionClass) -> int:
        """Return the maximum number of persons in a crop. A class of an unknown number may have two.

        >>> wave, hug = ActionClass("wave", "1", persons=1), ActionClass("hug", "2")
        >>> CropSettings().persons_in(wave), CropSettings().persons_in(hug)
        (1, 2)
        >>> CropSettings(persons="all").persons_in(wave)
        2
        """
        return 1 if self.persons == "acting" and action.persons == 1 else 2
