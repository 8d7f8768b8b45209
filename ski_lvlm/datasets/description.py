"""The description of a data set, `dataset.json`: classes, protocols, zero-shot splits, joint layout, frame rate."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ski_lvlm.datasets.action_classes import ActionClass, read_classes, short_id
from ski_lvlm.datasets.conditions import Rule, read_rule
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.text_files import read_lines

FILE = "dataset.json"
_KEYS = (
    *("name", "classes", "protocols", "splits", "layout", "fps", "clip_pattern", "clip_example", "views"),
    *("without_skeleton", "licence", "source"),
)


@dataclass(frozen=True)
class Protocol:
    """A division of clips into training and test.

    `test` is None where all clips that do not train are for testing. `classes` is empty where it concerns all.
    """

    name: str
    train: Rule
    test: Rule | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """A data set as far as it is known without its clips.

    `clip_pattern` is a regular expression whose groups are columns of a clip, for data sets without a table. Recordings
    of one performance differ in the columns `views`. `without_skeleton` are clips whose skeletons are known to be bad.
    """

    file: Path
    name: str
    classes: tuple[ActionClass, ...]
    protocols: Mapping[str, Protocol]
    splits: Mapping[str, Mapping[str, tuple[str, ...]]]
    layout: str = ""
    fps: float | None = None
    clip_pattern: str = ""
    clip_example: str = ""
    views: tuple[str, ...] = ()
    without_skeleton: frozenset[str] = frozenset()

    def class_named(self, text: str) -> ActionClass:
        """Return the class that a name or an id means.

        Raises:
            ValueError: there is none.
        """
        for action in self.classes:
            if text in (action.name, action.id) or short_id(text) == action.id:
                return action
        close = [action.name for action in self.classes if action.name.casefold() == text.casefold()]
        hint = f"did you mean {close[0]!r}?" if close else f"it has {_listed([a.name for a in self.classes])}"
        raise ValueError(f"{self.file}: no class {text!r}; {hint}")


def read_description(folder: Path) -> Description:
    """Read the description in a folder.

    Raises:
        ValueError: there is none, or a part of it is not as expected. The message names it.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise ValueError(
            f"{folder}: no {FILE} here, which describes a data set; write one (docs/data.md shows it), or convert a "
            "published data set with scripts/prepare.py"
        )
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("name"), str) or not content["name"]:
        raise ValueError(f"{file}: expected an object with at least 'name' and 'classes'")
    if unknown := sorted(set(content) - set(_KEYS)):
        raise ValueError(f"{file}: unknown {', '.join(unknown)}; expected some of {', '.join(_KEYS)}")
    description = Description(
        file,
        name=content["name"],
        classes=read_classes(content.get("classes"), file=file),
        protocols={},
        splits={},
        layout=content.get("layout") or "",
        fps=_rate(content.get("fps"), file),
        clip_pattern=_pattern(content.get("clip_pattern", ""), file),
        clip_example=content.get("clip_example", ""),
        views=tuple(content.get("views", ())),
        without_skeleton=_listed_clips(content.get("without_skeleton"), file),
    )
    return _with_divisions(description, content)


def _with_divisions(description: Description, content: Mapping[str, Any]) -> Description:
    """Return the description with its protocols and splits, whose classes are looked up in it."""
    protocols = {
        name: _protocol(name, entry, description) for name, entry in _objects(content, "protocols", description.file)
    }
    splits = {name: _split(name, entry, description) for name, entry in _objects(content, "splits", description.file)}
    return replace(description, protocols=protocols, splits=splits)


def _objects(content: Mapping[str, Any], key: str, file: Path) -> list[tuple[str, dict[str, Any]]]:
    value = content.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise ValueError(f"{file}: '{key}' is {value!r:.60}; expected an object of objects by name")
    return list(value.items())


def _protocol(name: str, entry: dict[str, Any], description: Description) -> Protocol:
    place = f"{description.file}: protocols.{name}"
    if not {"train"} <= set(entry) <= {"train", "test", "classes"}:
        raise ValueError(f"{place} has {', '.join(entry) or 'nothing'}; expected 'train', and 'test' or 'classes'")
    return Protocol(
        name,
        read_rule(entry["train"], place=f"{place}.train"),
        read_rule(entry["test"], place=f"{place}.test") if "test" in entry else None,
        tuple(description.class_named(str(text)).name for text in entry.get("classes", ())),
    )


def _split(name: str, entry: dict[str, Any], description: Description) -> dict[str, tuple[str, ...]]:
    place = f"{description.file}: splits.{name}"
    if not {"unseen"} <= set(entry) <= {"seen", "unseen"} or not all(isinstance(v, list) for v in entry.values()):
        raise ValueError(
            f'{place} is {entry!r:.60}; expected {{"unseen": [classes]}}, and "seen" if it is not the rest'
        )
    return {side: tuple(description.class_named(str(text)).name for text in texts) for side, texts in entry.items()}


def _rate(value: object, file: Path) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
        raise ValueError(f"{file}: 'fps' is {value!r}; expected frames a second, or nothing where it is not known")
    return None if value is None else float(value)


def _pattern(pattern: object, file: Path) -> str:
    try:
        groups = re.compile(str(pattern)).groupindex if pattern else {"class": 1}
    except re.error as error:
        raise ValueError(f"{file}: clip_pattern is no regular expression ({error})") from error
    if "class" not in groups:
        raise ValueError(f"{file}: clip_pattern has no group (?P<class>…), so that no clip would have a class")
    return str(pattern)


def _listed_clips(name: object, file: Path) -> frozenset[str]:
    if name is None:
        return frozenset()
    lines = (line.strip() for line in read_lines(file.parent / str(name)))
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
