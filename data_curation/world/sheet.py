"""A contact sheet: random clips of a difficulty, a row each, to see whether a person can name their actions."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from data_curation.world.clips import Settings, Take, clip_names, take
from data_curation.world.facts import DATA_SET
from data_curation.world.film import film
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.storage.files import atomic_path

ROWS, COLUMNS = 12, 8
_GAP = 3  # pixels between pictures
_POOL = 10  # blocks of all actions from which the clips are drawn


def write_sheet(file: Path, *, settings: Settings) -> list[str]:
    """Write a sheet of twelve clips, and return a line for each with its name and action.

    Fewer classes than twelve have a row each. Rows are numbered and say nothing else, so that whoever looks can
    guess first.

    Raises:
        ValueError: the file's ending is neither .png nor .jpg.
    """
    if file.suffix not in (".png", ".jpg"):
        raise ValueError(f"--sheet {file}: expected a file that ends in .png or .jpg")
    names = clip_names(_POOL * len(settings.classes), settings=settings)
    rng = np.random.default_rng([settings.seed, 300])
    actions = rng.permutation(list(settings.classes))[:ROWS].tolist()
    clips = [[name for name in names if name.action == action][int(rng.integers(_POOL))] for action in actions]
    scenes = [take(clip, settings=settings) for clip in clips]
    rows = [row(scene, settings, number) for number, scene in enumerate(scenes, start=1)]
    if len(rows) % 2:
        rows.append(np.zeros_like(rows[0]))
    columns = [np.concatenate(rows[half::2]) for half in range(2)]
    sheet = np.concatenate([columns[0], np.full((len(columns[0]), 2 * _GAP, 3), 255, np.uint8), columns[1]], axis=1)
    with atomic_path(file) as temporary:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 80] if file.suffix == ".jpg" else []
        _, content = cv2.imencode(file.suffix, sheet[..., ::-1], quality)
        temporary.write_bytes(content.tobytes())
    lookup = open_data_set(DATA_SET).description.class_named
    titles = [", then ".join(lookup(f"A{action}").name for action in scene.actions) for scene in scenes]
    return [f"{number:2} {clip} {title}" for number, (clip, title) in enumerate(zip(clips, titles), start=1)]


def sheet_key(lines: list[str]) -> str:
    """Return the key of a sheet as a table."""
    return "\n".join(("row clip                 action", *lines))


def row(scene: Take, settings: Settings, number: int) -> UInt8[np.ndarray, "H W 3"]:
    """Return a clip's frames over time side by side, the central squares as towers see them."""
    moments = np.linspace(0, len(scene.performance.seconds) - 1, COLUMNS).round().astype(int)
    frames = film(scene.performance.at(moments), session=scene.session, width=settings.width, height=settings.height)
    start = (settings.width - settings.height) // 2
    squares = [np.pad(f[:, start : start + settings.height], ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
               for f in frames]  # fmt: skip
    picture = np.ascontiguousarray(np.concatenate(squares, axis=1))
    cv2.putText(picture, str(number), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 3, cv2.LINE_AA)
    cv2.putText(picture, str(number), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200, 0, 0), 1, cv2.LINE_AA)
    return picture
