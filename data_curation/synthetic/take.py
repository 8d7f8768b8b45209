"""One performance of an action before the motion: persons, tempo, amplitude and start."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from data_curation.synthetic.motion import Build, Posture, standing


@dataclass(frozen=True)
class Take:
    """The differences between two performances of one action.

    `progress` runs from 0 to 1 while the person acts. `acting` is the time since the start, in seconds of a person of
    average speed.
    """

    seconds: Float[np.ndarray, " T"]
    acting: Float[np.ndarray, " T"]
    progress: Float[np.ndarray, " T"]
    builds: tuple[Build, ...]
    amplitude: float
    speed: float
    phase: float
    turned: float
    """Radians by which the whole performance is turned on the floor."""

    def swing(self, hertz: float) -> Float[np.ndarray, " T"]:
        """Return a sine wave of about `hertz`, in this take's tempo and phase."""
        return np.sin(2 * np.pi * hertz * self.speed * self.seconds + self.phase)

    def alone(self) -> Posture:
        """Return one person in the middle who faces camera 1."""
        posture = standing(len(self.seconds))
        return replace(posture, heading=posture.heading + self.turned)


def both(left: Float[np.ndarray, "T 3"], right: Float[np.ndarray, "T 3"]) -> Float[np.ndarray, "T 2 3"]:
    """Return hand targets of a posture from those of each hand, either of which may be constant."""
    return np.stack(np.broadcast_arrays(left, right), axis=1)
