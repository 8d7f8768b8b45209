"""The Kinect v2's cameras: their position, and the projection of metres to pixels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

COLOUR_SIZE = (1920, 1080)
COLOUR_FOCAL, COLOUR_CENTRE, COLOUR_BASELINE = 1056.0, (955.0, 567.0), 0.072
DEPTH_FOCAL, DEPTH_CENTRE = 366.5, (256.2, 208.3)


@dataclass(frozen=True)
class Camera:
    """A camera in the room: `position` in metres, `pan` about the vertical (0 looks along z), `tilt` downwards."""

    position: tuple[float, float, float]
    pan: float
    tilt: float

    @cached_property
    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """The camera's right, up and viewing direction in the room, as rows."""
        sin, cos = np.sin(self.pan), np.cos(self.pan)
        right = np.array([cos, 0.0, -sin])
        ahead = np.array([sin * np.cos(self.tilt), -np.sin(self.tilt), cos * np.cos(self.tilt)])
        return np.stack([right, np.cross(ahead, right), ahead])

    def see(self, points: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 3"]:
        """Transform points of the room to Kinect camera space: x right, y up, z away from the camera, metres."""
        return (points - np.array(self.position)) @ self.rotation.T


def colour_pixels(points: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 2"]:
    """Project camera space to the 1920 x 1080 colour image, taken 7 cm beside the depth camera."""
    x, y, z = np.moveaxis(points, -1, 0)
    z = np.maximum(z, 0.05)
    column = COLOUR_CENTRE[0] + COLOUR_FOCAL * (x + COLOUR_BASELINE) / z
    return np.stack([column, COLOUR_CENTRE[1] - COLOUR_FOCAL * y / z], axis=-1)


def depth_pixels(points: Float[np.ndarray, "*any 3"]) -> Float[np.ndarray, "*any 2"]:
    """Project camera space to the 512 x 424 depth image."""
    x, y, z = np.moveaxis(points, -1, 0)
    z = np.maximum(z, 0.05)
    return np.stack([DEPTH_CENTRE[0] + DEPTH_FOCAL * x / z, DEPTH_CENTRE[1] - DEPTH_FOCAL * y / z], axis=-1)


def colour_rays(camera: Camera, *, width: int, height: int) -> Float[np.ndarray, "H W 3"]:
    """Return the direction in the room of each pixel of a `width` x `height` colour image (not normalised)."""
    column = (np.arange(width) + 0.5) * COLOUR_SIZE[0] / width
    row = (np.arange(height) + 0.5) * COLOUR_SIZE[1] / height
    across, down = np.meshgrid(column - COLOUR_CENTRE[0], row - COLOUR_CENTRE[1])
    return np.stack([across / COLOUR_FOCAL, -down / COLOUR_FOCAL, np.ones_like(across)], axis=-1) @ camera.rotation
