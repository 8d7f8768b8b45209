"""A trained skeleton encoder with the linear layer of its pretraining, as `--stage skeleton_pretrain` leaves it."""

from pathlib import Path
from typing import Any

from ski_lvlm.dual_encoders.checkpoints import (
    WEIGHTS,
    SkeletonEncoderCard,
    load_skeleton_encoder,
    load_weights,
    read_card,
    save_model,
)
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier, SkeletonEncoder
from ski_lvlm.sharing.hub_model import HubModel
from ski_lvlm.storage.weight_files import read_safetensors


class SkeletonClassifier(HubModel, ActionClassifier):
    """A pretrained skeleton encoder and its scores for the classes that `card.seen` names.

    Paper: Sec. 3.1.
    """

    def __init__(self, encoder: SkeletonEncoder, card: SkeletonEncoderCard, *, num_classes: int) -> None:
        super().__init__(encoder, num_classes=num_classes)
        self.card = card

    @classmethod
    def _open(cls, folder: Path, **settings: Any) -> "SkeletonClassifier":  # noqa: ANN401
        card = read_card(folder, SkeletonEncoderCard)
        if card.text_encoder is not None:
            raise ValueError(f"{folder}: found a SkeletonCLIP, expected an encoder alone; open it with SkeletonCLIP")
        encoder, _ = load_skeleton_encoder(folder, **settings)
        weights = read_safetensors(folder / WEIGHTS)
        head = weights.get("head.weight")
        model = cls(encoder, card, num_classes=len(card.seen) if head is None else len(head))
        load_weights(model, weights, folder, card)
        return model.eval()

    def _save(self, folder: Path) -> None:
        save_model(folder, self, card=self.card)
