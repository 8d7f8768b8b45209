"""Statements about room, light, clothes and direction, compared with the facts."""

from collections.abc import Iterator

from data_curation.fact_texts.clip_facts import ClipFacts
from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.patterns import longest_match
from eval.fact_checks.text import STOPS, Token, is_denied
from eval.fact_checks.things import colour_of, is_colour

BRIGHT_FROM, DARK_TO = 0.8, 0.7
"""Brightness from which on "bright" is right, and up to which "dark" is. Between the two neither is graded."""
_BRIGHT, _DARK = "bright|=lit|sunny", "dark|dim|dimly|gloomy"
_PLACES = "room|scene|place|=it|light|lighting"
_FACING = {
    "towards the camera": (
        "face|look|turn|=facing|=turned .. =camera|=us|=viewer", "toward|to .. =camera|=viewer", "from .. =front",
        "frontal|front view",
    ),
    "away from the camera": (
        "=away from .. =camera|=us|=viewer", "=back .. to|toward .. =camera|=us|=viewer", "from =behind",
    ),
    "left": ("face|look|turn|=facing|=turned .. =left",),
    "right": ("face|look|turn|=facing|=turned .. =right",),
    "side": ("from =the =side", "side view", "profile"),
}  # fmt: skip
_LIMBS = frozenset(["hand", "arm", "foot", "leg", "hands", "arms", "feet", "legs", "knee", "shoulder", "side", "elbow"])


def scene_statements(tokens: tuple[Token, ...], facts: ClipFacts) -> Iterator[tuple[str, str, bool]]:
    """Yield the kind, the subject and whether it is right, of each statement."""
    yield from _surfaces(tokens, facts)
    yield from _light(tokens, facts)
    yield from _clothes(tokens, facts)
    if len(facts.persons) == 1:
        for direction in _directions(tokens):
            is_right = facts.facing in (("left", "right") if direction == "side" else (direction,))
            yield "facing", "facing", is_right


def _surfaces(tokens: tuple[Token, ...], facts: ClipFacts) -> Iterator[tuple[str, str, bool]]:
    for subject, names in vocabulary().surfaces.items():
        for colour in _colours(tokens, names):
            yield "room", subject, is_colour(colour, getattr(facts, subject))


def _colours(tokens: tuple[Token, ...], names: tuple[str, ...]) -> Iterator[str]:
    """Yield the colours that a text gives to things of these names."""
    for place, token in enumerate(tokens):
        colour = colour_of(tokens, place, place + 1) if token.base in names else ""
        if colour and not is_denied(tokens, place, place + 1):
            yield colour


def _light(tokens: tuple[Token, ...], facts: ClipFacts) -> Iterator[tuple[str, str, bool]]:
    for words, is_right, is_wrong in (
        (_BRIGHT, facts.light >= BRIGHT_FROM, facts.light <= DARK_TO),
        (_DARK, facts.light <= DARK_TO, facts.light >= BRIGHT_FROM),
    ):
        patterns = (f"{words} {_PLACES}", f"{_PLACES} =is|=are {words}", f"{_PLACES} =is|=are .. {words}")
        for place in range(len(tokens)):
            ends = [end for pattern in patterns if (end := longest_match(pattern, tokens, place)) is not None]
            # "The dark blue room" and "the room is dark blue" tell a colour.
            is_light = ends and not colour_of(tokens, max(ends), max(ends)) and not is_denied(tokens, place, max(ends))
            if is_light and (is_right or is_wrong):
                yield "room", "light", is_right


def _clothes(tokens: tuple[Token, ...], facts: ClipFacts) -> Iterator[tuple[str, str, bool]]:
    """Yield what is said of clothes and hair. It is right if it is so of any of the persons."""
    for part, names in vocabulary().clothes.items():
        for colour in _colours(tokens, names):
            # The hair of a fact is "short dark brown".
            colours = [getattr(person, part).removeprefix("short ").removeprefix("long ") for person in facts.persons]
            yield "clothes", part, any(is_colour(colour, fact) for fact in colours)
    for place, token in enumerate(tokens[:-1]):
        length, noun = token.form, tokens[place + 1].base
        if length in ("short", "long") and noun in ("sleeve", "sleeves"):
            yield "clothes", "sleeves", any(person.sleeves == length for person in facts.persons)


def _directions(tokens: tuple[Token, ...]) -> list[str]:
    """Return the directions that a text names. Being away from the camera is not being towards it."""
    result, place = [], 0
    while place < len(tokens):
        ends = [
            (end, direction)
            for direction, patterns in _FACING.items()
            for pattern in patterns
            if (end := longest_match(pattern, tokens, place)) is not None
        ]
        ends = [(end, direction) for end, direction in ends if not _is_of_a_limb(tokens, end)]
        if not ends or is_denied(tokens, place, max(ends)[0]):
            place = max(ends)[0] if ends else place + 1
            continue
        end, direction = max(ends)
        if any(token.form == "away" for token in tokens[place:end]) and direction == "towards the camera":
            direction = "away from the camera"
        result.append(direction)
        place = end
    return list(dict.fromkeys(result))


def _is_of_a_limb(tokens: tuple[Token, ...], end: int) -> bool:
    return end < len(tokens) and tokens[end].form in _LIMBS - STOPS
