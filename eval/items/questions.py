"""The questions of a benchmark file, and the names of their answers."""

from pathlib import Path
from typing import TypeVar

from eval.items.records import Item, read_records

Element = TypeVar("Element")
ANSWERS = {"Q": "pred", "Q1": "pred1", "Q2": "pred2"}


def read_questions(path: Path) -> list[Item]:
    """Read a questions file in any of the formats of `eval/items/records.py`.

    Raises:
        ValueError: not a file of records, empty, or a record without any question.
    """
    items = read_records(path)
    if not items:
        raise ValueError(f"{path}: expected a non-empty list of {{video_name, Q, A, Q1, Q2}}")
    for number, item in enumerate(items):
        if not questions_of(item):
            raise ValueError(f"{path}: item {number} has no question of {list(ANSWERS)}; found {list(item)}")
    return items


def questions_of(item: Item) -> dict[str, str]:
    """Return an item's questions by the field of their answer.

    >>> questions_of({"video_name": "v", "Q": "What happens?", "Q1": None})
    {'pred': 'What happens?'}
    """
    return {answer: item[question] for question, answer in ANSWERS.items() if item.get(question)}


def evenly(items: list[Element], limit: int | None) -> list[Element]:
    """Return at most `limit` items, evenly spaced.

    >>> evenly([{"n": n} for n in range(10)], 3)
    [{'n': 0}, {'n': 3}, {'n': 6}]
    """
    if limit is None or limit >= len(items):
        return items
    return [items[k * len(items) // limit] for k in range(limit)]
