"""The kinds of data sets that `scripts/prepare.py` converts, by name."""

from collections.abc import Callable
from pathlib import Path

from ski_lvlm.datasets.converters import folders, utd_mhad
from ski_lvlm.datasets.converters.conversion import Conversion

KINDS: dict[str, Callable[[Path], Conversion]] = {
    "folders": folders.convert,
    "utd-mhad": utd_mhad.convert,
}
