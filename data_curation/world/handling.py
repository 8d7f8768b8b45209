"""The parts that handle things, and the settings with which a scene begins."""

from data_curation.world.places import PLACES
from data_curation.world.score import HANDS, Span, hands_of
from data_curation.world.stage import IN_HANDS, Holding, Keeper, Stage
from data_curation.world.trunk import seat_offset

_THROWS = {"forward": (3.4, 1.1), "down": (0.25, 0.0), "up": (0.0, 3.0), "away": (4.2, 0.5)}
"""Metres a second, forward and up, of what is released."""


def take(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Take THING HAND: the thing is in the hand from the middle of the span on."""
    stage.give(words[0], Keeper(span.start + 0.5 * span.length, _holding(words[1]), person))


def put(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Put THING SPOT: the thing is on head, table or floor from the middle of the span on."""
    take(stage, person, span, words)


def release(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Release THING DIRECTION: the thing leaves the hand and flies, or bounces COUNT times."""
    if words[1] == "bounce":
        stage.give(words[0], Keeper(span.start, "bounce", person, beat=span.length / float(words[2])))
        stage.give(words[0], Keeper(span.end, "main", person))
        return
    time = span.start + 0.35 * span.length
    stage.give(words[0], Keeper(time, "fly", person, velocity=_THROWS[words[1]]))


def hold(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """With THING HAND: the thing is in the hand from the beginning."""
    stage.give(words[0], Keeper(0.0, _holding(words[1]), person))
    for hand in hands_of(words[1]):
        stage.scores[person].hold(hand, PLACES["waist"])


def arrange(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Set THING SPOT: the thing is on the floor or the table, behind, ahead, or on the head."""
    stage.give(words[0], Keeper(0.0, _holding(words[1]), person))


def seated(stage: Stage, person: int, span: Span, words: tuple[str, ...]) -> None:
    """Seated: the person sits from the beginning."""
    score = stage.scores[person]
    score.start("pelvis", seat_offset(score.build.height))
    for hand in HANDS:
        score.hold(hand, PLACES["lap"])


def _holding(word: str) -> Holding:
    if word not in (*IN_HANDS, "head", "floor", "table", "ahead", "behind"):
        raise ValueError(f"nothing can be at {word!r}; expected a hand, head, floor, table, ahead or behind")
    return word  # type: ignore[return-value]
