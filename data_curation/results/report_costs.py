"""What a curation run's page says of cost: tokens and money by model, seconds by step and by request."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_curation.ledger import Record, done


class Seconds(NamedTuple):
    """How long things took: their median, what 95 % stayed below, and all of them together."""

    median: float
    most: float
    total: float


class Spending(NamedTuple):
    """What the requests of one step to one model took; `dollars` is what those with a known price cost."""

    step: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float
    unpriced: int
    seconds: Seconds | None

    @property
    def price(self) -> str:
        """The money in words that do not hide what is unknown.

        >>> Spending("qa", "m", 3, 0, 0, 0.5, 1, None).price
        '$0.50 + price unknown of 1 request'
        """
        if self.unpriced == self.requests:
            return "price unknown"
        known = f"${self.dollars:,.2f}" if self.dollars >= 0.01 or not self.dollars else f"${self.dollars:.2g}"
        requests = "request" if self.unpriced == 1 else "requests"
        return f"{known} + price unknown of {self.unpriced:,} {requests}" if self.unpriced else known


class StepTime(NamedTuple):
    """How long one step took with one model and prompt, over the clips that were done."""

    step: str
    model: str
    prompt: str
    clips: int
    seconds: Seconds


def seconds(values: Iterable[float | None]) -> Seconds | None:
    """The summary of some durations, None where none is known.

    >>> seconds([1.0, None, 3.0])
    Seconds(median=2.0, most=2.9, total=4.0)
    """
    known = np.array([value for value in values if value is not None], dtype=float)
    if not len(known):
        return None
    median, most = np.percentile(known, [50, 95])
    return Seconds(float(median), float(most), float(known.sum()))


def spending(spent: Sequence[Record]) -> list[Spending]:
    """One row a step and model, in the order in which they first appear, and where there are several their sum."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for request in spent:
        groups.setdefault((request["step"], request["model"]), []).append(request)
    rows = [_spending(step, model, requests) for (step, model), requests in groups.items()]
    return [*rows, _spending("all", "", spent)] if len(rows) > 1 else rows


def _spending(step: str, model: str, requests: Sequence[Record]) -> Spending:
    priced = [request["dollars"] for request in requests if request["dollars"] is not None]
    return Spending(
        step,
        model,
        len(requests),
        prompt_tokens=sum(request["prompt_tokens"] for request in requests),
        completion_tokens=sum(request["completion_tokens"] for request in requests),
        dollars=sum(priced),
        unpriced=len(requests) - len(priced),
        seconds=seconds(request["seconds"] for request in requests),
    )


def step_times(steps: Mapping[str, Mapping[str, Record]]) -> list[StepTime]:
    """One row a step, model and prompt; crops have no prompt."""
    times: dict[tuple[str, str, str], list[float]] = {}
    for step, records in steps.items():
        for record in done(records).values():
            maker = step, record["model"], record.get("prompt", "")
            times.setdefault(maker, []).append(record["seconds"])
    rows = ((maker, seconds(values), len(values)) for maker, values in times.items())
    return [StepTime(*maker, clips, taken) for maker, taken, clips in rows if taken]
