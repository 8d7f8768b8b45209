"""Flags of `synthesize.py` for the world of 48 actions."""

import argparse
from dataclasses import replace

from data_curation.world.actions import ACTIONS
from data_curation.world.clips import Settings
from data_curation.world.difficulty import PARAMETERS, PRESETS, VIEWS, changed
from data_curation.world.facts import DATA_SET
from ski_lvlm.cli import positive
from ski_lvlm.datasets.catalogue import open_data_set

_RANGES = {
    "camera_height": "metres of the camera above the floor",
    "person_share": "height of a standing person in the picture, as a share of its height. 0.09 is 25 pixels of 288",
    "clutter": "pieces of furniture about the persons",
    "occlusion": "share of a standing person that something in front hides, from below",
    "light": "brightness, 1 is a bright room",
    "passers_by": "persons who walk through the scene",
    "frame_rate": "frames a second, drawn for each clip. --fps and --num_frames overrule it",
    "wrong_things": "things that lie about and that the action may not need",
}
_NUMBERS = {
    "yaw_spread": "standard deviation of the camera's direction about its view, degrees",
    "facing_spread": "standard deviation of the persons' direction, degrees",
    "occluder": "probability that something stands in front of the persons",
    "held_thing": "probability that an idle hand holds a thing that the action does not need",
    "sensor_noise": "standard deviation of a skeleton's joints, metres",
}
FLAGS = (
    "classes",
    "difficulty",
    "side",
    "fps",
    "num_frames",
    "actions_per_clip",
    "sheet",
    "text_only",
    "cameras",
    *PARAMETERS,
)


def add_world_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `--actions 48` alone takes."""
    group = parser.add_argument_group("with --actions 48", "Each parameter is drawn for each session, apart from the "
                                      "class. A flag changes it, and the clips then count as 'custom'.")  # fmt: skip
    add = group.add_argument
    add("--classes", metavar="LIST", help="actions that occur, such as A1,A8,A58, or splits, which stand for their "
        "unseen classes: synthetic48/1,synthetic48/2 (default: all 48)")  # fmt: skip
    add("--difficulty", choices=tuple(PRESETS), help="preset of all parameters (default: default)")
    add("--side", type=_even, metavar="PIXELS", help="square videos of this side, the middle of the camera's picture, "
        "instead of --size. Skeletons keep the pixels of the whole picture, so crop no persons from these")  # fmt: skip
    add("--fps", type=positive, help="frames a second of all clips")
    add("--num_frames", type=positive, help="frames of all clips, whatever their length")
    add("--actions_per_clip", type=positive, help="actions in a clip, one after the other. The first is its class. "
        "facts.jsonl knows all (default: 1)")  # fmt: skip
    add(
        "--sheet", metavar="FILE", help="write a .png or .jpg of twelve random clips over time, and print their actions"
    )
    add("--text_only", action="store_true", default=None, help="write no clips, but texts.jsonl: captions and "
        "questions about --clips random performances in all styles of facts, with facts.jsonl")  # fmt: skip
    add("--cameras", type=int, choices=range(1, len(VIEWS) + 1), help="how many of the six cameras film. 1 to 3 stand "
        "as NTU's, 4 and 5 at the side, 6 above")  # fmt: skip
    for name, text in _RANGES.items():
        add(f"--{name}", type=float, nargs=2, metavar=("FROM", "TO"), help=text)
    for name, text in _NUMBERS.items():
        add(f"--{name}", type=float, metavar="NUMBER", help=text)


def check_no_world_flags(args: argparse.Namespace) -> None:
    """Refuse the flags of the world where 16 actions are made.

    Raises:
        ValueError: one of them was given.
    """
    if names := [f"--{name}" for name in FLAGS if getattr(args, name) is not None]:
        raise ValueError(f"{', '.join(names)} with --actions 16, whose clips are fixed; add --actions 48")


def world_settings(args: argparse.Namespace) -> Settings:
    """Return the settings that the flags mean.

    Raises:
        ValueError: flags that exclude each other, or a value out of its limits.
    """
    if args.fps and args.num_frames:
        raise ValueError(
            f"--fps {args.fps} and --num_frames {args.num_frames}: clips differ in length, so only one can hold; "
            "leave one out"
        )
    width, height = args.size
    if args.side:
        # Even, since the square is cut from the middle.
        width, height = 2 * round(args.side * 8 / 9), args.side
    level = args.difficulty or "default"
    values = {name: getattr(args, name) for name in PARAMETERS}
    preset = PRESETS[level]
    difficulty = replace(changed(preset, values), cameras=args.cameras or preset.cameras)
    return Settings(
        seed=args.seed,
        level=level if difficulty == preset else "custom",
        difficulty=difficulty,
        width=width,
        height=height,
        is_square=bool(args.side),
        fps=args.fps,
        num_frames=args.num_frames,
        actions_per_clip=args.actions_per_clip or 1,
        classes=class_numbers(args.classes) if args.classes else tuple(ACTIONS),
    )


def class_numbers(text: str) -> tuple[int, ...]:
    """Return the actions of a list of ids and splits, in ascending order.

    >>> class_numbers("A58,A1"), len(class_numbers("synthetic48/1,synthetic48/2"))
    ((1, 58), 24)

    Raises:
        ValueError: there is no such action or split.
    """
    data = open_data_set(DATA_SET)
    unseen = {f"{DATA_SET}/{name}": data.split(f"{DATA_SET}/{name}").unseen for name in data.description.splits}
    ids = {data.action(name).id for name in data.class_names}
    numbers: set[int] = set()
    for part in filter(None, map(str.strip, text.split(","))):
        names = [data.action(name).id for name in unseen[part]] if part in unseen else [part]
        if not set(names) <= ids:
            raise ValueError(
                f"--classes: found {part!r}; expected ids such as A1 (of {', '.join(sorted(ids, key=_number))}) or "
                f"splits ({', '.join(unseen)}), with commas"
            )
        numbers |= set(map(_number, names))
    if not numbers:
        raise ValueError(f"--classes {text!r} names no action; expected ids such as A1,A8 or {next(iter(unseen))}")
    return tuple(sorted(numbers))


def _number(name: str) -> int:
    return int(name[1:])


def _even(text: str) -> int:
    number = positive(text)
    if number % 2 or number < 32:
        raise argparse.ArgumentTypeError(f"found {number}, expected an even number of pixels from 32, as H.264 needs")
    return number
