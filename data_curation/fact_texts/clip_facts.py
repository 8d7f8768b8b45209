"""The facts of clips as `data_curation/synthesize.py` writes them, read into types and checked."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

FACTS = "facts.jsonl"
_REMEDY = "write it again with data_curation/synthesize.py --actions 48"


class Thing(NamedTuple):
    """A thing and its colour. `is_in_view` tells whether the picture's frame contains where it stands."""

    kind: str
    colour: str
    is_in_view: bool = True


class Part(NamedTuple):
    """A part of an action, its person (1 or 2), hand if one does it, start and end in seconds."""

    name: str
    person: int
    start: float
    end: float
    hand: str = ""


class Person(NamedTuple):
    """The looks of a person, in words."""

    shirt: str
    sleeves: str
    trousers: str
    hair: str


@dataclass(frozen=True)
class ClipFacts:
    """The facts of a clip that texts tell and that captions are graded by.

    Attributes:
        actions: numbers of NTU RGB+D in order of time.
        seconds: length of the clip.
        facing: where the first person looks at the beginning, as the camera sees it.
        things: things that the actions need.
        held_thing: a thing in an idle hand, and the hand.
        wrong_things: things that lie about.
        furniture: kinds of furniture in the picture's frame.
        light: brightness, 1 is a bright room.
        occluded: share of a standing person that something in front hides, from below.
    """

    clip: str
    actions: tuple[int, ...]
    parts: tuple[Part, ...]
    seconds: float
    persons: tuple[Person, ...]
    facing: str
    things: tuple[Thing, ...]
    held_thing: tuple[Thing, str] | None
    wrong_things: tuple[Thing, ...]
    walls: str
    floor: str
    furniture: tuple[str, ...]
    light: float
    occluded: float
    passers_by: int

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of all things in the clip, handled or not, and of the furniture."""
        return frozenset(thing.kind for thing in (*self.handled, *self.wrong_things)) | set(self.furniture)

    @property
    def handled(self) -> tuple[Thing, ...]:
        """The things at hand: those that the actions need, and the one in an idle hand."""
        return (*self.things, self.held_thing[0]) if self.held_thing else self.things

    @property
    def lying(self) -> tuple[Thing, ...]:
        """The things that lie about in the picture's frame, each kind once, and that nobody handles."""
        handled = {thing.kind for thing in self.handled}
        kinds = {thing.kind: thing for thing in self.wrong_things if thing.is_in_view and thing.kind not in handled}
        return tuple(kinds.values())

    def parts_of(self, number: int) -> tuple[Part, ...]:
        """Return the parts of the action with this place in the order, from 0. Actions have equal shares of time."""
        length = self.seconds / len(self.actions)
        places = (min(int((part.start + part.end) / 2 / length), len(self.actions) - 1) for part in self.parts)
        return tuple(part for part, place in zip(self.parts, places) if place == number)


def read_facts(path: Path) -> dict[str, ClipFacts]:
    """Read the facts of all clips of a file, or of `facts.jsonl` in a folder, by clip.

    Raises:
        ValueError: the file is absent, or a line is no facts. The message names the line.
    """
    file = path / FACTS if path.is_dir() else path
    if not file.is_file():
        raise ValueError(f"{file} does not exist; expected the facts of synthetic clips; {_REMEDY}")
    clips: dict[str, ClipFacts] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if line.strip():
            facts = _line(line, f"{file}: line {number}")
            clips[facts.clip] = facts
    if not clips:
        raise ValueError(f"{file} holds no facts; {_REMEDY}")
    return clips


def _line(line: str, source: str) -> ClipFacts:
    try:
        return clip_facts(json.loads(line))
    except RecursionError as error:
        raise ValueError(f"{source} is nested too deeply; {_REMEDY}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{source} is no facts of a clip ({type(error).__name__}: {error}); {_REMEDY}") from error


def clip_facts(record: Mapping[str, Any]) -> ClipFacts:
    """Return the facts of one line.

    Raises:
        ValueError, KeyError, TypeError: the record has another form.
    """
    room, idle, seconds = record["room"], record["held_thing"], float(record["seconds"])
    facts = ClipFacts(
        clip=_text(record["clip"]),
        actions=tuple(int(action["number"]) for action in record["actions"]),
        parts=tuple(_part(part) for part in record["parts"]),
        seconds=seconds,
        persons=tuple(Person(*(_text(person[name]) for name in Person._fields)) for person in record["persons"]),
        facing=_text(record["facing"]["direction"]),
        things=tuple(map(_thing, record["things"])),
        held_thing=(_thing(idle), _text(idle["hand"])) if idle else None,
        wrong_things=tuple(map(_thing, record["wrong_things"])),
        walls=_text(room["walls"]),
        floor=_text(room["floor"]),
        # Facts of earlier versions do not say what the frame contains.
        furniture=tuple(map(_text, room.get("furniture_in_view", room["furniture"]))),
        light=float(record["light"]),
        occluded=float(record["occluded"]),
        passers_by=int(record["passers_by"]),
    )
    if not facts.actions or not facts.persons or not (math.isfinite(seconds) and seconds > 0):
        raise ValueError("expected an action, a person and a length above 0")
    return facts


def _part(part: Mapping[str, Any]) -> Part:
    start, end = float(part["start"]), float(part["end"])
    if not math.isfinite(start + end):
        raise ValueError(f"found a part from {start} to {end}, expected seconds")
    return Part(_text(part["part"]), int(part["person"]), start, end, str(part.get("hand", "")))


def _thing(thing: Mapping[str, Any]) -> Thing:
    return Thing(_text(thing["thing"]), _text(thing["colour"]), bool(thing.get("in_view", True)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"found {value!r:.40}, expected a text")
    return value
