"""Conditions on the columns of a clip table, by which a protocol divides clips."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool

Value = str | int | float


@dataclass(frozen=True)
class Condition:
    """Values that a column must have or, negated, must not have, or the range from `low` to `high` (inclusive)."""

    values: tuple[Value, ...] = ()
    is_negated: bool = False
    low: float | None = None
    high: float | None = None

    def holds(self, column: pa.ChunkedArray) -> Bool[np.ndarray, " clips"]:
        """Return for every clip whether the condition holds. It never does where the column is empty.

        Raises:
            ValueError: the column holds words and the condition names numbers, or the other way round.
        """
        if self.values:
            matches = pc.is_in(column, value_set=self._value_set(column.type))
            mask = pc.and_(pc.is_valid(column), pc.invert(matches) if self.is_negated else matches)
            return np.asarray(mask)
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            raise ValueError("holds words, and a range from … to … needs numbers")
        mask = pc.is_valid(column)
        for bound, compare in ((self.low, pc.greater_equal), (self.high, pc.less_equal)):
            if bound is not None:
                mask = pc.and_(mask, pc.fill_null(compare(column, bound), False))
        return np.asarray(mask)

    def _value_set(self, kind: pa.DataType) -> pa.Array:
        if pa.types.is_string(kind):
            return pa.array([str(value) for value in self.values], kind)
        try:
            return pa.array([float(value) for value in self.values]).cast(kind)
        except (ValueError, pa.ArrowInvalid) as error:
            raise ValueError(f"holds numbers, and the condition names {list(self.values)[:5]}") from error


@dataclass(frozen=True)
class Rule:
    """Conditions by column, all of which must hold."""

    conditions: tuple[tuple[str, Condition], ...]


def read_rule(content: object, *, place: str) -> Rule:
    """Return the rule that an object of `dataset.json` means, such as `{"camera": [2, 3]}`.

    Raises:
        ValueError: it is no object of columns and conditions. The message begins with `place`.
    """
    if not isinstance(content, dict) or not content:
        raise ValueError(f'{place} is {content!r:.60}; expected columns and values, such as {{"camera": [2, 3]}}')
    return Rule(tuple((str(column), _condition(value, f"{place}.{column}")) for column, value in content.items()))


def _condition(content: Any, place: str) -> Condition:  # noqa: ANN401
    if isinstance(content, dict) and set(content) == {"not"}:
        return Condition(_values(content["not"], place), is_negated=True)
    if isinstance(content, dict) and content and set(content) <= {"from", "to"}:
        bounds = [content.get("from"), content.get("to")]
        if all(bound is None or _is_number(bound) for bound in bounds):
            low, high = (None if bound is None else float(bound) for bound in bounds)
            return Condition(low=low, high=high)
    if isinstance(content, dict):
        raise ValueError(f'{place} is {content!r:.60}; expected a value, a list, {{"not": [...]}} or {{"from", "to"}}')
    return Condition(_values(content, place))


def _values(content: Any, place: str) -> tuple[Value, ...]:  # noqa: ANN401
    values = content if isinstance(content, list) else [content]
    if not values or not all(isinstance(value, str) or _is_number(value) for value in values):
        raise ValueError(f"{place} is {content!r:.60}; expected words or numbers")
    return tuple(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
