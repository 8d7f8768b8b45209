"""Question-answer pairs from facts, in the styles of captions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from data_curation.fact_texts import action_text, scene_text
from data_curation.fact_texts.captions import caption
from data_curation.fact_texts.clip_facts import ClipFacts
from data_curation.fact_texts.wording import Wording
from data_curation.prompts import KINDS, QUESTIONS, Kind
from data_curation.questions.pairs import Pair

_SCENE = ("Describe the room and the people.", "What does the scene look like?", "Describe the scene in detail.")
_THINGS = ("Which things are in the room?", "What can be seen around?", "Which furniture and things are there?")
_ROOM = ("What colour are the walls and the floor?", "Describe the room.", "What does the room look like?")
_CLOTHES = ("What clothes are worn?", "How are the people dressed?", "Describe the clothes.")
_COUNT = ("How many people act in the video?", "How many people are there?", "What is the number of people?")
_FACING = ("Which way does the person look?", "Where does the person face?", "Does the person face the camera?")
_ORDER = (
    "What happens first, and what comes then?",
    "In which order do things happen?",
    "What happens, in order of time?",
)
_MOTIONS = 4


def question_pairs(
    facts: ClipFacts, about: Sequence[str], *, seed: int, kinds: Sequence[Kind] = KINDS, count: int | None = None
) -> list[Pair]:
    """Return the pairs of a clip: the description of each style first, then the others in a varied order.

    No question occurs twice. There may be fewer than `count`, since some facts are absent.
    """
    wording = Wording(seed, "pairs", facts.clip)
    per_style = [_STYLES[style](facts, seed) for style in about]
    first = [pairs[0] for pairs in per_style]
    later = [pair for pairs in per_style for pair in pairs[1:]]
    later.sort(key=lambda pair: wording.pick(f"place of {pair[0]} {pair[1]}", _PLACES))
    pairs: dict[str, Pair] = {}
    for kind, questions, answer in first + later:
        unused = [question for question in questions if question not in pairs]
        is_new = all(answer != pair.answer or kind != pair.kind for pair in pairs.values())
        if answer and unused and kind in kinds and is_new:
            question = wording.pick(f"question {kind} {questions[0]}", unused)
            pairs[question] = Pair(kind, question, answer)
    return list(pairs.values())[:count]


_PLACES: Final = tuple(f"{number:03}" for number in range(1000))
_Draft = tuple[Kind, Sequence[str], str]


def _action(facts: ClipFacts, seed: int) -> list[_Draft]:
    wording = Wording(seed, "action", facts.clip)  # the same as the caption's, so that answers agree with it
    maximum = max(1, _MOTIONS // len(facts.actions))
    motions = [
        action_text.motion_sentences(facts, wording, maximum=maximum, place=p) for p in range(len(facts.actions))
    ]
    doing = action_text.action_sentence(facts, wording)
    return [
        ("detail", QUESTIONS["detail"], caption(facts, "action", seed=seed)),
        ("action", QUESTIONS["action"], doing),
        ("summary", QUESTIONS["summary"], doing),
        ("motion", QUESTIONS["motion"], " ".join(text for texts in motions for text in texts)),
        ("objects", QUESTIONS["objects"], action_text.things_sentence(facts, wording)),
    ]


def _scene(facts: ClipFacts, seed: int) -> list[_Draft]:
    wording = Wording(seed, "scene", facts.clip)
    around = (scene_text.furniture_sentence(facts, wording), scene_text.lying_sentence(facts, wording))
    return [
        ("detail", _SCENE, caption(facts, "scene", seed=seed)),
        ("detail", _ROOM, scene_text.room_sentence(facts, wording)),
        ("objects", _THINGS, " ".join(filter(None, around))),
        ("detail", _CLOTHES, scene_text.clothes_sentence(facts, wording)),
        ("detail", _COUNT, scene_text.count_sentence(facts, wording)),
        ("detail", _FACING, scene_text.facing_sentence(facts, wording)),
    ]


def _dense(facts: ClipFacts, seed: int) -> list[_Draft]:
    wording = Wording(seed, "dense", facts.clip)
    doing = action_text.action_sentence(facts, wording)
    order: Iterable[_Draft] = [("action", _ORDER, doing)] if len(facts.actions) > 1 else []
    return [
        ("detail", QUESTIONS["detail"], caption(facts, "dense", seed=seed)),
        *order,
        ("summary", QUESTIONS["summary"], doing),
        ("objects", QUESTIONS["objects"], action_text.things_sentence(facts, wording)),
        ("detail", _CLOTHES, scene_text.clothes_sentence(facts, wording)),
    ]


_STYLES: Final[dict[str, Callable[[ClipFacts, int], list[_Draft]]]] = {
    "action": _action,
    "scene": _scene,
    "dense": _dense,
}
