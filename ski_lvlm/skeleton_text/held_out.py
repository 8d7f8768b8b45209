"""Seen classes that are held out to choose with, so that no clip of an unseen class is looked at."""

from collections.abc import Sequence

from ski_lvlm.datasets.selection import Selection

_LEAST = 4  # seen classes, of which two are held out
# The validation classes that SynSE's authors published, by NTU's numbers.
# fmt: off
_PUBLISHED: dict[str, tuple[int, ...]] = {
    "ntu60/55-5": (17, 22, 26, 32, 49),
    "ntu60/48-12": (5, 9, 11, 14, 18, 23, 31, 34, 40, 47, 51, 55),
    "ntu120/110-10": (6, 11, 33, 62, 73, 75, 77, 78, 84, 97),
    "ntu120/96-24": (2, 4, 5, 11, 18, 20, 28, 48, 49, 54, 59, 64, 67, 80, 84, 87, 90, 93, 98, 99, 101, 104, 106, 109),
}
# fmt: on


def held_out_classes(selection: Selection, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the named classes, or else SynSE's for NTU's splits.

    Assumption: for other splits, as many as are unseen and at most a quarter of the seen ones, evenly spaced.

    Raises:
        ValueError: a class is not seen, or there are too few.
    """
    classes = selection.split.seen
    if names:
        return _checked([selection.data.action(name.strip()).name for name in names], classes)
    if numbers := _PUBLISHED.get(selection.split.name):
        return _checked([selection.data.action(f"A{number}").name for number in numbers], classes)
    if len(classes) < _LEAST:
        raise ValueError(
            f"{selection.split.name} has {len(classes)} seen classes, expected {_LEAST} or more to hold two "
            "of them out; give --select last"
        )
    count = max(2, min(len(selection.split.unseen) or len(classes), len(classes) // 4))
    return tuple(classes[(2 * number + 1) * len(classes) // (2 * count)] for number in range(count))


def _checked(names: Sequence[str], classes: Sequence[str]) -> tuple[str, ...]:
    if foreign := [name for name in names if name not in classes]:
        raise ValueError(f"--held_out: {foreign[0]!r} is not a seen class of the split; name seen classes alone")
    if len(set(names)) < 2 or len(set(names)) > len(classes) - 2:
        raise ValueError(
            f"--held_out: found {len(set(names))} of {len(classes)} seen classes, expected two or more and two others"
        )
    return tuple(name for name in classes if name in names)
