"""Facts that the names of clips give through their data set: which are its clips, and which show one performance."""

import re
from collections.abc import Iterable, Sequence

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_table import SHORTENED

_FILES_AND_TIMES = ("clip", "video", "skeleton", "start", "end", "start_frame", "end_frame")


def recognised(data: DataSet, names: Iterable[str]) -> dict[str, str]:
    """Return the class of every name that means a clip of the data set. Other names are absent."""
    names = data.members(names)
    if data.table is None:
        pattern = re.compile(data.description.clip_pattern)
        names = [name for name in names if _match(pattern, name)]
    if not names:
        return {}
    classes = zip(names, data.classes_of(names), strict=True)
    return {name: class_name for name, class_name in classes if class_name is not None}


def recordings(data: DataSet, names: Sequence[str]) -> list[dict[str, str | int | float | None]]:
    """Return what is known of the recording of each clip, by column, such as subject and camera.

    Class, files and times are left out.

    Raises:
        ValueError: a clip is not of the data set.
    """
    if not names:
        return []
    entries = data.entries(names)
    columns = {c: entries.column(c).to_pylist() for c in entries.columns if c not in (*_FILES_AND_TIMES, "class")}
    return [{column: values[row] for column, values in columns.items()} for row in range(len(names))]


def performances(data: DataSet, names: Sequence[str]) -> list[str]:
    """Return a text for each clip that is the same for all recordings of one performance.

    Recordings of one performance differ in the columns `views` of the description. Without views each clip is alone.

    Raises:
        ValueError: a clip is not of the data set.
    """
    views = data.description.views
    if not views:
        return list(names)
    if data.table is None:
        pattern = re.compile(data.description.clip_pattern)
        return [_without_views(pattern, name, views) for name in names]
    entries = data.entries(names)
    columns = [name for name in entries.columns if name not in (*_FILES_AND_TIMES, *views)]
    rows = zip(*(entries.column(name).to_pylist() for name in columns), strict=True)
    return ["\0".join(map(str, row)) for row in rows]


def _match(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    return next((match for shortened in SHORTENED if (match := pattern.fullmatch(shortened(name)))), None)


def _without_views(pattern: re.Pattern[str], name: str, views: Sequence[str]) -> str:
    """Return the name with zeros where it tells the view.

    >>> _without_views(re.compile("cam(?P<camera>[0-9]+)_(?P<class>[a-z]+)"), "cam12_wave", ["camera"])
    'cam00_wave'
    """
    match = _match(pattern, name)
    if match is None:
        raise ValueError(f"{name!r} is not a clip name of this data set; expected {pattern.pattern}")
    text = match.string
    for view in views:
        first, last = match.span(view)
        text = text[:first] + "0" * (last - first) + text[last:]
    return text
