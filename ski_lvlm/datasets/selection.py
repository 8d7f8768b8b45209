"""Selection of a data set, a zero-shot split and a protocol by the flags of a command."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ski_lvlm.datasets.catalogue import BUILT_IN, DEFAULT_SPLIT, DataSet, Part, Split, open_data_set
from ski_lvlm.datasets.description import Protocol
from ski_lvlm.datasets.joined import join


@dataclass(frozen=True)
class Selection:
    """A data set with a split and a protocol, which is None where the data set has none."""

    data: DataSet
    split: Split
    protocol: Protocol | None

    @property
    def protocol_name(self) -> str:
        """Name of the protocol, empty without one."""
        return self.protocol.name if self.protocol else ""

    def classes(self, part: Part) -> tuple[str, ...]:
        """Return the classes of a part."""
        return self.split.seen if part.startswith("seen") else self.split.unseen

    def clips(self, names: Iterable[str], part: Part) -> list[str]:
        """Return those of `names` that belong to a part, in the given order. See `DataSet.clips`."""
        return self.data.clips(names, split=self.split, protocol=self.protocol, part=part)

    def labels(self, names: Sequence[str], classes: Sequence[str]) -> list[int]:
        """Return each clip's class as an index into `classes`."""
        return self.data.labels(names, classes=classes)

    def check_protocol(self, name: str, *, trained: str) -> None:
        """Make sure that a model which was trained by the protocol `name` was not trained on test clips.

        Raises:
            ValueError: it was trained by a protocol that divides otherwise. The message begins with `trained`.
        """
        if self.protocol and not self.data.has_division(name, self.protocol):
            raise ValueError(
                f"{trained} on {name}'s clips, asked was --protocol {self.protocol.name}, which tests some of them; "
                f"pass --protocol {name}"
            )


def select(
    data: Sequence[str] | None = None,
    *,
    split: str | None = None,
    protocol: str | None = None,
    same_classes: Path | None = None,
) -> Selection:
    """Open what flags name. Without `data`, the split's name begins with a built-in data set, as in ntu60/48-12.

    Several data sets are joined, with classes matched as the file `same_classes` says (see `join`).

    Raises:
        ValueError: there is no such data set, split or protocol.
    """
    if not data:
        split = split or DEFAULT_SPLIT
        name = split.split("/", maxsplit=1)[0]
        if name not in BUILT_IN:
            raise ValueError(
                f"--split {split!r} begins with no built-in data set ({', '.join(BUILT_IN)}); name yours with --data "
                "DIR, or give a split such as ntu60/48-12"
            )
        data = [name]
    data_set = join([open_data_set(name) for name in data], same_classes=same_classes)
    return Selection(data_set, data_set.split(split or ""), data_set.protocol(protocol or ""))
