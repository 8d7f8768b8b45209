"""The costs of a curation run: tokens and money by model, seconds by step and by request."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_curation.ledger import Record, done


class Seconds(NamedTuple):
    """The median, the 95th percentile and the sum of some durations."""

    median: float
    p95: float
    total: float


class Spending(NamedTuple):
    """The requests of one step to one model. `dollars` is the cost of those with a known price."""

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
        """The cost in words, including requests without a price.

        >>> Spending("qa", "m", 3, 0, 0, 0.5, 1, None).price
        '$0.50 + price unknown of 1 request'
        """
        if self.unpriced == self.requests:
            return "price unknown"
        cost = f"${self.dollars:,.2f}" if self.dollars >= 0.01 or not self.dollars else f"${self.dollars:.2g}"
        requests = "request" if self.unpriced == 1 else "requests"
        return f"{cost} + price unknown of {self.unpriced:,} {requests}" if self.unpriced else cost


class StepTime(NamedTuple):
    """The durations of one step with one model and prompt, over the clips that are done."""

    step: str
    model: str
    prompt: str
    clips: int
    seconds: Seconds


def seconds(values: Iterable[float | None]) -> Seconds | None:
    """Return the summary of some durations, or None without any.

    >>> seconds([1.0, None, 3.0])
    Seconds(median=2.0, p95=2.9, total=4.0)
    """
    durations = np.array([value for value in values if value is not None], dtype=float)
    if not len(durations):
        return None
    median, p95 = np.percentile(durations, [50, 95])
    return Seconds(float(median), float(p95), float(durations.sum()))


def spending(spent: Sequence[Record]) -> list[Spending]:
    """Return one row a step and model, in the order of their first request, and the sum of several."""
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
    """Return one row a step, model and prompt. Crops have no prompt."""
    times: dict[tuple[str, str, str], list[float]] = {}
    for step, records in steps.items():
        for record in done(records).values():
            key = step, record["model"], record.get("prompt", "")
            times.setdefault(key, []).append(record["seconds"])
    rows = ((key, seconds(values), len(values)) for key, values in times.items())
    return [StepTime(*key, clips, summary) for key, summary, clips in rows if summary]
