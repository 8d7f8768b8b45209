"""Preparation of a data set folder by a converter: description, table of clips, packed skeletons, report."""

import json
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.converters.conversion import Conversion, Joints, Row
from ski_lvlm.datasets.converters.kinds import KINDS
from ski_lvlm.datasets.packing import BATCH, earlier_report, fingerprint, pack
from ski_lvlm.datasets.reading import batched, read_ahead
from ski_lvlm.datasets.writing import write_data_set
from ski_lvlm.skeletons.cleaning import CleaningError
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from ski_lvlm.storage.digests import file_digest
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import only_process

_VERSION = "2"  # another one makes every folder anew
_TABLE, _EDITED_TABLE = "clips.csv", "clips.edited.csv"


class Preparation(NamedTuple):
    """A report, and whether it is that of an earlier run, because nothing has changed."""

    report: dict[str, Any]
    is_earlier: bool


def prepare(kind: str, root: Path, out: Path, *, workers: int) -> Preparation:
    """Convert the data set in `root` into the data set folder `out`, unless its files are as they were.

    A clip without a usable skeleton is kept where it has a video. A table of clips that was edited by hand is kept
    under another name.

    Raises:
        ValueError: there is no such kind, no such folder, or nothing usable in it.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r} of data set; expected one of {', '.join(KINDS)}")
    conversion = KINDS[kind](Path(root))
    if not conversion.clips:
        first = next(iter(conversion.skipped.items()), ("it", "holds no clip"))
        raise ValueError(f"{root}: nothing in it can be used; the first problem is: {first[0]}: {first[1]}")
    source = _source(conversion, kind)
    if earlier := _earlier(conversion, out, source):
        return Preparation(earlier, is_earlier=True)
    report = {"source": source, "kind": kind, "root": str(root), "data_set": conversion.description["name"]}
    errors = _packed(conversion, Path(root), out, source=source, workers=workers) if conversion.read else {}
    with only_process(out):
        clips = [clip for clip in conversion.clips if clip["clip"] not in errors or "video" in clip]
        has_edits = _put_edits_aside(out)
        write_data_set(out, conversion.description, clips)
        report |= _contents(conversion, clips, out) | {"has_edited_table": has_edits}
        report |= {"table": file_digest(out / _TABLE), "bad": errors, "skipped": conversion.skipped}
        write_json(out / "report.json", report)
    return Preparation(report, is_earlier=False)


def _source(conversion: Conversion, kind: str) -> str:
    content = json.dumps([conversion.description, conversion.clips, conversion.skipped])
    return fingerprint(conversion.files, kind, _VERSION, conversion.cleaning, content)


def _earlier(conversion: Conversion, out: Path, source: str) -> dict[str, Any] | None:
    """Return the report of an earlier run on the same files if its folder is whole."""
    if not all((out / name).is_file() for name in ("dataset.json", _TABLE, "report.json")):
        return None
    if conversion.read:
        return earlier_report(out, source)
    report = _report(out)
    return report if report.get("source") == source else None


def _report(out: Path) -> dict[str, Any]:
    try:
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _packed(conversion: Conversion, root: Path, out: Path, *, source: str, workers: int) -> dict[str, str]:
    """Pack the usable skeletons and return the errors of the others by clip."""
    names = [str(clip["clip"]) for clip in conversion.clips]
    read = partial(_read, conversion=conversion)
    batches = read_ahead(batched(names, BATCH), read, workers=workers if workers > 1 else 0)
    layout = layout_named(conversion.description["layout"])
    with packed_writer(out, layout=layout, cleaning=conversion.cleaning, source=source) as writer:
        return pack(chain.from_iterable(batches), writer, total=len(names), source=root, none_left="it holds no clip")


def _read(name: str, *, conversion: Conversion) -> Joints:
    """Read a clip. An error of the cleaning, which knows joints alone, gets the clip's name."""
    assert conversion.read is not None
    try:
        return conversion.read(name)
    except CleaningError as error:
        raise ValueError(f"{name}: {error}".replace(f"{name}: {name}: ", f"{name}: ")) from error


def _put_edits_aside(out: Path) -> bool:
    """Rename a table of clips that is not as this code wrote it."""
    table = out / _TABLE
    if not table.is_file() or _report(out).get("table") == file_digest(table):
        return False
    table.replace(out / _EDITED_TABLE)
    return True


def _counts(out: Path, names: list[str]) -> dict[str, dict[str, int]]:
    """Return how many clips each protocol has for training and for testing."""
    data = open_data_set(out)
    return {
        protocol.name: {
            "train": sum(data.is_train(names, protocol)),
            "test": len(data.clips(names, split=data.split(), protocol=protocol, part="seen_test")),
        }
        for protocol in data.description.protocols.values()
    }


def _contents(conversion: Conversion, clips: Sequence[Row], out: Path) -> dict[str, Any]:
    contents: dict[str, Any] = {
        "clips": len(clips),
        "videos": sum("video" in clip for clip in clips),
        "classes": len(conversion.description["classes"]),
        "classes_with_clips": len({clip["class"] for clip in clips}),
        "protocols": _counts(out, [str(clip["clip"]) for clip in clips]),
    }
    if conversion.read:
        packed = PackedSkeletons.open(out)
        contents |= {
            "layout": packed.layout.name,
            "cleaning": packed.cleaning,
            "skeletons": len(packed),
            "frames": sum(packed.num_frames(name) for name in packed.names),
            "two_persons": sum(packed.get(name).shape[1] == 2 for name in packed.names),
        }
    return contents
