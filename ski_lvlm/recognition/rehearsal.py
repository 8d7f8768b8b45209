"""A rehearsal: a model of the same kind that was trained without some seen classes, which then play the unseen ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ski_lvlm.datasets.catalogue import BUILT_IN
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recognition.recogniser import Recogniser
from ski_lvlm.skeleton_text.held_out import held_out_classes

_LEAST = 2  # classes on either side, among which there is something to recognise


def rehearsal_selection(
    selection: Selection, rehearsal: Sequence[Recogniser], models: Sequence[Recogniser], *, folder: Path
) -> Selection:
    """Return the selection whose unseen classes are the seen ones that a rehearsal was not trained on.

    Args:
        selection: of the test.
        rehearsal: the models in `folder`.
        models: that are tested, one for each.
        folder: in messages.

    Raises:
        ValueError: the rehearsal is of another kind, knows an unseen class of the test, lacks no seen class, or was
            trained or chosen on test clips.
    """
    split = selection.split
    for part, tested in zip(rehearsal, models, strict=True):
        if part.kind != tested.kind:
            raise ValueError(
                f"{folder} holds {part.kind}, the model to test is {tested.kind}; scores of other kinds have another "
                "scale: give a rehearsal that was trained by the same command as the model"
            )
        if leaked := sorted({*part.seen, *part.encoder_seen} & set(split.unseen)):
            raise ValueError(
                f"the {part.modality} model in {folder} was trained on {', '.join(leaked)}, unseen classes of "
                f"{split.name}; a rehearsal must not know them: train it with {rehearsal_flags(selection)}"
            )
        if part.is_optimistic:
            raise ValueError(
                f"{folder} was chosen on test clips of its unseen classes, some of which the test has too; train the "
                "rehearsal with --select held_out or last"
            )
    held_out = _held_out(selection, rehearsal, folder)
    remainder = tuple(name for name in split.seen if name not in held_out)
    if len(remainder) < _LEAST:
        raise ValueError(
            f"{folder} was trained on {len(remainder)} of the {len(split.seen)} seen classes of {split.name}, expected "
            f"{_LEAST} or more; train it with {rehearsal_flags(selection)}"
        )
    for part in rehearsal:
        if part.dataset == selection.data.name:
            selection.check_protocol(part.protocol, trained=f"the {part.modality} model in {folder} was trained")
    return replace(
        selection, split=replace(split, name=f"the rehearsal of {split.name}", seen=remainder, unseen=held_out)
    )


def _held_out(selection: Selection, rehearsal: Sequence[Recogniser], folder: Path) -> tuple[str, ...]:
    split = selection.split
    by_part = [tuple(name for name in split.seen if name not in part.seen) for part in rehearsal]
    if len(set(by_part)) > 1:
        differing = sorted(set(by_part[0]) ^ set(by_part[1]))
        raise ValueError(
            f"the two models in {folder} do not hold out the same classes: one of them was trained on "
            f"{', '.join(differing)}; train both with {rehearsal_flags(selection)}"
        )
    if len(by_part[0]) < _LEAST:
        raise ValueError(
            f"{folder} was trained on {len(split.seen) - len(by_part[0])} of the {len(split.seen)} seen classes of "
            f"{split.name}, so that {len(by_part[0])} can play the unseen ones, expected {_LEAST} or more; train it "
            f"with {rehearsal_flags(selection)}"
        )
    return by_part[0]


def rehearsal_flags(selection: Selection) -> str:
    """Return the flags of a training that holds some seen classes out, beside the classes that are unseen anyway."""
    split, data = selection.split, selection.data
    try:
        names = held_out_classes(selection)
    except ValueError:  # too few to choose for somebody
        return "a --split whose unseen classes are those of the test and some others"
    ids = ",".join(data.action(name).id or name for name in (*split.unseen, *names))
    return f'{f"--data {data.name} " if data.name in BUILT_IN else ""}--split "{ids}"'


def rehearsal_notes(rehearsal: Sequence[Recogniser], held_out: Sequence[str]) -> tuple[str, ...]:
    """Return where a rehearsal is easier than the test."""
    if not {name for part in rehearsal for name in part.encoder_seen} & set(held_out):
        return ()
    return ("the frozen skeleton encoder was trained on the held-out classes, so they are easier than unseen ones",)


def spread(classes: Sequence[str | None], *, limit: int) -> list[int]:
    """Return the positions of up to `limit` clips of each class, evenly spread over the clips of the class.

    >>> spread(["x", "x", "y", "x", "x"], limit=2)
    [0, 2, 3]
    """
    by_class: dict[str | None, list[int]] = {}
    for position, class_name in enumerate(classes):
        by_class.setdefault(class_name, []).append(position)
    counts = {name: min(limit, len(positions)) for name, positions in by_class.items()}
    return sorted(
        positions[k * len(positions) // counts[name]]
        for name, positions in by_class.items()
        for k in range(counts[name])
    )
