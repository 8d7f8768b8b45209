"""The folder of a trained method: its weights, its card, and a copy of the skeleton encoder it was trained on."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from safetensors.torch import save_file

from ski_lvlm.dual_encoders.checkpoints import (
    WEIGHTS,
    Card,
    SkeletonEncoderCard,
    load_skeleton_encoder,
    load_weights,
    read_card,
    save_model,
    trained_text_encoder,
)
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.skeleton_text.class_strings import ClassStrings, Strings
from ski_lvlm.skeleton_text.method import Sizes, SkeletonTextMethod
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.recogniser import ClassVectors, SkeletonTextRecogniser
from ski_lvlm.skeleton_text.with_encoder import WithEncoder
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.weight_files import read_safetensors

ENCODER = "skeleton_encoder"  # sub-folder
REHEARSAL = "rehearsal"  # sub-folder of the model that was trained without the classes that are held out
OPTIMISTIC = "chosen on the unseen test clips, as the published code does: optimistic"


@dataclass(frozen=True)
class SkeletonTextCard(Card):
    """The card of a method that matches a frozen encoder's features with texts of classes."""

    FILE: ClassVar[str] = "skeleton_text.json"
    MODEL: ClassVar[str] = "skeleton-text model"
    COMMAND: ClassVar[str] = (
        "python train_ski_vlm.py --stage skeleton_text --skeleton_encoder DIR --prepared DIR --split SPLIT --output_dir"
    )

    stage: str
    method: str
    published: list[str]  # where it is as in its authors' code instead of corrected
    sizes: dict[str, Any]
    num_frames: int
    split: str
    seen: tuple[str, ...]
    text_encoder: dict[str, str]  # id and digest
    text_kind: str  # which texts a class is known by
    texts: dict[str, list[str]]  # of each name of the data set's classes, in small letters
    seed: int
    select: str  # how the number of rounds was chosen
    rounds: int  # that the weights were trained for
    protocol: str
    dataset: str

    @property
    def model_type(self) -> str:
        """Return the type of a skeleton-text model."""
        return "ski_skeleton_text"


def build_method(card: SkeletonTextCard) -> SkeletonTextMethod:
    """Build a card's method, not yet trained.

    Raises:
        ValueError: there is no such method, or it cannot have these sizes.
    """
    if card.method not in METHODS:
        raise ValueError(f"unknown method {card.method!r}; expected one of {', '.join(METHODS)}")
    return METHODS[card.method](Sizes(**card.sizes), published=frozenset(card.published), seed=card.seed)


def save_method(folder: Path, method: SkeletonTextMethod, *, card: SkeletonTextCard, encoder: Path) -> None:
    """Write the folder of a trained method, with the encoder of another folder or with the one that it trained."""
    for name in (SkeletonEncoderCard.FILE, WEIGHTS):
        with atomic_path(folder / ENCODER / name) as temporary:
            shutil.copyfile(encoder / name, temporary)
    if isinstance(method, WithEncoder):
        _save_encoder(folder / ENCODER, method.encoder)
        method = method.method
    save_model(folder, method.eval(), card=card)


def save_recogniser(folder: Path, model: SkeletonTextRecogniser) -> None:
    """Write a model that was loaded from the folder of a run, as training writes it.

    Raises:
        ValueError: the model has no cards, since no command has trained it.
    """
    if model.cards is None:
        raise ValueError(
            "found a skeleton-text model without its cards, expected one that was loaded from a trained folder; they "
            "say which classes and texts it was trained with"
        )
    card, encoder_card = model.cards
    write_json(folder / ENCODER / encoder_card.FILE, vars(encoder_card))
    _save_encoder(folder / ENCODER, model.encoder)
    save_model(folder, model.method, card=card)


def _save_encoder(folder: Path, encoder: SkeletonEncoder) -> None:
    weights = {f"encoder.{name}": value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)


def load_recogniser(folder: Path, *, strings: Mapping[str, Strings] | None = None) -> SkeletonTextRecogniser:
    """Load a method in evaluation mode.

    Args:
        folder: the --output_dir of --stage skeleton_text.
        strings: texts of further class names, which go before those of training.

    Raises:
        ValueError: there is none, it is damaged, or the text encoder has other weights than in training.
    """
    card = read_card(folder, SkeletonTextCard)
    try:
        table = {name: tuple(texts) for name, texts in card.texts.items()}
        method = build_method(card)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / card.FILE} cannot be read ({error}); train the model again") from error
    encoder, _ = load_skeleton_encoder(folder / ENCODER)
    text_encoder = trained_text_encoder(card.text_encoder, folder)
    load_weights(method, read_safetensors(folder / WEIGHTS), folder, card)
    class_strings = ClassStrings(card.text_kind, table | dict(strings or {}))
    vectors = ClassVectors(text_encoder, class_strings, has_unit_length=method.has_unit_texts)
    recogniser = SkeletonTextRecogniser(encoder, method, vectors)
    recogniser.cards = card, read_card(folder / ENCODER, SkeletonEncoderCard)
    return recogniser.eval()
