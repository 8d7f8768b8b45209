"""The choice between ways to say something, always the same for a seed and a clip."""

from collections.abc import Sequence

from data_curation.choice import choose


class Wording:
    """Choices of one text. Each has a name, so that adding or removing one changes no other."""

    def __init__(self, *key: object) -> None:
        self._key = " ".join(map(str, key))

    def pick(self, name: str, options: Sequence[str]) -> str:
        """Return one of the options."""
        return choose(tuple(options), key=f"{name} {self._key}")

    def chance(self, name: str, share: float) -> bool:
        """Return whether an event of this probability happens, in steps of a hundredth."""
        return choose(tuple(range(100)), key=f"{name} {self._key}") < round(100 * share)


def listed(items: Sequence[str]) -> str:
    """Join items as a sentence does.

    >>> listed(["a cup"]), listed(["a cup", "a ball", "a box"])
    ('a cup', 'a cup, a ball and a box')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop.

    >>> sentence("it is dark")
    'It is dark.'
    """
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def with_article(noun: str) -> str:
    """Return a noun with its article.

    >>> with_article("orange cup"), with_article("cup")
    ('an orange cup', 'a cup')
    """
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
