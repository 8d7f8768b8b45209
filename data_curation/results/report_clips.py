"""The clips that the page of a curation run shows in full, random and evenly distributed over the actions."""

import random
from collections.abc import Iterable
from itertools import chain, islice, zip_longest
from pathlib import Path

from data_curation.ledger import Record
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.pages.pictures import video_strip
from ski_lvlm.videos.folder import VideoError

FRAMES = 6


def draw_clips(names: Iterable[str], *, count: int, seed: int) -> list[str]:
    """Draw `count` clips, one of every action before a second of any, and return them in NTU's order.

    >>> draw_clips(["S001C001P001R001A002", "S001C001P001R001A001", "S001C001P002R001A002"], count=2, seed=0)
    ['S001C001P001R001A001', 'S001C001P002R001A002']
    """
    chance = random.Random(seed)
    by_action: dict[int, list[str]] = {}
    for name in sorted(names):
        by_action.setdefault(parse_name(name).action, []).append(name)
    columns = [chance.sample(clips, len(clips)) for clips in by_action.values()]
    chance.shuffle(columns)
    selection = islice(filter(None, chain.from_iterable(zip_longest(*columns))), count)
    return sorted(selection, key=lambda name: (parse_name(name).action, name))


def clip_fields(out: Path, name: str, *, caption: str, qa: Record) -> Record:
    """Return a clip's caption and pairs with a strip of its crop, or with the reason for none."""
    action = open_data_set("ntu120").class_names[parse_name(name).action - 1]
    frames = _strip(out / "crops" / f"{name}.mp4")
    return {"name": name, "action": action, "caption": caption, "pairs": qa["pairs"], **frames}


def _strip(crop: Path) -> dict[str, str]:
    if not crop.is_file():
        return {"no_frames": f"missing crop: crops/{crop.name}"}
    try:
        return {"frames": video_strip(str(crop), num_frames=FRAMES)}
    except VideoError as error:
        return {"no_frames": str(error)}
