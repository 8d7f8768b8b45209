"""Speed as the log reports it: sums over processes, waiting of the slowest, utilisation of a GPU that is known."""

from types import SimpleNamespace

import pytest
import torch

from ski_lvlm.training import speed
from ski_lvlm.training.gpu_peaks import gpu_of
from ski_lvlm.training.speed import SAMPLES, SpeedMeter, peak_of, rates

CPU, ONE = torch.device("cpu"), {"size": 1.0}
ONE_BATCH = {"trained_tokens": 10.0, "real_tokens": 80.0, "padded_tokens": 100.0, "flops": 3e12, "useful_flops": 2e12}


@pytest.fixture
def clock(monkeypatch):
    """Give the meter a clock that moves when the test says so."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(speed, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def amounts(batch):
    return {name: torch.tensor(batch["size"] * amount, dtype=torch.float64) for name, amount in ONE_BATCH.items()}


def slow(clock, batches):
    for batch in batches:
        clock.now += 2.0
        yield batch


def totals(meter, gather=lambda tensor: tensor):
    return meter.totals(gather, CPU)


def test_waiting_begins_with_the_first_batch_and_excludes_the_work(clock):
    meter = SpeedMeter(amounts)
    clock.now += 50.0  # loading a model is no training
    for batch in meter.timed(slow(clock, [ONE, ONE])):
        meter.count(batch)
        clock.now += 3.0
    assert {name: totals(meter)[name] for name in ("wait", "seconds")} == {"wait": 4.0, "seconds": 10.0}


def test_a_line_has_what_came_since_the_last(clock):
    meter = SpeedMeter(amounts)
    for expected in (1.0, 3.0):
        for batch in meter.timed(iter([{"size": expected}])):
            meter.count(batch)
        clock.now += 5.0
        line = meter.since_last(totals(meter))
        assert (line["real_tokens"], line["seconds"]) == (80.0 * expected, 5.0)
    assert totals(meter)["real_tokens"] == 320.0
    assert meter.new_flops() == 12e12 and meter.new_flops() == 0.0


def test_work_of_the_processes_adds_up_and_the_slowest_counts(clock):
    meter = SpeedMeter(amounts)
    meter.count(ONE)

    def two(tensor):
        return torch.cat([tensor, tensor * 2])

    one, both = totals(meter), totals(meter, two)
    assert both["flops"] == 3 * one["flops"] and both["memory"] == 2 * one["memory"]


def test_rates_are_of_real_work_and_of_one_process():
    line = ONE_BATCH | {SAMPLES: 8.0, "seconds": 2.0, "wait": 0.5, "memory": 4.0}
    assert rates(line, processes=4, peak_tflops=1.0) == {
        "samples_per_second": 4.0,
        "trained_tokens_per_second": 5.0,
        "real_tokens_per_second": 40.0,
        "padded_tokens_per_second": 50.0,
        "useful_share": 0.8,
        "tflops_per_second": 0.25,
        "mfu": 0.25,
        "data_wait_share": 0.25,
        "peak_memory_gb": 4.0,
    }
    assert "mfu" not in rates(line, processes=4, peak_tflops=None)
    assert rates(line | {SAMPLES: 0.0}, processes=1, peak_tflops=None) == {"peak_memory_gb": 4.0}


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA RTX A6000", 154.8),
        ("NVIDIA RTX 6000 Ada Generation", 364.2),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA L4", 121.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA A10G", None),
        ("Quadro RTX 6000", None),
    ],
)
def test_a_gpu_is_known_by_the_name_that_pytorch_reports(name, tflops):
    gpu = gpu_of(name)
    assert (gpu and gpu.tflops) == tflops


def test_no_peak_is_invented(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    gpu = torch.device("cuda")
    assert peak_of(gpu, is_16_bit=True, stated=None) == 989.0
    assert peak_of(gpu, is_16_bit=False, stated=None) is None, "its peak in 32 bits is another"
    assert peak_of(CPU, is_16_bit=True, stated=None) is None
    assert peak_of(CPU, is_16_bit=True, stated=3.0) == peak_of(gpu, is_16_bit=True, stated=3.0) == 3.0
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA T4")
    assert peak_of(gpu, is_16_bit=True, stated=None) is None
