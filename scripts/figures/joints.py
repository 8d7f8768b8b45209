"""Joints of NTU's skeletons in the pixels of a clip, and the share of a heat map near them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

COLOUR_WIDTH, COLOUR_HEIGHT = 1920, 1080  # of the image that a .skeleton file's colour coordinates are in
People = list[list[Float[np.ndarray, "J 2"]]]  # by frame: the joints (x, y) of each person


def joints_of(
    ntu: Path, name: str, frames: Int[np.ndarray, " T"], *, box: Float[np.ndarray, " 4"], side: int
) -> People | None:
    """Return the joints of everyone in each of `frames`, in pixels of a square with `side` pixels.

    The square shows `box` (left, top, right, bottom), in shares of the image. None if there is no .skeleton file, or
    nobody in it. Joints that the Kinect could not place in the image are NaN.
    """
    from ski_lvlm.datasets.ntu_folder import skeleton_folders
    from ski_lvlm.skeletons.cleaning import CleaningError, clean
    from ski_lvlm.skeletons.ntu_file import read_skeleton

    file = next((f for folder in skeleton_folders(ntu) if (f := folder / f"{name}.skeleton").is_file()), None)
    if file is None:
        return None
    recording = read_skeleton(file)
    try:
        tracks = [recording.bodies[body] for body in clean(recording).body_ids]
    except CleaningError:
        return None
    size = np.array([COLOUR_WIDTH, COLOUR_HEIGHT])
    return [
        [
            (track.colour[row] / size - box[:2]) / (box[2:] - box[:2]) * side
            for track in tracks
            for row in np.flatnonzero(track.frames == frame)[:1]
        ]
        for frame in frames
    ]


def area_near(people: People | None, *, size: tuple[int, int], radius: float) -> Bool[np.ndarray, "T H W"] | None:
    """Return the pixels near a joint in the frames with persons. None if there is no such frame."""
    points = [np.concatenate(persons) for persons in people or () if persons]
    return discs([p[np.isfinite(p).all(1)] for p in points], size=size, radius=radius) if points else None


def share_near(
    heat: Float[np.ndarray, "T H W"], people: People | None, area: Bool[np.ndarray, "T2 H W"]
) -> float | None:
    """Return the share of the heat near joints in the frames with persons. None if there is no heat."""
    return share_inside(heat[[bool(persons) for persons in people or ()]], area)


def discs(
    points: Sequence[Float[np.ndarray, "_ 2"]], *, size: tuple[int, int], radius: float
) -> Bool[np.ndarray, "T H W"]:
    """Return the pixels of each frame whose centre is within `radius` pixels of one of the frame's points (x, y).

    >>> int(discs([np.array([[1.5, 1.5]])], size=(3, 3), radius=1.0).sum())
    5
    """
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    frames = [
        ((x[..., None] - at[:, 0]) ** 2 + (y[..., None] - at[:, 1]) ** 2 <= radius**2).any(axis=-1) for at in points
    ]
    return np.stack(frames)


def share_inside(heat: Float[np.ndarray, "T H W"], inside: Bool[np.ndarray, "T H W"]) -> float | None:
    """Return the share of a clip's heat that lies inside a region. None if there is no heat."""
    total = float(heat.sum(dtype=np.float64))
    return float(heat[inside].sum(dtype=np.float64)) / total if total > 0 else None
