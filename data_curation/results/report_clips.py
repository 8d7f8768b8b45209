"""The clips that the page of a curation run shows in full, random and evenly distributed over the actions."""

import random
from collections.abc import Iterable
from itertools import chain, islice, zip_longest
from pathlib import Path

from data_curation.ledger import Record
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.pages.pictures import video_strip
from ski_lvlm.videos.folder import VideoError

FRAMES = 6


def draw_clips(names: Iterable[str], *, data: DataSet, count: int, seed: int) -> list[str]:
    """Draw `count` clips, one of every class before a second of any, and return them in the classes' order."""
    chance = random.Random(seed)
    names = sorted(names)
    label_of = dict(zip(names, data.labels(names, classes=data.class_names), strict=True)) if names else {}
    by_class: dict[int, list[str]] = {}
    for name, label in label_of.items():
        by_class.setdefault(label, []).append(name)
    columns = [chance.sample(clips, len(clips)) for clips in by_class.values()]
    chance.shuffle(columns)
    selection = islice(filter(None, chain.from_iterable(zip_longest(*columns))), count)
    return sorted(selection, key=lambda name: (label_of[name], name))


def clip_fields(out: Path, name: str, *, action: str, caption: str, qa: Record) -> Record:
    """Return a clip's caption and pairs with a strip of its crop, or with the reason for none."""
    frames = _strip(out / "crops" / f"{name}.mp4")
    return {"name": name, "action": action, "caption": caption, "pairs": qa["pairs"], **frames}


def _strip(crop: Path) -> dict[str, str]:
    if not crop.is_file():
        return {"no_frames": f"missing crop: crops/{crop.name}"}
    try:
        return {"frames": video_strip(str(crop), num_frames=FRAMES)}
    except VideoError as error:
        return {"no_frames": str(error)}
