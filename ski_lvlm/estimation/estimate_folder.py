"""A folder of estimates, one file a clip, which an interrupted run continues.

Files hold every joint with its confidence. So another limit of confidence needs no new estimation.
"""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from ski_lvlm.estimation.estimate import Estimate
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.preprocessing import is_present, whole_joints
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json

_VERSION = 1


class ClipCounts(NamedTuple):
    """Counts of a clip: frames, those with a person, persons, share of absent joints, seconds to estimate."""

    frames: int
    with_person: int
    persons: int
    absent_joints: float
    seconds: float


class EstimateFolder:
    """Estimates of one estimator with one stride.

    Raises:
        ValueError: the folder holds those of another estimator or stride.
    """

    def __init__(self, folder: Path, *, estimator: str, layout: str, stride: int) -> None:
        self.folder, self.layout = folder, layout_named(layout)
        settings = {"estimator": estimator, "layout": layout, "stride": stride, "version": _VERSION}
        path = folder / "settings.json"
        stored: dict[str, Any] = read_json(path) if path.is_file() else {}
        if stored and stored != settings:
            differing = [f"{key} {stored.get(key)!r}, not {value!r}" for key, value in settings.items()]
            raise ValueError(
                f"{folder}: holds estimates of other settings ({'; '.join(differing)}); choose another --out, or "
                "delete this folder to estimate again"
            )
        if not stored:
            write_json(path, settings)

    def has(self, clip: str) -> bool:
        """Return whether the clip is estimated and its file undamaged."""
        try:
            self.load(clip)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        return True

    def load(self, clip: str) -> tuple[Estimate, float]:
        """Return the estimate of a clip, and the seconds that it took."""
        with np.load(self._file(clip), allow_pickle=False) as stored:
            return Estimate(*(stored[field] for field in Estimate._fields)), float(stored["seconds"])

    def save(self, clip: str, estimate: Estimate, *, seconds: float) -> None:
        """Write the estimate of a clip. After a crash the file is whole or absent."""
        with atomic_path(self._file(clip)) as temporary, temporary.open("wb") as file:
            np.savez(file, **estimate._asdict(), seconds=np.float64(seconds))

    def joints(self, clip: str, *, min_confidence: float) -> tuple[Float32[np.ndarray, "T M J D"], ClipCounts]:
        """Return the frames of a clip that show somebody, and its counts.

        A joint of less confidence is absent, and so is a person without any centre joint of the layout. Like the
        cleaning of NTU, frames without anybody are left out.

        Raises:
            ValueError: nobody is in any frame.
        """
        estimate, seconds = self.load(clip)
        with np.errstate(invalid="ignore"):
            is_sure = estimate.confidence >= min_confidence
        joints = np.where(is_sure[..., None], estimate.joints, np.float32(np.nan))
        joints = whole_joints(joints, layout=self.layout)
        present = is_present(joints)
        if not present.any():
            raise ValueError(f"{clip}: nobody was found in its {len(joints)} frames")
        joints = joints[:, present.any(axis=0)][present.any(axis=1)]
        absent = np.isnan(joints[is_present(joints)]).any(axis=-1).mean()
        counts = ClipCounts(len(present), int(present.any(axis=1).sum()), joints.shape[1], float(absent), seconds)
        return joints, counts

    def _file(self, clip: str) -> Path:
        return self.folder / f"{clip}.npz"
