"""Clocks of the benchmarks: wall and CPU time of a piece of work, several of them in turns."""

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

Works = Mapping[str, Callable[[], object]]


class Cost(NamedTuple):
    """Seconds of one call, child processes included."""

    wall: float
    user: float
    system: float

    @property
    def cpu(self) -> float:
        """User and system time."""
        return self.user + self.system


def cost_of(work: Callable[[], object]) -> Cost:
    """Measure one call."""
    start, user, system = time.perf_counter(), *_cpu_times()
    work()
    wall = time.perf_counter() - start
    end_user, end_system = _cpu_times()
    return Cost(wall, end_user - user, end_system - system)


def _cpu_times() -> tuple[float, float]:
    usages = [resource.getrusage(scope) for scope in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime for usage in usages), sum(usage.ru_stime for usage in usages)


def in_turns(works: Works, *, rounds: int) -> dict[str, list[Cost]]:
    """Measure each work `rounds` times, in turns, so that other load on the machine slows them alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            costs[name].append(cost_of(work))
    return costs


def genuine_data() -> Path:
    """Return the folder of genuine NTU data, which may not exist: SKI_REAL_DATA, or ../shared/real."""
    return Path(os.environ.get("SKI_REAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "real"))
