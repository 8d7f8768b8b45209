"""The clips of a run, divided into training, validation and test."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from data_curation.captioning.open_captioner import captioner_kind
from data_curation.results.hold_out import By, hold_out
from ski_lvlm.datasets.catalogue import BUILT_IN, Part
from ski_lvlm.datasets.ntu_folder import synthetic_name
from ski_lvlm.datasets.selection import Selection, select

Parts = dict[str, list[str]]


def selection_of(*, data: str | None, ntu: Path | None, split: str, protocol: str = "") -> Selection:
    """Open what the flags name.

    Without `--data` it is the built-in data set with which the split's name begins. Otherwise a folder of
    `synthesize.py` is of the set that it made, and any other of NTU RGB+D 120.

    Raises:
        ValueError: neither `--data` nor `--ntu`, or there is no such data set, split or protocol.
    """
    if data is None and ntu is None:
        raise ValueError("nothing to curate; give --data DIR, a folder with dataset.json, or --ntu DIR, one of NTU's")
    if data is None:
        first = split.split("/", maxsplit=1)[0]
        data = first if first in BUILT_IN else (ntu and synthetic_name(ntu)) or "ntu120"
    return select([data], split=split, protocol=protocol)


def divide(
    names: Iterable[str], selection: Selection, *, part: str, validation_share: float = 0.0, by: By = "clip"
) -> Parts:
    """Divide clips into `train`, `validation`, `test` (all of seen classes) and `unseen`, limited to `part`.

    Training and validation clips are the protocol's for training, the others those for testing. So no clip is on both
    sides, and no subject if the protocol divides by it. `by="subject"` separates the subjects of training and
    validation too. Without a protocol, all clips of seen classes train.

    Assumption: the subjects of NTU's cross-subject protocol train. The paper does not say which clips its pairs are of.

    Raises:
        ValueError: no clip is of this split, or the share is invalid.
    """
    names = list(names)
    has_protocol = selection.protocol is not None

    def clips_of(data_part: Part) -> list[str]:
        return selection.clips(names, data_part)

    parts: Parts = {}
    if part != "test":
        trained = clips_of("seen_train" if has_protocol else "seen_test")
        held_out = hold_out(trained, data=selection.data, share=validation_share, by=by)
        parts["train"] = [name for name in trained if name not in held_out]
        parts["validation"] = [name for name in trained if name in held_out]
    if part != "train":
        parts |= {"test": clips_of("seen_test") if has_protocol else [], "unseen": clips_of("unseen_test")}
    if not any(parts.values()):
        raise ValueError(
            f"none of {len(names)} clips belongs to part {part!r} of split {selection.split.name!r}; check --split, "
            "--part"
        )
    return parts


def training(parts: Parts) -> list[str]:
    """Return the clips that get pairs."""
    return [*parts.get("train", ()), *parts.get("validation", ())]


def default_part(captioner: str) -> str:
    """Return the default of `--part`: all if captions cost nothing, else the training clips.

    In NTU RGB+D 120, 44.7 % of the clips are of test subjects and in no pair.

    >>> default_part("cogvlm"), default_part("kinematics")
    ('train', 'all')
    """
    return "all" if captioner_kind(captioner).is_free else "train"


def captioned_clips(parts: Parts, shares: Mapping[str, int]) -> set[str]:
    """Return the clips whose caption is used, for pairs or for held-out questions."""
    held_out = {name for part in ("test", "unseen") for name in parts.get(part, ())}
    return held_out | {name for name in training(parts) if shares.get(name)}


def captioned_line(parts: Parts, shares: Mapping[str, int], *, part: str, clips: int) -> str:
    """Return a message about the captioned clips among the folder's `clips`.

    >>> captioned_line({"train": ["a"], "test": ["b"]}, {"a": 1}, part="all", clips=3)
    'captions: 2 of 3 clips, those for training and those held out for questions'
    """
    train = training(parts)
    pairs = " that get pairs" if any(not shares.get(name) for name in train) else ""
    groups = [f"those for training{pairs}"] if train else []
    groups += ["those held out for questions"] if parts.get("test") or parts.get("unseen") else []
    hint = f". --part all adds those {'held out for questions' if part == 'train' else 'for training'}"
    count = len(captioned_clips(parts, shares))
    return f"captions: {count} of {clips} clips, {' and '.join(groups)}{'' if part == 'all' else hint}"
