"""The five metrics of the Video-ChatGPT benchmark, in Table 3's order, and which texts of a record each is about."""

from typing import Final

_ONE_ANSWER, _TWO_ANSWERS = ("Q", "A", "pred"), ("Q1", "Q2", "A", "pred1", "pred2")
FIELDS: Final = {
    "correctness": _ONE_ANSWER,
    "detail": _ONE_ANSWER,
    "context": _ONE_ANSWER,
    "temporal": _ONE_ANSWER,
    "consistency": _TWO_ANSWERS,
}
METRICS: Final = tuple(FIELDS)
