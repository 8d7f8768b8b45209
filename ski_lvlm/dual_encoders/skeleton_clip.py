"""SkeletonCLIP: a skeleton encoder aligned with a frozen text encoder (Sec. 3.1), and its files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from ski_lvlm.dual_encoders.losses import cosine_similarity
from ski_lvlm.encoders.hyperformer import ActionClassifier, Hyperformer
from ski_lvlm.encoders.text_encoder import InLanguage, TextEncoder, load_text_encoder, log_scale, temperature_of
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.weight_files import read_safetensors

WEIGHTS, DESCRIPTION = "model.safetensors", "skeleton_encoder.json"


class SkeletonEncoderError(ValueError):
    """A folder does not hold a skeleton encoder that can be used here."""


class SkeletonCLIP(nn.Module):
    """Skeleton encoder g_s with a projection into the language space of a text encoder g_t.

    Paper: Sec. 3.1, Fig. 2 (a).
    Assumption: tau starts from the value the text encoder was trained to (0.07 for one that is not a CLIP).
    """

    def __init__(self, encoder: Hyperformer, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.text_encoder = encoder, text_encoder
        self.projection = nn.Linear(encoder.width, text_encoder.width)
        nn.init.normal_(self.projection.weight, 0.0, math.sqrt(2.0 / text_encoder.width))
        self.log_scale = log_scale(text_encoder.temperature)

    @property
    def temperature(self) -> Float[Tensor, ""]:
        """The temperature tau of Eq. (1)."""
        return temperature_of(self.log_scale)

    def forward(self, skeleton: Float[Tensor, "B T M J _"], prompts: Sequence[str]) -> InLanguage:
        """Project clips into the language space and compare them with class sentences."""
        z_s = self.projection(self.encoder(skeleton).feature)
        return InLanguage(z_s, cosine_similarity(z_s, self.text_encoder(prompts)))


@dataclass(frozen=True)
class SkeletonEncoderCard:
    """What a folder says about the skeleton encoder in it."""

    stage: str  # skeleton_pretrain or skeleton_align
    encoder: dict[str, Any]  # Hyperformer's constructor arguments; the layout by name
    preprocessing: dict[str, Any]
    num_frames: int  # T_s in training
    split: str
    seen: tuple[int, ...]  # the actions it was trained on
    text_encoder: dict[str, str] | None = None  # id and digest
    prompt: str | None = None
    protocol: str = "xsub"  # which of the actions' clips it was trained on
    scale: str = "cosine"  # of its similarities in the cross-entropy, see `SkeletonAlignRecipe`


def save_skeleton_encoder(folder: Path, model: ActionClassifier | SkeletonCLIP, *, card: SkeletonEncoderCard) -> None:
    """Write what was trained (`model.safetensors`) and what it needs to be used (`skeleton_encoder.json`)."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in model.state_dict().items()}, temporary)
    write_json(folder / DESCRIPTION, vars(card))


def read_card(folder: Path) -> SkeletonEncoderCard:
    """Read a folder's `skeleton_encoder.json`.

    Raises:
        SkeletonEncoderError: it is not there, or not what `train_ski_vlm.py` writes.
    """
    file = folder / DESCRIPTION
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise SkeletonEncoderError(
            f"{folder} holds no finished skeleton encoder ({DESCRIPTION} and {WEIGHTS}); make one with: "
            "python train_ski_vlm.py --stage skeleton_pretrain --prepared DIR --split SPLIT --output_dir " + str(folder)
        )
    try:
        found = read_json(file)
        return SkeletonEncoderCard(**{**found, "seen": tuple(found["seen"])})
    except (KeyError, TypeError, ValueError) as error:
        raise SkeletonEncoderError(f"{file} cannot be read ({error}); train the encoder again") from error


def load_skeleton_encoder(folder: Path, *, expected: Preprocessing | None = None) -> tuple[Hyperformer, Preprocessing]:
    """Load the skeleton encoder of either stage, in evaluation mode, and the preprocessing it was trained with.

    Raises:
        SkeletonEncoderError: nothing usable is in the folder.
        ValueError: the preprocessing is another than `expected`.
    """
    card = read_card(folder)
    preprocessing = Preprocessing.from_json(card.preprocessing)
    if expected is not None:
        preprocessing.check_matches(expected)
    settings = dict(card.encoder)
    encoder = Hyperformer(**{**settings, "layout": layout_named(settings["layout"])})
    prefix = "encoder."
    weights = read_safetensors(folder / WEIGHTS)
    _load(encoder, {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}, folder)
    return encoder.eval(), preprocessing


def load_skeleton_clip(folder: Path, *, expected: Preprocessing | None = None) -> tuple[SkeletonCLIP, Preprocessing]:
    """Load a trained SkeletonCLIP with its frozen text encoder, in evaluation mode.

    Raises:
        SkeletonEncoderError: the folder is of another stage, or the text encoder's weights are not those trained with.
    """
    card = read_card(folder)
    if card.text_encoder is None:
        raise SkeletonEncoderError(
            f"{folder} is a {card.stage} run without a text encoder; align it with: python train_ski_vlm.py --stage "
            f"skeleton_align --skeleton_encoder {folder} --prepared DIR --split {card.split} --output_dir DIR"
        )
    encoder, preprocessing = load_skeleton_encoder(folder, expected=expected)
    text_encoder = load_text_encoder(card.text_encoder["id"])
    if text_encoder.digest != card.text_encoder["digest"]:
        raise SkeletonEncoderError(
            f"the text encoder {text_encoder.model_id} has other weights (digest {text_encoder.digest}) than the one "
            f"{folder} was aligned with ({card.text_encoder['digest']}); use the same weights, or align again"
        )
    model = SkeletonCLIP(encoder, text_encoder)
    _load(model, read_safetensors(folder / WEIGHTS), folder)
    return model.eval(), preprocessing


def _load(module: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise SkeletonEncoderError(f"{folder / WEIGHTS} does not fit {DESCRIPTION}: {error}") from error
