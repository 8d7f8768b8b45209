"""Questions about videos with options, of which one is right, and the orders in which the options are put."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from ski_lvlm.storage.digests import digest_number

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Order = tuple[int, ...]  # position → number of the option in the file


class ChoiceItem(NamedTuple):
    """A question about a video, its options in the file's order, and the right one's number.

    Its `kind` groups it with others, if the file has kinds.
    """

    video: str
    question: str
    options: tuple[str, ...]
    right: int
    kind: str = ""

    def is_right(self, option: int) -> bool:
        """Return whether an option is the right one, or has the same text.

        >>> ChoiceItem("v", "?", ("Sit", "walk", "sit"), 0).is_right(2)
        True
        """
        return same_text(self.options[option]) == same_text(self.options[self.right])

    @property
    def chance(self) -> float:
        """Return the accuracy of guessing."""
        return sum(map(self.is_right, range(len(self.options)))) / len(self.options)


def same_text(text: str) -> str:
    """Return a text as two options are compared: in lower case, with single spaces."""
    return " ".join(text.lower().split())


def option_orders(item: ChoiceItem, count: int, *, seed: int | None) -> list[Order]:
    """Return the first `count` orders of an item's options. Without a seed, it is the order of the file.

    The first order is shuffled by the seed and the item. Each further one moves every option up by one position. As
    many orders as options put each option at each position once. After that comes another shuffled one.
    Assumption: the published benchmarks are asked once, in the order of their files.
    """
    size = len(item.options)
    if seed is None:
        return [tuple(range(size))]
    orders = []
    for number in range(count):
        turns, rotation = divmod(number, size)
        shuffled = _shuffled(item, [seed, turns])
        orders.append(tuple(shuffled[rotation:] + shuffled[:rotation]))
    return orders


def _shuffled(item: ChoiceItem, seed: Sequence[int]) -> list[int]:
    # The kind is no part of the key, so that orders are the same with and without it.
    about = item.video, item.question, item.options, item.right
    return sorted(range(len(item.options)), key=lambda option: digest_number(json.dumps([*about, option, *seed])))
