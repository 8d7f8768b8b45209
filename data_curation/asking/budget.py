"""A budget in dollars that is never exceeded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BudgetSpent(ValueError):
    """The next request might cost more than the rest of the budget."""


class Budget:
    """The spending of all threads of a process. It reserves the maximum cost of each request before it is sent.

    Args:
        limit: the maximum spending in dollars, or None.
        spent: the spending of earlier runs in dollars.
    """

    def __init__(self, *, limit: float | None, spent: float = 0.0) -> None:
        self.limit, self.spent = limit, spent
        self._reserved = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self, maximum: float) -> Iterator[None]:
        """Reserve the maximum cost of a request, in dollars, while it is under way.

        Raises:
            BudgetSpent: less than that is left.
        """
        with self._lock:
            if self.limit is not None and self.spent + self._reserved + maximum > self.limit:
                raise BudgetSpent(
                    f"${self.spent:.4f} of --budget ${self.limit:g} are spent and the next request may cost "
                    f"${maximum:.4f}; raise --budget and run the same command again to resume"
                )
            self._reserved += maximum
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= maximum

    def pay(self, dollars: float) -> None:
        """Book the actual cost of a request."""
        with self._lock:
            self.spent += dollars
