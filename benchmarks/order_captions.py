"""Captions of the synthetic world's clips from their exact facts, in three wordings. Any fact can be made wrong."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.order_words import PHRASES, SYNONYMS
from data_curation.world.actions import ACTIONS
from data_curation.world.clips import Settings, clip_names, take
from data_curation.world.difficulty import PRESETS
from data_curation.world.facts import facts_of

_THING = re.compile(r"\b(?:with|set) (cup|bottle|ball|box|book)\b")
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Event:
    """One action by its number, and the thing with its colour that its words name, if they do."""

    number: int
    thing: tuple[str, str] | None = None

    def words(self, *, is_reference: bool) -> str:
        """Return the action in the words of a reference, or in others."""
        phrase = PHRASES[self.number][0 if is_reference else 1]
        colour, name = self.thing or ("", "thing")
        text = f"{colour} {name if is_reference else SYNONYMS.get(name, name)}".strip()
        return phrase.format(thing=_a(text))


@dataclass(frozen=True)
class Scene:
    """Facts of a clip that captions tell. `place` stands instead of the room, `extra` is one more sentence."""

    clip: str
    persons: int
    shirts: tuple[str, ...]
    trousers: str
    walls: str
    furniture: str
    events: tuple[Event, ...]
    place: str = ""
    extra: str = ""

    @property
    def is_pair(self) -> bool:
        """Return whether the actions are those of two persons."""
        return ACTIONS[self.events[0].number].persons == 2


def scenes(count: int, *, seed: int) -> Iterator[Scene]:
    """Yield clips of two actions. Nothing is drawn or filmed."""
    settings = Settings(
        seed=seed, level="default", difficulty=PRESETS["default"], width=512, height=288, actions_per_clip=2
    )
    for name in clip_names(count, settings=settings):
        yield scene_of(facts_of(name, take(name, settings=settings), settings))


def scene_of(facts: dict[str, Any]) -> Scene:
    """Return the scene of a line of facts.jsonl."""
    colours = {entry["thing"]: entry["colour"] for entry in facts["things"]}
    return Scene(
        clip=facts["clip"],
        persons=len(facts["persons"]),
        shirts=tuple(person["shirt"] for person in facts["persons"]),
        trousers=facts["persons"][0]["trousers"],
        walls=facts["room"]["walls"],
        furniture=(facts["room"]["furniture"] or ["chair"])[0],
        events=tuple(_event(action, colours) for action in facts["actions"]),
    )


def _event(action: dict[str, Any], colours: dict[str, str]) -> Event:
    things = _THING.findall(ACTIONS[action["number"]].ways[action["way"]])
    has_place = "{thing}" in PHRASES[action["number"]][0] and things
    return Event(action["number"], (colours.get(things[0], ""), things[0]) if has_place else None)


def reference(scene: Scene) -> str:
    """Return the caption that predictions are compared with, or a wrong one in its words."""
    events = [event.words(is_reference=True) for event in scene.events]
    is_one = scene.persons == 1
    count = (
        f"There {'is' if is_one else 'are'} {_NUMBERS[scene.persons]} {'person' if is_one else 'people'} in the room"
    )
    if scene.is_pair:
        clothes = " and ".join(f"one in {_a(shirt)} shirt" for shirt in scene.shirts)
        acts = _sentences(["First {}", "Then {}"], events)
    else:
        clothes = f"in {_a(scene.shirts[0])} shirt and {scene.trousers} trousers"
        acts = [f"The person {' and then '.join(events)}."]
    room = f"The walls are {scene.walls}, and {_a(scene.furniture)} stands in the room."
    return _joined(f"{count}, {clothes}.", *acts, scene.place or room, scene.extra)


def other_words(scene: Scene) -> str:
    """Return the same in other words."""
    events = [event.words(is_reference=False) for event in scene.events]
    room = scene.place or f"In the back there is {_a(scene.walls)} wall and {_a(scene.furniture)}."
    if scene.is_pair:
        tops = f"Their tops are {' and '.join(scene.shirts)}."
        acts = _sentences(["At the beginning {}", "Afterwards {}"], events)
        return _joined(f"The video shows {_NUMBERS[scene.persons]} persons.", tops, *acts, room, scene.extra)
    persons = "a single person" if scene.persons == 1 else f"{_NUMBERS[scene.persons]} persons, all of them"
    acts = _sentences(["At the beginning this person {}", "Afterwards the same person {}"], events)
    clothes = f"with {_a(scene.shirts[0])} top and {scene.trousers} pants."
    return _joined(f"The video shows {persons} {clothes}", *acts, room, scene.extra)


def second_answer(scene: Scene, *, is_reference: bool) -> str:
    """Return who is there and what they do, as the answer to another question, in either of the words."""
    events = [event.words(is_reference=is_reference) for event in scene.events]
    count = f"I can see {_NUMBERS[scene.persons]} {'person' if scene.persons == 1 else 'people'} here."
    opening = "{}" if scene.is_pair else "the person {}"
    return _joined(count, *_sentences([f"To begin with, {opening}", f"Next, {opening}"], events), scene.extra)


def brief(scene: Scene, *, is_reference: bool) -> str:
    """Return the first action alone, without any detail."""
    words = scene.events[0].words(is_reference=is_reference)
    return f"{'Here ' if scene.is_pair else 'Somebody '}{words}."


def _a(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _sentences(openings: Sequence[str], events: Sequence[str]) -> list[str]:
    return [f"{opening.format(event)}." for opening, event in zip(openings, events)]


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
