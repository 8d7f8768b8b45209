"""The skeleton encoders by name. A new one is a file beside this, a line here, and its schedule in the recipe."""

from collections.abc import Mapping
from typing import Any

from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.encoders.st_gcn import STGCN
from ski_lvlm.skeletons.layouts import layout_named

ENCODERS: dict[str, type[SkeletonEncoder]] = {
    "hyperformer": Hyperformer,
    "shift_gcn": ShiftGCN,
    "st_gcn": STGCN,
}
_LARGEST = 4096  # of any size, so that a damaged file does not ask for all of the memory
_LISTS = ("strided", "widths")


def build_encoder(settings: Mapping[str, Any]) -> SkeletonEncoder:
    """Build an untrained encoder from what `SkeletonEncoder.settings` returned. Without a network's name: Hyperformer.

    Raises:
        ValueError: no such network, or settings that are not its own.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"the encoder's settings are {settings!r}; expected names and values")
    arguments = dict(settings)
    network = arguments.pop("network", Hyperformer.network)  # earlier cards do not name it
    if not isinstance(network, str) or network not in ENCODERS:
        raise ValueError(f"unknown skeleton encoder {network!r}; expected one of {', '.join(ENCODERS)}")
    kind = ENCODERS[network]
    expected = {"layout", "in_channels", "num_persons", *kind.sizes}
    if unknown := sorted(set(arguments) - expected):
        raise ValueError(f"{kind.title} has no {', '.join(unknown)}; expected {', '.join(sorted(expected))}")
    layout = arguments.pop("layout", None)
    if not isinstance(layout, str):
        raise ValueError(f"the layout is {layout!r}; expected the name of one")
    if wrong := [name for name, value in arguments.items() if not _is_size(name, value)]:
        raise ValueError(
            f"{', '.join(f'{name} is {arguments[name]!r}' for name in wrong)}; expected whole numbers from 1 to "
            f"{_LARGEST}, in a list for {' and '.join(_LISTS)}"
        )
    return kind(layout=layout_named(layout), **arguments)


def _is_size(name: str, value: object) -> bool:
    if isinstance(value, list) != (name in _LISTS):
        return False
    numbers = value if isinstance(value, list) else [value]
    return all(type(number) is int and 0 < number <= _LARGEST for number in numbers)
