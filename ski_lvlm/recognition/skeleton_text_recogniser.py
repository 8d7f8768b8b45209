"""A trained skeleton-text system as a recogniser."""

from functools import partial
from pathlib import Path

from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, read_card
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.recognition.recogniser import Recogniser, folder_digest, whole_skeleton
from ski_lvlm.skeleton_text.class_strings import class_strings
from ski_lvlm.skeleton_text.folder import ENCODER, SkeletonTextCard, load_recogniser
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.digests import digest


def holds_skeleton_text(folder: Path) -> bool:
    """Return whether a folder is a `skeleton_text` run."""
    return (folder / SkeletonTextCard.FILE).is_file()


def skeleton_text_recogniser(folder: Path, packed: PackedSkeletons, data: DataSet) -> Recogniser:
    """Load the system of a `skeleton_text` run, with the texts that a data set knows.

    Raises:
        ValueError: there is none, or the packed set has another layout or cleaning than it was trained on.
    """
    card, encoder = read_card(folder, SkeletonTextCard), read_card(folder / ENCODER, SkeletonEncoderCard)
    preprocessing = Preprocessing.from_json(encoder.preprocessing)
    packed.check_made_for(preprocessing)
    strings = class_strings(data, card.text_kind).table
    model = freeze(load_recogniser(folder, strings=strings))
    return Recogniser(
        "skeleton",
        digest=f"{folder_digest(folder, card)} {folder_digest(folder / ENCODER, encoder)}",
        model=model,
        clips=packed.names,
        read=partial(whole_skeleton, packed, num_frames=card.num_frames, preprocessing=preprocessing),
        origin=f"{packed.folder.resolve()} {packed.source} {digest(strings)}",
        prompt="{name}",
        names="canonical",
        seen=card.seen,
        protocol=card.protocol,
        dataset=card.dataset,
        kind=_kind(card),
        encoder_seen=encoder.seen,
        is_optimistic=card.select == "unseen_test",
        scores_depend_on_classes=model.scores_depend_on_classes,
    )


def _kind(card: SkeletonTextCard) -> str:
    published = f" --published {','.join(card.published)}" if card.published else ""
    return f"a skeleton-text model of --method {card.method} --class_texts {card.text_kind}{published}"
