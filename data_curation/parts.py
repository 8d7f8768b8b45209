"""Which clips a run works on, and what each is for: training, validation, testing."""

from collections.abc import Iterable, Mapping

from data_curation.results.hold_out import By, hold_out
from ski_lvlm.datasets import ntu

Parts = dict[str, list[str]]


def divide(names: Iterable[str], *, split: str, part: str, validation_share: float = 0.0, by: By = "clip") -> Parts:
    """Sort clips into `train`, `validation`, `test` (all of seen classes) and `unseen`; others are left out.

    What `part` leaves out is not in the result at all.

    Training and validation clips are of training subjects, the others of test subjects, so no clip and no subject is on
    both sides; `by="subject"` keeps this between training and validation too.

    Assumption: the subjects of NTU's cross-subject protocol train; the paper does not say which clips its pairs are of.

    Raises:
        ValueError: no clip is of this split, or the share is none.
    """
    names = list(names)
    chosen = ntu.Split("all", "ntu120", tuple(range(1, 121)), ()) if split == "all" else ntu.split_named(split)

    def clips_of(which: ntu.Part) -> list[str]:
        return ntu.clips(names, split=chosen, protocol="xsub", part=which)

    parts: Parts = {}
    if part != "test":
        trained = clips_of("seen_train")
        held_out = hold_out(trained, share=validation_share, by=by)
        parts["train"] = [name for name in trained if name not in held_out]
        parts["validation"] = [name for name in trained if name in held_out]
    if part != "train":
        parts |= {"test": clips_of("seen_test"), "unseen": clips_of("unseen_test")}
    if not any(parts.values()):
        raise ValueError(
            f"none of {len(names)} clips belongs to part {part!r} of split {split!r}; check --split, --part"
        )
    return parts


def training(parts: Parts) -> list[str]:
    """The clips that pairs are made of."""
    return [*parts.get("train", ()), *parts.get("validation", ())]


def default_part(captioner: str) -> str:
    """Return the part that is captioned unless `--part` says otherwise: where captions cost nothing, all.

    Of NTU RGB+D 120, 44.7 % of the clips are of test subjects and in no pair.

    >>> default_part("cogvlm"), default_part("kinematics")
    ('train', 'all')
    """
    return "all" if captioner == "kinematics" else "train"


def captioned_clips(parts: Parts, shares: Mapping[str, int]) -> set[str]:
    """Return the clips whose caption is used: those that give pairs, and those held out for questions."""
    held_out = {name for part in ("test", "unseen") for name in parts.get(part, ())}
    return held_out | {name for name in training(parts) if shares.get(name)}


def captioned_line(parts: Parts, shares: Mapping[str, int], *, part: str, clips: int) -> str:
    """Return a sentence or two that say how many of the folder's `clips` are captioned, and why.

    >>> captioned_line({"train": ["a"], "test": ["b"]}, {"a": 1}, part="all", clips=3)
    'captions: 2 of 3 clips, those of the training subjects and those held out for questions'
    """
    train = training(parts)
    pairs = " that get pairs" if any(not shares.get(name) for name in train) else ""
    who = [f"those of the training subjects{pairs}"] if train else []
    who += ["those held out for questions"] if part != "train" else []
    more = (
        ""
        if part == "all"
        else f". --part all adds those {'held out for questions' if part == 'train' else 'of the training subjects'}"
    )
    count = len(captioned_clips(parts, shares))
    return f"captions: {count} of {clips} clips, {' and '.join(who)}{more}"
