"""The odds of facts among clips, by which wrong options are drawn so that words alone tell little."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from data_curation.fact_texts.clip_facts import ClipFacts

Name = TypeVar("Name", int, str)
WRONG = 3
"""Wrong options of a question, if there are as many."""


class Pool(NamedTuple):
    """The odds that a clip has each fact, by which wrong options are drawn."""

    actions: dict[int, float]
    things: dict[str, float]
    around: dict[str, float]
    walls: dict[str, float]
    floor: dict[str, float]
    shirts: dict[str, float]

    @classmethod
    def of(cls, clips: Sequence[ClipFacts]) -> "Pool":
        """Return the odds among clips."""
        return cls(
            actions=_odds([set(facts.actions) for facts in clips]),
            things=_odds([{thing.kind for thing in facts.things} for facts in clips]),
            around=_odds([kinds_around(facts) for facts in clips]),
            walls=_odds([{facts.walls} for facts in clips]),
            floor=_odds([{facts.floor} for facts in clips]),
            shirts=_odds([{person.shirt for person in facts.persons} for facts in clips]),
        )


def _odds(facts: Sequence[set[Name]]) -> dict[Name, float]:
    """Return the odds of each fact.

    A fact is right in a share p of clips and can be wrong in 1 - p. Drawn by p / (1 - p), it is wrong as often as
    right.

    >>> _odds([{"a", "b"}, {"a"}, {"a"}])
    {'a': 3.0, 'b': 0.3333333333333333}
    """
    counts = Counter(name for names in facts for name in names)
    return {name: counts[name] / (len(facts) - counts[name] + 1) for name in sorted(counts)}


def kinds_around(facts: ClipFacts) -> set[str]:
    """Return the kinds of things and furniture that are around, in the picture's frame."""
    return {thing.kind for thing in facts.lying} | set(facts.furniture)


def some_of(odds: dict[Name, float], rng: random.Random, *, allowed: Callable[[Name], bool]) -> list[Name]:
    """Return some different allowed names, drawn by their odds."""
    weights = {name: number for name, number in odds.items() if allowed(name)}
    names: list[Name] = []
    while weights and len(names) < WRONG:
        names += rng.choices(list(weights), list(weights.values()))
        del weights[names[-1]]
    return names
