"""Inputs of a zero-shot test: the models, the sentences of classes, and the clips."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.cli import device
from ski_lvlm.datasets.catalogue import DataSet, Part
from ski_lvlm.datasets.clip_files import open_skeletons, video_clips
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.parallel.gpu_shards import shard_of
from ski_lvlm.recognition.class_sentences import ClassSentences, described, ensemble
from ski_lvlm.recognition.recogniser import Recogniser, skeleton_recogniser, video_recogniser
from ski_lvlm.recognition.similarities import Similarities, similarities
from ski_lvlm.recognition.skeleton_text_recogniser import holds_skeleton_text, skeleton_text_recogniser
from ski_lvlm.storage.json_files import read_json


class TestClips(NamedTuple):
    """The clips of a test, and those that lack the model's input: {"without_skeleton": names}."""

    names: list[str]
    lacking: dict[str, list[str]]


def test_selection(args: argparse.Namespace) -> Selection:
    """Open the data set with its split. Without a split, all classes are unseen.

    For a closed-set test the classes of training take the place of the unseen ones.
    """
    selection = select(args.data, split=args.split, protocol=args.protocol, same_classes=args.same_classes)
    if args.closed_set:
        return replace(selection, split=replace(selection.split, seen=(), unseen=selection.split.seen))
    if args.split:
        return selection
    every = replace(selection.split, name=selection.data.name, seen=(), unseen=selection.data.class_names)
    return replace(selection, split=every)


def load_recognisers(args: argparse.Namespace, folder: Path, data: DataSet) -> list[Recogniser]:
    """Load the model in a folder, or for "both" and beside a second student the two of them."""
    loaded = []
    if args.modality != "skeleton":
        folders = [folder, *([args.second_student] if args.second_student else [])]
        loaded += [video_recogniser(one, videos=args.ntu, cache=args.frames_cache, data=data) for one in folders]
    if args.modality != "video":
        packed = open_skeletons(args.prepared, data)
        folder = args.skeleton_model or folder
        if holds_skeleton_text(folder):
            check_names_alone(args)
            loaded.append(skeleton_text_recogniser(folder, packed, data))
        else:
            loaded.append(skeleton_recogniser(folder, packed))
    return loaded


def check_names_alone(args: argparse.Namespace) -> None:
    """Refuse sentences for a skeleton-text model."""
    if unusable := [f"--{name}" for name in ("prompt", "descriptions") if getattr(args, name)]:
        raise ValueError(
            f"{args.model} holds a skeleton-text model, which makes its own texts of the names of classes; leave out "
            f"{', '.join(unusable)}"
        )


def spelling(args: argparse.Namespace, recogniser: Recogniser, data: DataSet) -> str:
    """Return the spelling of class names: the flag's, else that of training, which other data sets may not have."""
    usual = recogniser.names if recogniser.dataset == data.name else "canonical"
    return str(args.names or usual)


def class_spellings(style: str, data: DataSet, classes: Sequence[str]) -> list[list[str]]:
    """Return for each class the name to use, and the others that a file of descriptions may have."""
    names = data.spellings(style, classes=classes)
    actions = [data.action(name) for name in classes]
    return [[name, action.id, action.name] for name, action in zip(names, actions, strict=True)]


def sentences_for(
    args: argparse.Namespace, recogniser: Recogniser, spellings: Sequence[Sequence[str]]
) -> ClassSentences:
    """Return the classes' sentences: out of a file, or first spellings in the flags' or the training's templates."""
    if args.descriptions:
        return described(read_descriptions(args.descriptions), spellings, source=str(args.descriptions))
    return ensemble([names[0] for names in spellings], templates=args.prompt or [recogniser.prompt])


def read_descriptions(path: Path) -> dict[str, Any]:
    """Read a file of sentences by class."""
    expected = "expected a JSON object {name or A23: sentence or list of sentences}"
    try:
        descriptions = read_json(path)
    except ValueError as error:
        raise ValueError(f"{error}; {expected}") from error
    if not isinstance(descriptions, dict):
        raise ValueError(f"{path}: found a {type(descriptions).__name__}; {expected}")
    return descriptions


def clips_to_test(
    args: argparse.Namespace, selection: Selection, recognisers: Sequence[Recogniser], *, parts: Sequence[Part]
) -> TestClips:
    """Return the clips of some parts of a split that have every input of the model."""
    recorded = {name for recogniser in recognisers for name in recogniser.clips}
    recorded |= set(video_clips(selection.data, args.ntu)) if args.ntu else set()
    candidates = [name for part in parts for name in selection.clips(sorted(recorded), part)]
    inputs = {recogniser.modality: frozenset(recogniser.clips) for recogniser in recognisers}
    lacking = {f"without_{modality}": [n for n in candidates if n not in names] for modality, names in inputs.items()}
    names = [name for name in candidates if all(name in available for available in inputs.values())]
    if not names:
        raise ValueError(
            f"found {len(recorded)} clips, but none is a test clip of {selection.split.name} that has what --modality "
            f"{args.modality} looks at; check --data, --ntu, --frames_cache, --prepared and --split, or try --clips all"
        )
    return TestClips(names, lacking)


def compare_clips(
    args: argparse.Namespace, recogniser: Recogniser, sentences: ClassSentences, names: Sequence[str]
) -> Similarities:
    """Compare clips with classes, and store the cosines in --out."""
    return similarities(
        recogniser,
        names,
        sentences,
        folder=args.out,
        device=device(args.device),
        batch_size=args.batch_size,
        workers=args.workers,
        shard=shard_of(args),
    )
