"""Several data sets as one: the union of their classes, and all of their clips, each called NAME:CLIP.

Classes of one name are one class. Names that differ and mean the same are matched by a file, and never by guessing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.catalogue import DataSet, Part, Split
from ski_lvlm.datasets.conditions import Rule
from ski_lvlm.datasets.description import Description, Protocol
from ski_lvlm.storage.json_files import read_json

MARK = ":"  # between the names of a data set and of a clip
_AND = "+"  # between the names of data sets, and of their protocols


class JoinedDataSet(DataSet):
    """The union of data sets. `common` gives names of their classes the name of the same class elsewhere.

    Raises:
        ValueError: two data sets have one name.
    """

    def __init__(self, sources: Sequence[DataSet], *, common: Mapping[str, str]) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two of the data sets {', '.join(names)} have one name; change it in a dataset.json")
        self._common = common
        classes: dict[str, ActionClass] = {}
        for source in sources:
            for action in source.description.classes:
                name = common.get(action.name, action.name)
                classes.setdefault(name, replace(action, name=name, id=f"{source.name}{MARK}{action.id}"))
        first = sources[0].description
        description = Description(
            first.file, name=_AND.join(names), classes=tuple(classes.values()), protocols={}, splits={}
        )
        super().__init__(description)
        self.sources = tuple(sources)

    def members(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that are clips of one of the data sets."""
        names = list(names)
        members = {
            f"{source.name}{MARK}{clip}"
            for source in self.sources
            for clip in source.members(_clips_of(source, names).values())
        }
        return [name for name in names if name in members]

    def classes_of(self, names: Sequence[str]) -> list[str | None]:
        """Return the class of each clip by its name in the union, or None where it is none.

        Raises:
            ValueError: a clip is of none of the data sets.
        """
        classes: dict[str, str | None] = {}
        for source in self.sources:
            clips = _clips_of(source, names)
            of_clips = source.classes_of(list(clips.values()))
            classes |= {name: self._common.get(str(c), c) for name, c in zip(clips, of_clips, strict=True)}
        if unknown := [name for name in names if name not in classes]:
            expected = ", ".join(f"{source.name}{MARK}CLIP" for source in self.sources)
            raise ValueError(f"the clip {unknown[0]!r} is of none of the data sets; expected {expected}")
        return [classes[name] for name in names]

    def clips(self, names: Iterable[str], *, split: Split, protocol: Protocol | None, part: Part) -> list[str]:
        """Return those of `names` that belong to one part of a split, in the given order. See `DataSet.clips`."""
        names, members = list(names), set[str]()
        for source, rule in zip(self.sources, self._rules(protocol), strict=True):
            clips = _clips_of(source, names)
            in_part = set(source.clips(clips.values(), split=self._part_of(split, source), protocol=rule, part=part))
            members |= {name for name, clip in clips.items() if clip in in_part}
        return [name for name in names if name in members]

    def protocol(self, name: str = "") -> Protocol | None:
        """Return the protocol that each data set has by this name, by default the first one of each.

        Raises:
            ValueError: a data set has no such protocol.
        """
        names = name.split(_AND) if _AND in name else [name] * len(self.sources)
        rules = [source.protocol(text) for source, text in zip(self.sources, names, strict=True)]
        return Protocol(_AND.join(rule.name if rule else "" for rule in rules), Rule(()))

    def has_division(self, name: str, protocol: Protocol) -> bool:
        """Return whether the protocols called `name` are those of `protocol`."""
        return name == protocol.name

    def split(self, text: str = "") -> Split:
        """Return the split whose unseen classes a data set's split, a list or a file names.

        Raises:
            ValueError: there is no such split, or no such class.
        """
        for source in self.sources:
            if text.startswith(f"{source.name}/") or text in source.description.splits:
                split = source.split(text)
                return self._split(split.name, [self._common.get(name, name) for name in split.unseen])
        return super().split(text)

    def _part_of(self, split: Split, source: DataSet) -> Split:
        """Return the split in terms of one data set's classes."""
        names = {name: self._common.get(name, name) for name in source.class_names}
        sides = (tuple(n for n, common in names.items() if common in side) for side in (split.seen, split.unseen))
        return Split(split.name, source.name, *sides)

    def _rules(self, protocol: Protocol | None) -> list[Protocol | None]:
        names = protocol.name.split(_AND) if protocol else [""] * len(self.sources)
        return [source.protocol(name) if name else None for source, name in zip(self.sources, names, strict=True)]


def _clips_of(source: DataSet, names: Sequence[str]) -> dict[str, str]:
    """Return the clips of one data set by their names in the union."""
    prefix = f"{source.name}{MARK}"
    return {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def join(sources: Sequence[DataSet], *, same_classes: Path | None = None) -> DataSet:
    """Return the union of data sets, or the data set itself if there is one.

    Args:
        sources: the data sets.
        same_classes: JSON file {name of a class: name of the same class in another data set}.

    Raises:
        ValueError: the file names a class that no data set has.
    """
    if len(sources) == 1 and not same_classes:
        return sources[0]
    common = read_json(same_classes) if same_classes else {}
    if not isinstance(common, dict) or not all(isinstance(name, str) for name in common.values()):
        raise ValueError(f"{same_classes}: expected a JSON object {{class: the same class in another data set}}")
    every = {name for source in sources for name in source.class_names}
    if unknown := sorted({*common, *common.values()} - every):
        raise ValueError(f"{same_classes}: no data set has the class {unknown[0]!r}; correct the name")
    if chained := sorted(set(common) & set(common.values())):
        raise ValueError(f"{same_classes}: {chained[0]!r} stands on both sides; give each class one name")
    return JoinedDataSet(sources, common=common)
