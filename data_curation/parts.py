"""Which clips a run works on, and what each is for: training, validation, testing."""

from collections.abc import Iterable

from data_curation.results.hold_out import By, hold_out
from ski_lvlm import ntu

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
