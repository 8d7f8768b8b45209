"""The words in which clips are told and captions are understood, from `vocabulary.json` and `parts.json`."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Vocabulary:
    """Words of actions, persons, things and colours.

    Attributes:
        phrases: of each action, phrases in the form "drinking water". `{thing}` stands for its thing.
        patterns: of each action, patterns of bases of words that name it.
        includes: of an action, others that it contains, so that naming them is right too.
        persons: words of a person.
        things: of each kind of thing, its names. The first one is told.
        usual_things: of an action, the thing that is told where the clip's own is not known.
        also_named: of a kind that a text names, other kinds that it may mean.
        thing_phrases: kinds that are told otherwise than "a red cup".
        absent_things: things that no clip has.
        colours: of each colour of a fact, its accepted names. The first one is told.
        other_colours: names of colours that no fact has.
        clothes: names of what persons wear, and of hair.
        surfaces: names of walls and floor.
        numbers: values of number words.
        irregular: forms of bases that rules do not give.
    """

    phrases: dict[int, tuple[str, ...]]
    patterns: dict[int, tuple[str, ...]]
    includes: dict[int, tuple[int, ...]]
    persons: tuple[str, ...]
    things: dict[str, tuple[str, ...]]
    usual_things: dict[int, str]
    also_named: dict[str, tuple[str, ...]]
    thing_phrases: dict[str, str]
    absent_things: tuple[str, ...]
    colours: dict[str, tuple[str, ...]]
    other_colours: tuple[str, ...]
    clothes: dict[str, tuple[str, ...]]
    surfaces: dict[str, tuple[str, ...]]
    numbers: dict[str, int]
    irregular: dict[str, tuple[str, ...]]


@cache
def vocabulary() -> Vocabulary:
    """Return the vocabulary of the world of 48 actions."""
    words = _content("vocabulary.json")
    return Vocabulary(
        phrases={int(number): tuple(action["phrases"]) for number, action in words["actions"].items()},
        patterns={int(number): tuple(action["patterns"]) for number, action in words["actions"].items()},
        includes={int(number): tuple(parts) for number, parts in words["includes"].items()},
        persons=tuple(words["persons"]),
        usual_things={int(number): thing for number, thing in words["usual_things"].items()},
        thing_phrases=words["phrases_of_things"],
        absent_things=tuple(words["absent_things"]),
        other_colours=tuple(words["other_colours"]),
        numbers=words["numbers"],
        **{
            name: {key: tuple(names) for key, names in words[name].items()}
            for name in ("things", "also_named", "colours", "clothes", "surfaces", "irregular")
        },
    )


@dataclass(frozen=True)
class PartWords:
    """Words of the parts of which actions consist.

    Attributes:
        places: where a hand goes.
        hands: what hands do, for one hand and for both. `{where}` stands for the place.
        body: which part of the body does what.
    """

    places: dict[str, str]
    hands: dict[str, tuple[tuple[str, str], ...]]
    body: dict[str, tuple[str, str]]


@cache
def part_words() -> PartWords:
    """Return the words of parts."""
    words = _content("parts.json")
    hands = {name: tuple((one, both) for one, both in forms) for name, forms in words["hands"].items()}
    return PartWords(words["places"], hands, {name: (part, verb) for name, (part, verb) in words["body"].items()})


def _content(name: str) -> Any:  # noqa: ANN401
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
