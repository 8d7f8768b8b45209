"""Cost of the testbed's parts in hours of their finished steps."""

from collections.abc import Mapping, Sequence

from scripts.tables.jobs import FINISHED, Step, in_order
from scripts.tables.markdown import grid
from ski_lvlm.storage.json_files import read_json

LEGEND = (
    "Hours are the sum over finished steps, as they ran. Steps that ran beside others took longer than alone. A step "
    "that several parts need counts for the first."
)


def hours_of_parts(parts: Mapping[str, Sequence[Step]]) -> dict[str, float]:
    """Return the hours of each part's finished steps, where a step counts for the first part that needs it."""
    earlier: set[Step] = set()
    hours = {}
    for name, targets in parts.items():
        own_steps = [step for step in in_order(targets) if step not in earlier]
        hours[name] = sum(map(_seconds, own_steps)) / 3600
        earlier.update(own_steps)
    return hours


def _seconds(step: Step) -> float:
    # `Step.is_finished` refuses a folder with another command's result. Of a part that was not asked for, that must not
    # cost the others their page.
    marker = step.folder / FINISHED
    record = read_json(marker) if marker.exists() else {}
    return float(record["seconds"]) if record.get("digest") == step.digest else 0.0


def cost_table(hours: Mapping[str, float]) -> str:
    """Write the hours of the parts that have finished steps as Markdown."""
    rows = [[name, f"{value:.1f}"] for name, value in hours.items() if value]
    return f"## Cost\n\n{LEGEND}\n\n{grid(['part', 'hours'], rows, words=1)}\n"
