"""Sentences about scenes: the room and its light, furniture, things that lie about, persons, clothes, direction."""

from collections import Counter

from data_curation.fact_texts.action_text import thing_phrase
from data_curation.fact_texts.clip_facts import ClipFacts, Person
from data_curation.fact_texts.vocabulary import vocabulary
from data_curation.fact_texts.wording import Wording, listed, sentence, with_article

BRIGHT, DARK = 0.9, 0.6
"""Brightness from which on a room is called bright, and up to which it is called dark."""
_HIDDEN = 0.15
"""Share of a person, from below, from which on trousers may not be visible."""
_PLURALS = {"shelf": "shelves", "box": "boxes"}
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def room_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about walls, floor and light."""
    walls, floor = colour(facts.walls), colour(facts.floor)
    light = light_word(facts.light)
    room = with_article(f"{light} room") if light else "a room"
    forms = (
        f"this is {room} with {walls} walls and {with_article(floor)} floor",
        f"the walls of the {light} room are {walls}, and the floor is {floor}".replace("  ", " "),
        f"the scene is {room}, whose walls are {walls} and whose floor is {floor}",
    )
    return sentence(wording.pick("room", forms))


def light_word(light: float) -> str:
    """Return the word for a brightness, empty where there is none."""
    return "bright" if light >= BRIGHT else "dark" if light <= DARK else ""


def furniture_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about the furniture in the picture's frame, empty where there is none."""
    if not facts.furniture:
        return ""
    counts = Counter(facts.furniture)
    items = [_counted(kind, number) for kind, number in counts.items()]
    verb = "stands" if len(facts.furniture) == 1 else "stand"
    places = ("in the room", "behind", "in the background")
    return sentence(f"{listed(items)} {verb} {wording.pick('furniture', places)}")


def _counted(kind: str, number: int) -> str:
    name = vocabulary().things[kind][0]
    if number == 1:
        return with_article(name)
    return f"{_COUNTS[number] if number < len(_COUNTS) else number} {_PLURALS.get(name, f'{name}s')}"


def lying_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about the things that lie about, empty where there are none in the picture's frame."""
    if not facts.lying:
        return ""
    things = listed([thing_phrase(thing) for thing in facts.lying])
    be = "is" if len(facts.lying) == 1 else "are"
    return sentence(f"{things} {be} {wording.pick('lying', ('lying about', 'nearby', 'around as well'))}")


def count_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about the number of acting persons."""
    if len(facts.persons) == 1:
        return sentence(
            wording.pick("count", ("there is one person", "one person is there", "a single person is there"))
        )
    return sentence(wording.pick("count", ("there are two people", "two people are there", "two people are together")))


def clothes_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about what the persons wear."""
    if len(facts.persons) == 1:
        person = facts.persons[0]
        sleeves = f" with {person.sleeves} sleeves" if wording.chance("sleeves", 0.5) else ""
        hair = f" and has {person.hair} hair" if wording.chance("hair", 0.5) else ""
        trousers = f" and {colour(person.trousers)} trousers" if facts.occluded < _HIDDEN else ""
        return sentence(f"the person wears {_shirt(person)}{sleeves}{trousers}{hair}")
    first, second = facts.persons[:2]
    forms = (
        f"one person wears {_shirt(first)}, the other one {_shirt(second)}",
        f"one person is in {_shirt(first)} and the other person in {_shirt(second)}",
    )
    return sentence(wording.pick("clothes", forms))


def _shirt(person: Person) -> str:
    return f"{with_article(colour(person.shirt))} shirt"


def facing_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence about where the person looks, empty for two persons, who look at each other."""
    if len(facts.persons) > 1:
        return ""
    forms = {
        "towards the camera": ("the person faces the camera", "the person looks towards the camera"),
        "away from the camera": ("the person faces away from the camera", "the person looks away from the camera"),
    }.get(facts.facing, (f"the person faces to the {facts.facing}", f"the person looks to the {facts.facing}"))
    return sentence(wording.pick("facing", forms))


def passers_sentence(facts: ClipFacts) -> str:
    """Return a sentence about those who walk through the scene, empty where nobody does."""
    if not facts.passers_by:
        return ""
    return "Somebody else walks past." if facts.passers_by == 1 else "Others walk past."


def colour(name: str) -> str:
    """Return the word for a colour of the facts."""
    return vocabulary().colours.get(name, (name,))[0]
