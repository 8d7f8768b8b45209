"""The kinds of data sets that `scripts/prepare.py` converts, by name."""

from collections.abc import Callable
from pathlib import Path

from ski_lvlm.datasets.converters import (
    body_gestures,
    charades,
    etri,
    folders,
    kinetics_skeleton,
    msr_action3d,
    nw_ucla,
    pku_mmd,
    smarthome,
    utd_mhad,
    utkinect,
)
from ski_lvlm.datasets.converters.conversion import Conversion

KINDS: dict[str, Callable[[Path], Conversion]] = {
    "body-gestures": body_gestures.convert,
    "charades": charades.convert,
    "etri": etri.convert,
    "folders": folders.convert,
    "kinetics-skeleton": kinetics_skeleton.convert,
    "msr-action3d": msr_action3d.convert,
    "nw-ucla": nw_ucla.convert,
    "pku-mmd": pku_mmd.convert,
    "smarthome": smarthome.convert,
    "utd-mhad": utd_mhad.convert,
    "utkinect": utkinect.convert,
}
