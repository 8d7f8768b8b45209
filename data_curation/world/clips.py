"""The clips of the world: their names, and what happens in each."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np

from data_curation.world.actions import ACTIONS
from data_curation.world.difficulty import SETUPS, Difficulty
from data_curation.world.perform import RATE, Performance, perform
from data_curation.world.sequence import after
from data_curation.world.session import NUM_SUBJECTS, TRAINERS, Session, session
from ski_lvlm.datasets.ntu import ClipName

NUM_ROOMS = 40
_REPLICATIONS = 900
"""The replication of a name has three digits."""
MOST = _REPLICATIONS * len(ACTIONS)
"""Names that there are of all actions."""
_NAMES, _SESSIONS, _MOTION, _SECOND = range(200, 204)
_FEWEST_FRAMES = 14
"""Cleaning takes who is there for 11 frames or less for a ghost."""


@dataclass(frozen=True)
class Settings:
    """The settings that determine a clip, besides its name. `fps` and `num_frames` are None where they are drawn."""

    seed: int
    level: str
    difficulty: Difficulty
    width: int
    height: int
    is_square: bool = False
    """Whether videos show the central square of the picture only."""
    fps: int | None = None
    num_frames: int | None = None
    actions_per_clip: int = 1
    classes: tuple[int, ...] = tuple(ACTIONS)
    """Actions that occur, by their numbers in ascending order."""


@dataclass(frozen=True)
class Take:
    """Content of a clip: its session, the actions and the performance at the video's frames."""

    session: Session
    actions: tuple[int, ...]
    performance: Performance
    rate: Fraction


def clip_names(count: int, *, settings: Settings) -> list[ClipName]:
    """Return `count` names, evenly distributed over actions, subjects, cameras and rooms.

    A longer list begins with a shorter one. In any 144 clips from the beginning on, each of 48 actions has two clips
    of training subjects and one of test subjects. So it has among three clips for each of fewer actions. Which session
    an action meets is a matter of its place in the list.

    Raises:
        ValueError: there are fewer names.
    """
    maximum = _REPLICATIONS * len(settings.classes)
    if not 1 <= count <= maximum:
        raise ValueError(f"--clips is {count}; the world has between 1 and {maximum}: change --clips")
    return list(islice(_all_names(settings), count))


def _all_names(settings: Settings) -> Iterator[ClipName]:
    """Yield block after block of all actions. A block's number is the replication."""
    base, cameras = SETUPS[settings.level], settings.difficulty.cameras
    actions = [action for action in ACTIONS if action in settings.classes]
    for block in range(_REPLICATIONS):
        cycle = np.random.default_rng([settings.seed, _NAMES, block // NUM_SUBJECTS])
        turns, subjects = cycle.permutation(len(actions)), _subject_order(cycle)
        rng = np.random.default_rng([settings.seed, _SESSIONS, block])
        sessions = [(1 + int(NUM_ROOMS * rng.random()), 1 + int(cameras * rng.random())) for _ in subjects]
        for i in rng.permutation(len(actions)).tolist():
            place = int(turns[i] + block) % NUM_SUBJECTS
            room, camera = sessions[place]
            yield ClipName(base + room, camera, subjects[place], block + 1, actions[i])


def _subject_order(rng: np.random.Generator) -> list[int]:
    """Return all subjects, shuffled, two of the training set before each of the test set."""
    train = (1 + rng.permutation(TRAINERS)).tolist()
    test = (1 + TRAINERS + rng.permutation(NUM_SUBJECTS - TRAINERS)).tolist()
    return [subject for i, last in enumerate(test) for subject in (train[2 * i], train[2 * i + 1], last)]


def take(clip: ClipName, *, settings: Settings) -> Take:
    """Return what happens in a clip.

    The motion is drawn from subject, replication and action. Other difficulties, rooms and cameras show the same one.

    Raises:
        ValueError: the clip would have too few frames.
    """
    place = session(clip, difficulty=settings.difficulty, seed=settings.seed)
    motion = np.random.default_rng([settings.seed, _MOTION, *clip[2:]])
    numbers, whole = [clip.action], None
    for number in range(settings.actions_per_clip):
        if number:
            # The next action has as many persons, so that nobody appears or vanishes.
            second = np.random.default_rng([settings.seed, _SECOND + number, *clip[2:]])
            numbers.append(_next_action(numbers, settings.classes, second))
        part = perform(
            numbers[-1],
            builds=[person.build for person in place.persons],
            length=place.length,
            speed=place.persons[0].tempo,
            turned=place.turned,
            held_thing=place.held_thing if settings.actions_per_clip == 1 else None,
            rng=motion,
        )
        whole = part if whole is None else after(whole, part)
    assert whole is not None
    length = place.length * settings.actions_per_clip
    num_frames = settings.num_frames or round(length * (settings.fps or place.frame_rate))
    if num_frames < _FEWEST_FRAMES:
        raise ValueError(
            f"{clip} would have {num_frames} frames; expected at least {_FEWEST_FRAMES}: raise --num_frames or --fps"
        )
    rate = Fraction(num_frames / length).limit_denominator(1000) if settings.num_frames else settings.fps
    moments = np.round((np.arange(num_frames) + 0.5) / num_frames * length * RATE).astype(int)
    performance = whole.at(np.minimum(moments, len(whole.seconds) - 1))
    return Take(place, tuple(numbers), performance, Fraction(rate or place.frame_rate))


def _next_action(numbers: list[int], classes: tuple[int, ...], rng: np.random.Generator) -> int:
    persons = ACTIONS[numbers[0]].persons
    candidates = [
        number
        for number, action in ACTIONS.items()
        if action.persons == persons and number in classes and number not in numbers
    ]
    if not candidates:
        raise ValueError(
            f"--actions_per_clip {len(numbers) + 1}: found no further action of {persons} person(s) after "
            f"{', '.join(f'A{number}' for number in numbers)}; expected one in --classes; add classes"
        )
    return int(candidates[rng.integers(len(candidates))])
