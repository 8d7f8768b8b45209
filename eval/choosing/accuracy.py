"""Accuracy of choices: with intervals over videos, beside chance, and by the position of the option.

An answer that names no option, and a video that cannot be read, count in `accuracy` as wrong and are counted beside it.
`accuracy_answered` is over the other answers alone. Where several orders were asked, each counts as an answer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from eval.choosing.items import LETTERS, ChoiceItem, Order
from ski_lvlm.recognition.intervals import Interval, grouped, mean_interval

FEWEST = 5.0  # choices that uniform choosing expects at a position, for the chi-squared test


class Choice(NamedTuple):
    """The position that a method chooses for an item in one order, None for no option. `number` is the order's."""

    item: ChoiceItem
    number: int
    order: Order
    position: int | None
    has_evidence: bool

    @property
    def option(self) -> int | None:
        """Return the option in the order of the file."""
        return None if self.position is None else self.order[self.position]

    @property
    def right_position(self) -> int:
        """Return the position of the right option."""
        return self.order.index(self.item.right)

    @property
    def is_right(self) -> bool:
        """Return whether the option is right."""
        return self.option is not None and self.item.is_right(self.option)


def accuracies(choices: Mapping[str, Sequence[Choice]], *, is_shuffled: bool) -> dict[str, dict[str, Any]]:
    """Return the numbers of each method that was measured."""
    return {method: accuracy(of_method, is_shuffled=is_shuffled) for method, of_method in choices.items()}


def accuracies_by_kind(choices: Mapping[str, Sequence[Choice]]) -> dict[str, dict[str, Any]]:
    """Return the numbers of each kind of question in alphabetical order, none if questions have no kinds."""
    kinds = sorted({choice.item.kind for choice in next(iter(choices.values()), ())})
    return {kind: _of_kind(choices, kind) for kind in kinds} if any(kinds) else {}


def _of_kind(choices: Mapping[str, Sequence[Choice]], kind: str) -> dict[str, Any]:
    """Return the number of questions of a kind, their chance, and the accuracy of each method over all of them."""
    groups = {method: [choice for choice in group if choice.item.kind == kind] for method, group in choices.items()}
    items = [choice.item for choice in next(iter(groups.values())) if choice.number == 0]
    methods = {
        method: {"accuracy": fmean(choice.is_right for choice in group), "interval": _interval(group)}
        for method, group in groups.items()
    }
    return {"items": len(items), "chance": chance(items), "methods": methods}


def accuracy(choices: Sequence[Choice], *, is_shuffled: bool) -> dict[str, Any]:
    """Return the accuracy of one method, from 0 to 1, with counts and the use of positions."""
    answered = [choice for choice in choices if choice.position is not None]
    positions, interval = list(_positions(answered)), _interval(choices)
    return {
        "accuracy": fmean(choice.is_right for choice in choices),
        "interval": interval,
        "accuracy_answered": fmean(choice.is_right for choice in answered) if answered else None,
        "interval_answered": interval if len(answered) == len(choices) else _interval(answered),
        "answers": len(choices),
        "answered": len(answered),
        "unparsed": sum(choice.position is None and choice.has_evidence for choice in choices),
        "failed": sum(not choice.has_evidence for choice in choices),
        "positions": positions,
        "imbalance": _imbalance(positions),
        "p_uniform": uniform_p(answered) if is_shuffled else None,
    }


def _interval(choices: Iterable[Choice]) -> Interval | None:
    return mean_interval(grouped((choice.item.video, float(choice.is_right)) for choice in choices))


def _positions(answered: Sequence[Choice]) -> Iterator[dict[str, Any]]:
    """Yield, for each letter, the shares of answers that choose it and for which it is right."""
    for position in range(max((len(choice.order) for choice in answered), default=0)):
        differences = [
            (choice.item.video, float(choice.position == position) - (choice.right_position == position))
            for choice in answered
        ]
        yield {
            "letter": LETTERS[position],
            "chosen": fmean(choice.position == position for choice in answered),
            "right": fmean(choice.right_position == position for choice in answered),
            "difference_interval": mean_interval(grouped(differences)),
        }


def _imbalance(positions: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of answers that would have to move for all positions to be chosen as often as right."""
    return sum(abs(row["chosen"] - row["right"]) for row in positions) / 2 if positions else None


def uniform_p(answered: Sequence[Choice]) -> float | None:
    """Return the p-value of choices that are blind to positions, by a chi-squared test.

    The orders are shuffled, so a blind choice falls on each position equally often, whatever is right. The test takes
    the first order of each question, since further orders are not independent. Questions with another number of
    options add to it. None where blind choices would fall fewer than five times on a position.
    """
    from scipy.stats import chi2, chisquare

    by_size: dict[int, list[int]] = {}
    for choice in answered:
        if choice.number == 0 and choice.position is not None:
            by_size.setdefault(len(choice.order), [0] * len(choice.order))[choice.position] += 1
    tables = [counts for size, counts in by_size.items() if sum(counts) >= FEWEST * size]
    if not tables:
        return None
    statistic = sum(float(chisquare(counts).statistic) for counts in tables)
    return float(chi2.sf(statistic, sum(len(counts) - 1 for counts in tables)))


def chance(items: Sequence[ChoiceItem]) -> float:
    """Return the accuracy of guessing, over all items.

    >>> chance([ChoiceItem("v", "?", ("a", "b"), 0), ChoiceItem("w", "?", ("a", "b", "c", "d"), 2)])
    0.375
    """
    return fmean(item.chance for item in items)
