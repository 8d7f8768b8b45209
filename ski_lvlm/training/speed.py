"""Speed of a training over all processes: work, waiting for data, memory, utilisation of the GPUs."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from ski_lvlm.training.gpu_peaks import gpu_of

FLOPS, USEFUL_FLOPS, SAMPLES = "flops", "useful_flops", "samples"
_SECONDS, _WAIT, _MEMORY = "seconds", "wait", "memory"
_HIGHEST = (_SECONDS, _WAIT, _MEMORY)  # of all processes. Of everything else the sum counts

Work = Callable[[Mapping[str, Any]], Mapping[str, Tensor]]  # amounts of work in a batch, by name
T = TypeVar("T")


class SpeedMeter:
    """Meter of a process's work and of its time, both since the first batch.

    `work` returns the amounts of work in a batch, by name. Amounts that end in `_tokens` are reported by the second.
    The floating-point operations `flops` are all that are computed, `useful_flops` those without padding and
    recomputation. Sums stay on the device, so that no step waits for them.
    """

    def __init__(self, work: Work | None = None) -> None:
        self.work = work
        self.sums: dict[str, Tensor] = {}
        self.wait = 0.0  # seconds in which the process waited for batches
        self.start: float | None = None
        self.last: dict[str, float] = {}  # the totals at the last line
        self.stored_flops = 0.0

    def timed(self, batches: Iterator[T]) -> Iterator[T]:
        """Yield the batches, and take the time that each takes to come."""
        while True:
            before = time.monotonic()
            self.start = before if self.start is None else self.start
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.wait += time.monotonic() - before
            yield batch

    def count(self, batch: Mapping[str, Any]) -> None:
        """Add the work in a batch."""
        for name, amount in (self.work(batch) if self.work else {}).items():
            self.sums[name] = self.sums[name] + amount if name in self.sums else amount

    def new_flops(self) -> float:
        """Return this process's floating-point operations since the last call."""
        total = float(self.sums.get(FLOPS, 0.0))
        difference, self.stored_flops = total - self.stored_flops, total
        return difference

    def totals(self, gather: Callable[[Tensor], Tensor], device: torch.device) -> dict[str, float]:
        """Return the totals of all processes, each of which must call this. `gather` concatenates their tensors."""
        seconds = 0.0 if self.start is None else time.monotonic() - self.start
        readings = {_SECONDS: seconds, _WAIT: self.wait, _MEMORY: peak_memory_gb()}
        readings |= {name: float(amount) for name, amount in self.sums.items()}
        rows = gather(torch.tensor([list(readings.values())], dtype=torch.float64, device=device))
        columns = zip(readings, rows.T.tolist(), strict=True)
        return {name: max(column) if name in _HIGHEST else sum(column) for name, column in columns}

    def since_last(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return what has been added to the totals since the last call."""
        difference = {name: total - self.last.get(name, 0.0) for name, total in totals.items() if name != _MEMORY}
        self.last = dict(totals)
        return difference | {_MEMORY: totals[_MEMORY]}


def rates(amounts: Mapping[str, float], *, processes: int, peak_tflops: float | None) -> dict[str, float]:
    """Return what the log reports of these amounts, which `processes` did together.

    Returns:
        samples and tokens of each kind in a second of all processes, the share of real among all tokens, TFLOP/s of
        one process, its share of the peak (`mfu`, where one is given), the share of the time in which the slowest
        process waited for data, and the highest peak memory of a process in GB.
    """
    report = {"peak_memory_gb": amounts[_MEMORY]}
    seconds = amounts[_SECONDS]
    if not amounts[SAMPLES] or seconds <= 0:
        return report
    report[f"{SAMPLES}_per_second"] = amounts[SAMPLES] / seconds
    tokens = {name: amount for name, amount in amounts.items() if name.endswith("_tokens")}
    report |= {f"{name}_per_second": amount / seconds for name, amount in tokens.items()}
    if tokens.get("padded_tokens"):
        report["useful_share"] = tokens["real_tokens"] / tokens["padded_tokens"]
    if USEFUL_FLOPS in amounts:
        report["tflops_per_second"] = amounts[USEFUL_FLOPS] / 1e12 / seconds / processes
        if peak_tflops:
            report["mfu"] = report["tflops_per_second"] / peak_tflops
    report["data_wait_share"] = amounts[_WAIT] / seconds
    return {name: float(f"{rate:.4g}") for name, rate in report.items()}


def peak_of(device: torch.device, *, is_16_bit: bool, stated: float | None) -> float | None:
    """Return the peak of a device in TFLOP/s: the stated one, else that of a well-known GPU in 16 bits.

    A CPU, an unknown GPU and a run in 32 bits have none.
    """
    if stated is not None or device.type != "cuda" or not is_16_bit:
        return stated
    gpu = gpu_of(torch.cuda.get_device_name(device))
    return gpu.tflops if gpu else None


def peak_memory_gb() -> float:
    """Return the peak memory so far in GB: the GPU's where there is one, else this process's resident memory."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 1e9, 3)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 3)
