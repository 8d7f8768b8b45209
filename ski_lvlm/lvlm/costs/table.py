"""Tables of an estimate for people."""

from rich.console import Console
from rich.table import Table

from ski_lvlm.lvlm.costs.estimate import MEMORIES, SHOWN_GPUS, UTILISATIONS, Estimate
from ski_lvlm.lvlm.costs.weights import ENGINES
from ski_lvlm.training.gpu_peaks import GPUS


def print_estimate(costs: Estimate, *, stage: int, console: Console) -> None:
    """Print memory by part, largest batches, and hours with the engine of this stage of ZeRO."""
    plan, weights = costs.plan, costs.weights
    console.print(
        f"{weights.number:,} weights, {weights.num_trained:,} trained. "
        f"{costs.length} tokens and {costs.flops / 1e12:.1f} TFLOP a sample.",
        highlight=False,
    )
    for table in (_memory(costs), _batches(costs), _hours(costs, stage)):
        console.print(table)
    console.print(
        f"GB are 10^9 bytes. {plan.num_samples:,} samples, {plan.epochs:g} epochs. Estimates from shapes, not "
        "measurements: samples of one length, no evaluation, no time waiting for data.",
        highlight=False,
    )


def _table(title: str, first: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _memory(costs: Estimate) -> Table:
    plan = costs.plan
    table = _table(f"GB on each of {plan.gpus} GPUs, {plan.rows} samples at a time", "part", [*ENGINES.values()])
    columns = [costs.memory(stage, plan.rows) for stage in ENGINES]
    for part in columns[0]:
        table.add_row(part, *(f"{column[part] / 1e9:.2f}" for column in columns))
    table.add_section()
    table.add_row("together", *(f"{sum(column.values()) / 1e9:.2f}" for column in columns))
    return table


def _batches(costs: Estimate) -> Table:
    table = _table("Largest --per_device_train_batch_size", "engine", [f"{gb:g} GB" for gb in MEMORIES])
    for stage, name in ENGINES.items():
        sizes = [costs.largest_batch(stage, gb) for gb in MEMORIES]
        table.add_row(name, *(str(size) if size else "none" for size in sizes))
    return table


def _hours(costs: Estimate, stage: int) -> Table:
    columns = [f"{share:.0%} of the peak" for share in UTILISATIONS]
    table = _table(f"Hours on {costs.plan.gpus} GPUs, {ENGINES[stage]}", "GPU", columns)
    for gpu in GPUS:
        if gpu.name in SHOWN_GPUS:
            has_room = costs.largest_batch(stage, gpu.memory_gb) > 0
            hours = [f"{costs.hours(gpu.tflops, share):.1f}" for share in UTILISATIONS]
            name = f"{gpu.name}, {gpu.memory_gb:.0f} GB, {gpu.tflops:g} TFLOP/s"
            table.add_row(name, *(hours if has_room else ["no room"] * len(hours)))
    return table
