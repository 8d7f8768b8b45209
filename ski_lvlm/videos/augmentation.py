"""Random views of a clip for training: a square of the picture, mirrored or not, in other colours.

One draw holds for all frames of the clip, so that the augmentation adds no motion and no flicker.

Deviation: the published code flips the RGB frames alone while the skeleton stays as it was (here one draw decides for
both), and it mixes frames and labels of two clips (mixup, cutmix) while their skeletons stay unmixed (here both are
off). Its multi-scale crop has thirteen places and four scales per axis. Here scale and place are continuous and the
crop is square.
"""

from dataclasses import astuple, dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1
_GREY = np.array([0.299, 0.587, 0.114])
_TO_YIQ = np.array([_GREY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


@dataclass(frozen=True)
class VideoAugmentation:
    """Strength of the random changes in training views.

    `flip`, `colour_jitter` and `grey` are probabilities, as published. `scale` bounds the side of the random square as
    a share of the picture's (published: 0.66 to 1). `window` bounds the length of the random time window as a share of
    the clip's, as the skeleton's random crop (the published video code always shows the whole clip).

    Assumption: colours are jittered by up to 40 % in brightness and contrast, 20 % in saturation and a tenth of the
    colour circle in hue, by one linear map for the whole clip (hue as a rotation of YIQ's colour plane).
    """

    flip: float = 0.5
    scale: tuple[float, float] = (0.66, 1.0)
    colour_jitter: float = 0.8
    grey: float = 0.2
    window: tuple[float, float] = (0.5, 1.0)

    def __post_init__(self) -> None:
        shares = np.hstack(astuple(self))
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"{self}: expected probabilities and shares between 0 and 1")
        for name in ("scale", "window"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} is {low} to {high}; expected two shares above 0 in ascending order")


NONE = VideoAugmentation(flip=0.0, scale=(1.0, 1.0), colour_jitter=0.0, grey=0.0, window=(1.0, 1.0))


def random_window(rng: np.random.Generator, *, augmentation: VideoAugmentation) -> tuple[float, float]:
    """Draw the time window of a training view, as two shares of the clip."""
    length = rng.uniform(*augmentation.window)
    start = rng.uniform(0.0, 1.0 - length)
    return start, min(start + length, 1.0)


def augment(
    video: UInt8[Tensor, "T 3 S S"],
    *,
    flip: bool,
    side: int,
    rng: np.random.Generator,
    augmentation: VideoAugmentation,
) -> UInt8[Tensor, "T 3 {side} {side}"]:
    """Return a random square of the clip in random colours, `side` pixels square, mirrored if `flip`."""
    size = max(round(video.shape[-1] * rng.uniform(*augmentation.scale)), 1)
    top, left = rng.integers(0, video.shape[-1] - size + 1, 2)
    colours = _random_colours(video, rng, augmentation)
    return _render(video[..., top : top + size, left : left + size], side, flip=flip, colours=colours)


def scaled(video: UInt8[Tensor, "T 3 S S"], *, side: int) -> UInt8[Tensor, "T 3 {side} {side}"]:
    """Return the whole picture of every frame, `side` pixels square."""
    return video if video.shape[-1] == side else _render(video, side)


def _render(
    video: UInt8[Tensor, "T 3 S S"],
    side: int,
    *,
    flip: bool = False,
    colours: Float[np.ndarray, "3 4"] | None = None,
) -> UInt8[Tensor, "T 3 {side} {side}"]:
    # Frames are small, and OpenCV's threads do not survive the fork into a DataLoader's workers.
    cv2.setNumThreads(0)
    size = video.shape[-1]
    frames = np.empty((len(video), 3, side, side), np.uint8)
    for planes, target in zip(video.numpy(), frames, strict=True):
        frame = cv2.merge(list(planes))  # OpenCV is several times faster on interleaved colours
        if size != side:
            frame = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA if size > side else cv2.INTER_LINEAR)
        if flip:
            frame = cv2.flip(frame, 1)
        if colours is not None:
            frame = cv2.transform(frame, colours)
        target[:] = cv2.split(frame)
    return torch.from_numpy(frames)


def _random_colours(
    video: UInt8[Tensor, "T 3 S S"], rng: np.random.Generator, augmentation: VideoAugmentation
) -> Float[np.ndarray, "3 4"] | None:
    """Draw the linear map of RGB (with an offset) that changes a clip's colours, or None."""
    is_jittered, is_grey = rng.random(2) < (augmentation.colour_jitter, augmentation.grey)
    brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * (_BRIGHTNESS, _CONTRAST, _SATURATION)
    turn = 2 * np.pi * rng.uniform(-_HUE, _HUE)
    if not (is_jittered or is_grey):
        return None
    colours = np.eye(3)
    offset = 0.0
    if is_jittered:
        colours = brightness * contrast * _hue_rotation(turn) @ _saturation(saturation)
        mean_grey = float(_GREY @ video[..., ::4, ::4].float().mean((0, 2, 3)).numpy())  # every 16th pixel is enough
        offset = (1 - contrast) * brightness * mean_grey  # contrast leaves the clip's mean grey alone
    if is_grey:
        colours = _saturation(0.0) @ colours
    return np.column_stack([colours, np.full(3, offset)])


def _saturation(factor: float) -> Float[np.ndarray, "3 3"]:
    """Return the map of RGB away from grey: 1 changes nothing, 0 makes grey. Greys stay."""
    return factor * np.eye(3) + (1 - factor) * np.tile(_GREY, (3, 1))


def _hue_rotation(angle: float) -> Float[np.ndarray, "3 3"]:
    """Return the map of RGB that turns all hues by an angle in radians. Greys stay."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    return np.linalg.inv(_TO_YIQ) @ rotation @ _TO_YIQ
