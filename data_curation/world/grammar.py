"""The grammar of actions: `set box floor; bend low + bring both floor; take box both; rise*1.5`.

Steps follow each other, parts of a step happen together, and a number after `*` says how long a step takes beside the
others. A `~` before a part gives it to the partner. A part is a verb of `parts.py` and its words. Steps without a part
that takes time, such as `set` and `with`, say how the scene begins.
"""

import re
from dataclasses import dataclass
from functools import cache

_WEIGHT = re.compile(r"\*([0-9.]+)$")


@dataclass(frozen=True)
class Phrase:
    """One part of an action: a verb, its words, and who does it (0, or 1 for the partner)."""

    verb: str
    words: tuple[str, ...]
    person: int = 0

    @property
    def name(self) -> str:
        """The part without counts and lengths.

        >>> Phrase("hop", ("both", "2")).name
        'hop both'
        """
        return " ".join((self.verb, *(word for word in self.words if not word[0].isdigit())))


@dataclass(frozen=True)
class Step:
    """Parts that happen together, and the step's length beside the others'."""

    phrases: tuple[Phrase, ...]
    weight: float


@cache
def steps(text: str) -> tuple[Step, ...]:
    """Parse one way of doing an action.

    Raises:
        ValueError: a part has no verb, or a weight is not at the end of its step.

    >>> [step.weight for step in steps("with cup main; bring main mouth + ~step back 0.4; stay*2")]
    [1.0, 1.0, 2.0]
    """
    return tuple(_step(part.strip(), text) for part in text.split(";"))


def _step(text: str, way: str) -> Step:
    weight = _WEIGHT.search(text)
    phrases = tuple(_phrase(part.split()) for part in _WEIGHT.sub("", text).split("+"))
    words = [word for phrase in phrases for word in (phrase.verb, *phrase.words)]
    if not all(words) or any("*" in word for word in words):
        raise ValueError(f"{way!r}: found {text!r}; expected parts such as 'bring main mouth', and a weight at the end")
    return Step(phrases, float(weight.group(1)) if weight else 1.0)


def _phrase(words: list[str]) -> Phrase:
    person = int(bool(words) and words[0].startswith("~"))
    verb = words[0].lstrip("~") if words else ""
    return Phrase(verb, tuple(words[1:]), person)
