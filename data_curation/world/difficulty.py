"""The difficulty of clips: parameters that are drawn apart from the class, and their presets."""

from dataclasses import dataclass, fields, replace

Range = tuple[float, float]

VIEWS = {1: (0.0, 0.0), 2: (-45.0, 0.0), 3: (45.0, 0.0), 4: (-66.0, 0.0), 5: (66.0, 0.0), 6: (20.0, 0.9)}
"""Camera number -> degrees about the persons, and metres above the drawn height. 1 to 3 are NTU's. 4 to 6 are never in
the training clips of the protocol `xview`."""


@dataclass(frozen=True)
class Difficulty:
    """Parameters of the draws for a session. Ranges are inclusive."""

    cameras: int
    """Views that occur, from the first of `VIEWS` on."""
    yaw_spread: float
    """Standard deviation of a camera from its nominal direction, degrees."""
    camera_height: Range
    """Metres above the floor."""
    person_share: Range
    """Height of a standing person in the picture, as a share of its height. Drawn evenly in the logarithm."""
    facing_spread: float
    """Standard deviation of the persons' direction, degrees."""
    clutter: Range
    """Pieces of furniture about the persons."""
    occluder: float
    """Probability of something between the camera and the persons."""
    occlusion: Range
    """Share of a standing person that an occluder covers, from below."""
    light: Range
    """Brightness, 1 is a bright room."""
    passers_by: Range
    """Persons who walk through the scene."""
    frame_rate: Range
    """Frames a second."""
    wrong_things: Range
    """Things that lie about and that the action may not need."""
    held_thing: float
    """Probability that an idle hand holds a thing that the action does not need."""
    sensor_noise: float
    """Standard deviation of a skeleton's joints, metres."""


PRESETS: dict[str, Difficulty] = {
    "easy": Difficulty(
        cameras=3, yaw_spread=3.5, camera_height=(1.05, 1.28), person_share=(0.66, 0.74), facing_spread=9.0,
        clutter=(4, 5), occluder=0.0, occlusion=(0.2, 0.2), light=(0.85, 1.05), passers_by=(0, 0),
        frame_rate=(20, 20), wrong_things=(0, 0), held_thing=0.0, sensor_noise=0.005,
    ),
    "default": Difficulty(
        cameras=6, yaw_spread=10.0, camera_height=(0.9, 1.7), person_share=(0.4, 0.57), facing_spread=20.0,
        clutter=(3, 7), occluder=0.25, occlusion=(0.1, 0.3), light=(0.6, 1.1), passers_by=(0, 1),
        frame_rate=(15, 25), wrong_things=(1, 3), held_thing=0.25, sensor_noise=0.01,
    ),
    "hard": Difficulty(
        cameras=6, yaw_spread=20.0, camera_height=(0.6, 2.3), person_share=(0.14, 0.45), facing_spread=35.0,
        clutter=(4, 9), occluder=0.5, occlusion=(0.15, 0.4), light=(0.35, 1.0), passers_by=(0, 2),
        frame_rate=(8, 20), wrong_things=(2, 4), held_thing=0.5, sensor_noise=0.02,
    ),
}  # fmt: skip
"""`easy` looks as the 16 actions do. `hard` has persons of 40 to 130 pixels in pictures of 288."""
SETUPS = {"easy": 0, "default": 100, "hard": 200, "custom": 300}
"""What is added to a room's number in a clip's name, so that protocols can tell the difficulty."""

_LIMITS: dict[str, Range] = {
    "yaw_spread": (0, 60), "camera_height": (0.3, 2.6), "person_share": (0.05, 0.8), "facing_spread": (0, 180),
    "clutter": (0, 20), "occluder": (0, 1), "occlusion": (0, 0.8), "light": (0.05, 1.5), "passers_by": (0, 8),
    "frame_rate": (6, 60), "wrong_things": (0, 10), "held_thing": (0, 1), "sensor_noise": (0, 0.2),
}  # fmt: skip
"""What each parameter may be."""
PARAMETERS = tuple(_LIMITS)


def changed(difficulty: Difficulty, values: dict[str, float | list[float] | None]) -> Difficulty:
    """Return a difficulty with other values of some parameters.

    Raises:
        ValueError: a value is out of its limits, or a range ends before it begins.
    """
    ranges = {field.name for field in fields(Difficulty) if field.type == Range}
    changes: dict[str, Range | float] = {}
    for name, value in values.items():
        if value is None:
            continue
        numbers = value if isinstance(value, list) else [value]
        minimum, maximum = _LIMITS[name]
        if not all(minimum <= number <= maximum for number in numbers) or numbers != sorted(numbers):
            text = " ".join(f"{number:g}" for number in numbers)
            raise ValueError(f"--{name} {text}: expected {minimum:g} to {maximum:g}, the smaller number first")
        changes[name] = (numbers[0], numbers[-1]) if name in ranges else numbers[0]
    return replace(difficulty, **changes)  # type: ignore[arg-type]
