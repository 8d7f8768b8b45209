"""The folder of a trained system: its weights, its card, and a copy of the skeleton encoder it was trained on."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ski_lvlm.dual_encoders.checkpoints import (
    WEIGHTS,
    Card,
    SkeletonEncoderCard,
    load_skeleton_encoder,
    load_weights,
    read_card,
    trained_text_encoder,
)
from ski_lvlm.skeleton_text.recogniser import SynSERecogniser
from ski_lvlm.skeleton_text.synse import SynSE
from ski_lvlm.skeleton_text.words import Words
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.weight_files import read_safetensors

ENCODER = "skeleton_encoder"  # sub-folder


@dataclass(frozen=True)
class SkeletonTextCard(Card):
    """The card of a system that matches a frozen encoder's features with class names."""

    FILE: ClassVar[str] = "skeleton_text.json"
    MODEL: ClassVar[str] = "skeleton-text model"
    COMMAND: ClassVar[str] = (
        "python train_ski_vlm.py --stage skeleton_text --skeleton_encoder DIR --prepared DIR --split SPLIT --output_dir"
    )

    stage: str
    method: str
    variant: str  # published or corrected
    skeleton_width: int
    latent: int
    num_frames: int
    split: str
    seen: tuple[str, ...]
    text_encoder: dict[str, str]  # id and digest
    words: dict[str, list[str]]  # verb and noun of each name of the data set's classes, in small letters
    seed: int
    select: str
    cycles: int  # that the weights were trained for
    protocol: str
    dataset: str

    @property
    def has_relu(self) -> bool:
        """Return whether a ReLU ends the decoders of words and the classifier, as published."""
        return self.variant == "published"


def copy_encoder(source: Path, folder: Path) -> None:
    """Copy a skeleton encoder's card and weights into the folder of a system."""
    for name in (SkeletonEncoderCard.FILE, WEIGHTS):
        with atomic_path(folder / ENCODER / name) as temporary:
            shutil.copyfile(source / name, temporary)


def build_synse(card: SkeletonTextCard, *, text_width: int) -> SynSE:
    """Build a card's networks, not yet trained."""
    return SynSE(card.skeleton_width, text_width, latent=card.latent, has_word_relu=card.has_relu)


def load_recogniser(folder: Path, *, words: Mapping[str, Words] | None = None) -> SynSERecogniser:
    """Load a system in evaluation mode.

    Args:
        folder: the --output_dir of --stage skeleton_text.
        words: verbs and nouns of further class names, which go before those of training.

    Raises:
        ValueError: there is none, it is damaged, or the text encoder has other weights than in training.
    """
    card = read_card(folder, SkeletonTextCard)
    own_words = _words(card.words, folder / card.FILE)
    encoder, _ = load_skeleton_encoder(folder / ENCODER)
    text_encoder = trained_text_encoder(card.text_encoder, folder)
    synse = build_synse(card, text_width=text_encoder.width)
    load_weights(synse, read_safetensors(folder / WEIGHTS), folder, card)
    table = own_words | dict(words or {})
    return SynSERecogniser(encoder, synse, text_encoder, words=table, has_relu=card.has_relu, seed=card.seed).eval()


def _words(content: Any, file: Path) -> dict[str, Words]:  # noqa: ANN401
    try:
        return {name: Words(verb, noun) for name, (verb, noun) in content.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ('words': {error}); train the model again") from error
