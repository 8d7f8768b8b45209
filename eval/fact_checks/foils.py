"""Multiple-choice questions whose options differ in one fact, for the likelihoods of `eval/choose.py`.

A likelihood of a given text varies far less than a generated caption does. So these questions tell small models apart.
All options of a question have the same words but for the fact.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median_low
from typing import Any, Final

from data_curation.fact_texts.action_text import action_sentence
from data_curation.fact_texts.clip_facts import ClipFacts, Thing
from data_curation.fact_texts.vocabulary import vocabulary
from data_curation.fact_texts.wording import Wording, sentence, with_article
from data_curation.world.actions import ACTIONS
from data_curation.world.things import COLOURS
from eval.fact_checks.odds import WRONG, Pool, kinds_around, some_of

QUESTION = "What happens in this video?"
_FEW = ("count", "facing")
"""Kinds with few answers, of which one is far more frequent."""
_COUNTS = ("One person is there", "Two people are there", "Three people are there")
_FACING = {
    "towards the camera": "The person faces the camera",
    "away from the camera": "The person faces away from the camera",
    "left": "The person faces to the left",
    "right": "The person faces to the right",
}


def foils(clips: Sequence[ClipFacts], *, seed: int) -> list[dict[str, Any]]:
    """Return the questions about all clips, in the form that `eval/choose.py` reads, each with its kind.

    Wrong options are facts of other clips, so that what is frequent is often wrong too. Wrong actions are of the same
    number of persons. A thing that lies about is preferred as the wrong thing at hand. A kind of question is left
    out for clips that do not allow it. Numbers and directions that are right more often than others are asked less.
    """
    questions, pool = [], Pool.of(clips)
    for facts in clips:
        for kind, options_of in _KINDS.items():
            rng = random.Random(f"{seed} {kind} {facts.clip}")
            options = options_of(facts, rng, pool)
            if len(dict.fromkeys(options)) > 1:
                questions.append(_question(facts.clip, kind, options))
    return _balanced(questions)


def _balanced(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out questions whose answers are frequent, of the kinds with few answers: at most the median number each."""
    counts = {kind: Counter(q["answer"] for q in questions if q["kind"] == kind) for kind in _FEW}
    maximum = {kind: median_low(counter.values()) for kind, counter in counts.items() if counter}
    numbers: Counter[tuple[str, str]] = Counter()
    result = []
    for question in questions:
        key = question["kind"], question["answer"]
        numbers[key] += 1
        if question["kind"] not in _FEW or numbers[key] <= maximum[question["kind"]]:
            result.append(question)
    return result


def _question(clip: str, kind: str, options: Sequence[str]) -> dict[str, Any]:
    unique = list(dict.fromkeys(map(sentence, options)))
    return {"video_name": clip, "question": QUESTION, "options": unique, "answer": unique[0], "kind": kind}


def _action(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    # Of a clip of two actions, the first one is asked for and the second one is no wrong answer. Things would tell.
    persons, number = len(facts.persons), facts.actions[0]
    included = {*facts.actions, *(other for n in facts.actions for other in vocabulary().includes.get(n, ()))}
    wording = Wording("foils", rng.random())
    numbers = [
        number,
        *some_of(pool.actions, rng, allowed=lambda n: ACTIONS[n].persons == persons and n not in included),
    ]
    return [action_sentence(replace(facts, actions=(n,), things=()), wording) for n in numbers]


def _order(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    if len(facts.actions) != 2:
        return []
    wording = Wording("foils", rng.random())
    # Phrases are chosen by place in the text, so that each action keeps its words in both orders.
    first, second = (action_sentence(replace(facts, actions=(n,)), wording).rstrip(".") for n in facts.actions)
    return [f"{first}. Then {_lower(second)}", f"{second}. Then {_lower(first)}"]


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _count(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    if facts.passers_by:
        return []  # whoever passes may be counted or not
    right = _COUNTS[len(facts.persons) - 1]
    return [right, *(text for text in _COUNTS if text != right)]


def _object(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    if not facts.things:
        return []
    thing = rng.choice(facts.things)
    lying, absent = {other.kind for other in facts.lying}, _absent(facts)
    wrong = some_of(pool.things, rng, allowed=lying.__contains__)[:1]
    wrong += some_of(pool.things, rng, allowed=absent.__contains__)[: WRONG - len(wrong)]
    return [f"The person uses {_plain(kind)}" for kind in (thing.kind, *wrong)]


def _absent(facts: ClipFacts) -> frozenset[str]:
    """Return the kinds of things that the clip does not have under any name."""
    words = vocabulary()
    return frozenset(k for k in words.things if not facts.kinds & {k, *words.also_named.get(k, ())})


def _plain(kind: str) -> str:
    name = vocabulary().things[kind][0]
    return "paper" if kind == "paper" else with_article(name)


def _colour(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    things: list[Thing] = [thing for thing in facts.handled if len(COLOURS.get(thing.kind, ())) > 1]
    if not things:
        return []
    thing = rng.choice(things)
    palette = {name: 1.0 for name, _ in COLOURS[thing.kind]}
    wrong = some_of(palette, rng, allowed=lambda colour: colour != thing.colour)
    name = vocabulary().things[thing.kind][0]
    return [f"There is {with_article(f'{colour} {name}')}" for colour in (thing.colour, *wrong)]


def _invented(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    present, absent = kinds_around(facts), _absent(facts)
    if not present:
        return []
    wrong = some_of(pool.around, rng, allowed=absent.__contains__)
    return [f"There is {_plain(kind)} in the room" for kind in (rng.choice(sorted(present)), *wrong)]


def _room(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    surface = rng.choice(["walls", "floor"])
    right = getattr(facts, surface)
    wrong = some_of(getattr(pool, surface), rng, allowed=lambda colour: colour != right)
    be = "are" if surface == "walls" else "is"
    return [f"The {surface} {be} {colour}" for colour in (right, *wrong)]


def _facing(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    if len(facts.persons) > 1 or facts.facing not in _FACING:
        return []
    return [_FACING[facts.facing], *(text for name, text in _FACING.items() if name != facts.facing)]


def _clothes(facts: ClipFacts, rng: random.Random, pool: Pool) -> list[str]:
    if facts.passers_by:
        return []  # the clothes of whoever passes are no facts
    shirts = {person.shirt for person in facts.persons}
    wrong = some_of(pool.shirts, rng, allowed=lambda shirt: shirt not in shirts)
    return [f"A person wears {with_article(f'{c} shirt')}" for c in (facts.persons[0].shirt, *wrong)]


_KINDS: Final[dict[str, Callable[[ClipFacts, random.Random, Pool], list[str]]]] = {
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
