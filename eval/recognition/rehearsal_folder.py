"""The rehearsal of a generalised test, as the flags of the command or the model's folder give it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eval.recognition.comparison import Comparison
from eval.recognition.generalised import Rehearsal
from eval.recognition.inputs import clips_to_test, load_recognisers
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recognition.recogniser import Recogniser
from ski_lvlm.recognition.rehearsal import rehearsal_flags, rehearsal_notes, rehearsal_selection
from ski_lvlm.recognition.skeleton_text_recogniser import holds_skeleton_text
from ski_lvlm.skeleton_text.folder import REHEARSAL


def rehearsal_folder(args: argparse.Namespace) -> Path | None:
    """Return the folder of --rehearsal, or else the one that a skeleton-text model brings along."""
    sub_folder: Path = args.model / REHEARSAL
    return args.rehearsal or (sub_folder if holds_skeleton_text(sub_folder) else None)


def calibration_of(args: argparse.Namespace, selection: Selection) -> str:
    """Return how to calibrate: by stacking where there is a rehearsal, unless the flag says otherwise.

    Raises:
        ValueError: the flag asks for a calibration, and there is no rehearsal.
    """
    if not args.generalised:
        return "none"
    has_rehearsal = rehearsal_folder(args) is not None
    if args.calibration in ("none", None):
        return "stacking" if has_rehearsal and args.calibration is None else "none"
    if not has_rehearsal:
        raise ValueError(f"--calibration {args.calibration} needs a rehearsal; {advice(selection)}")
    return str(args.calibration)


def advice(selection: Selection) -> str:
    """Return how to make a rehearsal."""
    return f"train the same model again with {rehearsal_flags(selection)}, and pass --rehearsal DIR"


def open_rehearsal(
    args: argparse.Namespace, selection: Selection, models: Sequence[Recogniser], *, calibration: str
) -> Rehearsal | None:
    """Load the rehearsal and list its clips, which are test clips of seen classes alone.

    Raises:
        ValueError: it is of another kind than the model, or knows classes that it must not know.
    """
    folder = rehearsal_folder(args)
    if calibration == "none" or folder is None:
        return None
    loaded = load_recognisers(args, folder, selection.data)
    practice = rehearsal_selection(selection, loaded, models, folder=folder)
    clips = clips_to_test(args, practice, loaded, parts=("unseen_test", "seen_test")).names
    classes = [name for name in practice.data.class_names if name in selection.split.seen]
    comparison = Comparison(args, practice, loaded, clips=clips, classes=classes)
    return Rehearsal(folder, comparison, rehearsal_notes(loaded, practice.split.unseen))
