"""Published numbers of skeleton-only systems that are younger than the paper, on its own zero-shot splits.

Top-1 in percent. Systems whose figures are disputed, missing or measured on other splits are left out.
"""

from typing import NamedTuple

from scripts.tables.markdown import NOTHING, grid
from scripts.tables.rows import NTU_SPLITS, heading


class LaterSystem(NamedTuple):
    """A system by its name, its year, and its number on each split."""

    name: str
    year: int
    published: tuple[float | None, ...]
    remark: str = ""


# fmt: off
LATER_SYSTEMS = (
    LaterSystem("PURLS",           2024, (79.2, 41.0, 72.0, 52.0)),
    LaterSystem("SA-DVAE",         2024, (82.4, 41.4, 68.8, 46.1)),
    LaterSystem("TDSM",            2025, (86.5, 56.0, 74.2, 65.1)),
    LaterSystem("FS-VAE",          2025, (86.9, 57.2, 74.4, 62.5)),
    LaterSystem("Neuron",          2025, (86.9, 62.7, 71.5, 57.1)),
    LaterSystem("Skeleton-Cache",  2025, (89.4, 52.0, 77.6, 56.8), "adapts to the test clips"),
    LaterSystem("SkeletonContext", 2026, (89.6, 64.4, 74.2, 60.1)),
    LaterSystem("FDSM",            2026, (None, None, 75.2, 66.5)),
)
# fmt: on
VERDICT = (
    "Newer systems that see skeletons alone pass SKI-ViFiCLIP on three of the four splits: 55/5, 48/12 and 96/24. On "
    "110/10 its 77.5 stands, level with the 77.6 of Skeleton-Cache, which adapts to the test clips."
)


def note() -> str:
    """Return the numbers as Markdown, with what follows from them."""
    head = ["Later, skeletons alone", "year", *map(heading, NTU_SPLITS), "remark"]
    rows = [[system.name, str(system.year), *map(_cell, system.published), system.remark] for system in LATER_SYSTEMS]
    return f"{VERDICT}\n\n{grid(head, rows, words=2)}"


def _cell(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}"
