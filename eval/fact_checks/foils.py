"""Multiple-choice questions whose options differ in one fact, for the likelihoods of `eval/choose.py`.

A likelihood of a given text varies far less than a generated caption does. So these questions tell small models apart.
All options of a question have the same words but for the fact.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from data_curation.fact_texts.action_text import action_sentence
from data_curation.fact_texts.clip_facts import ClipFacts, Thing
from data_curation.fact_texts.vocabulary import vocabulary
from data_curation.fact_texts.wording import Wording, sentence, with_article
from data_curation.world.actions import ACTIONS
from data_curation.world.colours import clothes_colours, surface_colours
from data_curation.world.facts import FURNITURE_NAMES
from data_curation.world.things import COLOURS, LYING

QUESTION = "What happens in this video?"
WRONG = 3
"""Wrong options of a question, if there are as many."""
_COUNTS = ("One person is there", "Two people are there", "Three people are there")
_FACING = {
    "towards the camera": "The person faces the camera",
    "away from the camera": "The person faces away from the camera",
    "left": "The person faces to the left",
    "right": "The person faces to the right",
}


def foils(clips: Sequence[ClipFacts], *, seed: int) -> list[dict[str, Any]]:
    """Return the questions about all clips, in the form that `eval/choose.py` reads, each with its kind.

    Wrong actions are of the same number of persons, and occur in other clips. A thing that lies about is preferred as
    the wrong thing at hand. A kind of question is left out for clips that do not allow it.
    """
    actions = tuple(sorted({number for facts in clips for number in facts.actions}))
    questions = []
    for facts in clips:
        for kind, options_of in _KINDS.items():
            rng = random.Random(f"{seed} {kind} {facts.clip}")
            options = options_of(facts, rng, actions)
            if len(dict.fromkeys(options)) > 1:
                questions.append(_question(facts.clip, kind, options))
    return questions


def _question(clip: str, kind: str, options: Sequence[str]) -> dict[str, Any]:
    unique = list(dict.fromkeys(map(sentence, options)))
    return {"video_name": clip, "question": QUESTION, "options": unique, "answer": unique[0], "kind": kind}


def _some(candidates: Sequence[str], rng: random.Random) -> list[str]:
    """Return some of the candidates, in a random order."""
    return rng.sample(list(candidates), min(WRONG, len(candidates)))


def _action(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    # Of a clip of two actions, the first one is asked for and the second one is no wrong answer. Things would tell.
    persons, number = len(facts.persons), facts.actions[0]
    included = {*facts.actions, *(other for n in facts.actions for other in vocabulary().includes.get(n, ()))}
    candidates = [n for n in actions if ACTIONS[n].persons == persons and n not in included]
    wording = Wording("foils", rng.random())
    numbers = [number, *rng.sample(candidates, min(WRONG, len(candidates)))]
    return [action_sentence(replace(facts, actions=(n,), things=()), wording) for n in numbers]


def _order(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    if len(facts.actions) != 2:
        return []
    wording = Wording("foils", rng.random())
    # Phrases are chosen by place in the text, so that each action keeps its words in both orders.
    first, second = (action_sentence(replace(facts, actions=(n,)), wording).rstrip(".") for n in facts.actions)
    return [f"{first}. Then {_lower(second)}", f"{second}. Then {_lower(first)}"]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _count(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    if facts.passers_by:
        return []  # whoever passes may be counted or not
    right = _COUNTS[len(facts.persons) - 1]
    return [right, *(text for text in _COUNTS if text != right)]


def _object(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    if not facts.things:
        return []
    thing = rng.choice(facts.things)
    lying = [kind for kind in COLOURS if kind in {t.kind for t in facts.lying}]
    rng.shuffle(lying)
    absent = [kind for kind in _absent(facts) if kind in COLOURS]
    wrong = [*lying[:1], *rng.sample(absent, min(WRONG, len(absent)))][:WRONG]
    return [f"The person uses {_plain(kind)}" for kind in (thing.kind, *wrong)]


def _absent(facts: ClipFacts) -> list[str]:
    """Return the kinds of things that the clip does not have under any name."""
    words = vocabulary()
    kinds = [kind for kind in words.things if kind not in facts.kinds]
    return [kind for kind in kinds if not facts.kinds & set(words.also_named.get(kind, ()))]


def _plain(kind: str) -> str:
    name = vocabulary().things[kind][0]
    return "paper" if kind == "paper" else with_article(name)


def _colour(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    things: list[Thing] = [thing for thing in facts.handled if len(COLOURS.get(thing.kind, ())) > 1]
    if not things:
        return []
    thing = rng.choice(things)
    wrong = [name for name, _ in COLOURS[thing.kind] if name != thing.colour]
    name = vocabulary().things[thing.kind][0]
    return [f"There is {with_article(f'{colour} {name}')}" for colour in (thing.colour, *_some(wrong, rng))]


def _invented(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    # Both are of the kinds that lie or stand about, so that the words alone tell little.
    present = [thing.kind for thing in facts.lying] + list(facts.furniture)
    absent = [kind for kind in _absent(facts) if kind in (*LYING, *FURNITURE_NAMES)]
    if not present or not absent:
        return []
    return [f"There is {_plain(kind)} in the room" for kind in (rng.choice(present), *_some(absent, rng))]


def _room(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    surface = rng.choice(["walls", "floor"])
    right = getattr(facts, surface)
    wrong = [name for name in surface_colours(surface) if name != right]
    be = "are" if surface == "walls" else "is"
    return [f"The {surface} {be} {colour}" for colour in (right, *_some(wrong, rng))]


def _facing(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    if len(facts.persons) > 1 or facts.facing not in _FACING:
        return []
    return [_FACING[facts.facing], *(text for name, text in _FACING.items() if name != facts.facing)]


def _clothes(facts: ClipFacts, rng: random.Random, actions: Sequence[int]) -> list[str]:
    if facts.passers_by:
        return []  # the clothes of whoever passes are no facts
    shirts = {person.shirt for person in facts.persons}
    wrong = [name for name in clothes_colours() if name not in shirts]
    return [f"A person wears {with_article(f'{c} shirt')}" for c in (facts.persons[0].shirt, *_some(wrong, rng))]


_KINDS: Final[dict[str, Callable[[ClipFacts, random.Random, Sequence[int]], list[str]]]] = {
    "action": _action,
    "order": _order,
    "count": _count,
    "object": _object,
    "colour": _colour,
    "invented": _invented,
    "room": _room,
    "facing": _facing,
    "clothes": _clothes,
}
