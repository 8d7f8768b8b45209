"""CPU time of two ways to do the same, in turns."""

import statistics
import time
from collections.abc import Callable, Mapping


def median_cpu_seconds(works: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, float]:
    """Return the median CPU seconds of a call of each work, all threads together.

    They take turns, so that other load slows them alike. One call of each before does not count.
    """
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}
