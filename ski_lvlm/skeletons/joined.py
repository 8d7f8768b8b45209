"""Packed sets of several data sets as one, for training on all of them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from ski_lvlm.skeletons.packed import PackedSkeletons


class JoinedSkeletons(PackedSkeletons):
    """Packed sets by a prefix of their clips' names.

    Raises:
        ValueError: their layouts or cleanings differ.
    """

    def __init__(self, sets: Mapping[str, PackedSkeletons]) -> None:
        kinds = {prefix: f"{packed.layout.name}, cleaning {packed.cleaning}" for prefix, packed in sets.items()}
        if len(set(kinds.values())) > 1:
            listed = ", ".join(f"{prefix} {kind}" for prefix, kind in kinds.items())
            raise ValueError(
                f"the skeletons are of different kinds ({listed}), and one encoder reads one kind; use data sets of "
                "one sensor, or estimate the skeletons of all with scripts/estimate_skeletons.py"
            )
        self._sets = dict(sets)
        first = next(iter(sets.values()))
        self.folder, self.layout, self.cleaning = first.folder, first.layout, first.cleaning
        self.source = " ".join(packed.source for packed in sets.values())
        self.names = [f"{prefix}{name}" for prefix, packed in sets.items() for name in packed.names]

    def __reduce__(self) -> tuple[type["JoinedSkeletons"], tuple[dict[str, PackedSkeletons]]]:  # type: ignore[override]
        return type(self), (self._sets,)

    def __contains__(self, name: object) -> bool:
        return any(
            str(name).startswith(prefix) and str(name).removeprefix(prefix) in packed
            for prefix, packed in self._sets.items()
        )

    def num_frames(self, name: str) -> int:
        """Return the number of frames of a clip."""
        packed, clip = self._find(name)
        return packed.num_frames(clip)

    def get(self, name: str) -> Float32[np.ndarray, "T M J C"]:
        """Return the clip's joints. See `PackedSkeletons.get`."""
        packed, clip = self._find(name)
        return packed.get(clip)

    def _find(self, name: str) -> tuple[PackedSkeletons, str]:
        for prefix, packed in self._sets.items():
            if name.startswith(prefix):
                return packed, name.removeprefix(prefix)
        raise ValueError(f"no clip {name!r} among the skeletons of {', '.join(self._sets)}; leave it out")
