"""Four ways to read a model's choice from the evidence.

Assumption: the paper has no such benchmark, and LLAVIDAL reads written answers alone. The likelihood per token is the
main one, since a model that was trained on sentences may write no letter, and length alone costs an option nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.choosing.items import ChoiceItem
from eval.choosing.letter import letter_of

METHODS = {
    "likelihood": "likelihood of the option, per token",
    "whole_likelihood": "likelihood of the option, as a whole",
    "letter_likelihood": "likelihood of the letter",
    "letter": "written answer",
}

OPTION_LIKELIHOODS = ("likelihood", "whole_likelihood")
LIKELIHOODS = (*OPTION_LIKELIHOODS, "letter_likelihood")
NO_LETTERS = "the model told no probabilities of letters, as a server without logprobs"

SHORT = {  # for tables of 80 columns
    "likelihood": "option, per token",
    "whole_likelihood": "option, as a whole",
    "letter_likelihood": "letter",
    "letter": "written answer",
}

Record = Mapping[str, Any]


def positions(record: Record, item: ChoiceItem) -> dict[str, int | None]:
    """Return the position that each method chooses, None where a written answer names no option.

    A record without evidence gives None for all, and one without likelihoods for these. Of equally likely options it is
    the first.
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


def _largest(
    likelihoods: Sequence[tuple[float, int] | None] | None, value: Callable[[float, int], float]
) -> int | None:
    values = [-math.inf if entry is None else value(*entry) for entry in likelihoods or ()]
    return values.index(max(values)) if max(values, default=-math.inf) > -math.inf else None
