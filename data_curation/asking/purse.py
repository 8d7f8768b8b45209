"""Money: a budget that is never overdrawn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BudgetSpent(ValueError):
    """The next request might cost more than is left."""


class Purse:
    """Counts dollars for all threads of a process; a request reserves what it may cost before it is sent.

    Args:
        budget: dollars that may be spent in all; None for no limit.
        spent: dollars that earlier runs have spent.
    """

    def __init__(self, *, budget: float | None, spent: float = 0.0) -> None:
        self.budget, self.spent = budget, spent
        self._reserved = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def reserve(self, most: float) -> Iterator[None]:
        """Hold back what a request may cost at most, in dollars, as long as it is under way.

        Raises:
            BudgetSpent: that much is not left.
        """
        with self._lock:
            if self.budget is not None and self.spent + self._reserved + most > self.budget:
                raise BudgetSpent(
                    f"${self.spent:.4f} of --budget ${self.budget:g} are spent and the next request may cost "
                    f"${most:.4f}; raise --budget and run the same command again: it goes on here"
                )
            self._reserved += most
        try:
            yield
        finally:
            with self._lock:
                self._reserved -= most

    def pay(self, dollars: float) -> None:
        """Book what a request did cost."""
        with self._lock:
            self.spent += dollars
