"""Four ways to read a model's choice from the evidence.

Assumption: the paper has no such benchmark, and LLAVIDAL reads written answers alone. The likelihood per token is the
main one, since a model that was trained on sentences may write no letter, and length alone costs an option nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from eval.choosing.items import ChoiceItem
from eval.choosing.letter import letter_of

METHODS = {
    "likelihood": "likelihood of the option, per token",
    "whole_likelihood": "likelihood of the option, as a whole",
    "letter_likelihood": "likelihood of the letter",
    "letter": "written answer",
}

SHORT = {  # for tables of 80 columns
    "likelihood": "option, per token",
    "whole_likelihood": "option, as a whole",
    "letter_likelihood": "letter",
    "letter": "written answer",
}

Record = Mapping[str, Any]


def positions(record: Record, item: ChoiceItem) -> dict[str, int | None]:
    """Return the position that each method chooses, None where a written answer names no option.

    A record without evidence gives None for all. Of equally likely options it is the first.
    """
    if record["answer"] is None:
        return dict.fromkeys(METHODS)
    options = [item.options[option] for option in record["order"]]
    return {
        "likelihood": _largest(record["options"], lambda total, tokens: total / tokens),
        "whole_likelihood": _largest(record["options"], lambda total, _: total),
        "letter_likelihood": _largest(record["letters"], lambda total, _: total),
        "letter": letter_of(record["answer"], options),
    }


def _largest(likelihoods: list[tuple[float, int]], value: Callable[[float, int], float]) -> int:
    values = [value(total, tokens) for total, tokens in likelihoods]
    return values.index(max(values))
