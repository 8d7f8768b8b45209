"""The folder of a trained model: its weights, and a card with what it takes to use it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from safetensors.torch import save_file
from torch import Tensor, nn

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.dual_encoders.language import DualEncoder, Student
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.encoders.pretrained import PretrainedTower, freeze
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.encoders.skeleton_encoders import build_encoder
from ski_lvlm.encoders.text_encoder import TextEncoder, load_text_encoder
from ski_lvlm.sharing.kinds import CONFIG, WEIGHTS
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.weight_files import read_safetensors


class Card:
    """Base of the cards. Each is a dataclass whose fields are those of its JSON file, in their order there."""

    FILE: ClassVar[str]  # the card's name in a folder
    MODEL: ClassVar[str]  # in messages
    COMMAND: ClassVar[str]  # that writes such a folder, up to the folder's name

    stage: str
    num_frames: int  # T_v or T_s in training
    split: str
    seen: tuple[str, ...]  # the names of the actions it was trained on
    protocol: str  # which of the actions' clips it was trained on
    dataset: str  # whose clips they are

    @property
    def model_type(self) -> str:
        """Return the type of the model for transformers."""
        raise NotImplementedError


AnyCard = TypeVar("AnyCard", bound=Card)


@dataclass(frozen=True)
class SkeletonEncoderCard(Card):
    """The card of a skeleton encoder, alone or in a SkeletonCLIP."""

    FILE: ClassVar[str] = "skeleton_encoder.json"
    MODEL: ClassVar[str] = "skeleton encoder"
    COMMAND: ClassVar[str] = (
        "python train_ski_vlm.py --stage skeleton_pretrain --prepared DIR --split SPLIT --output_dir"
    )

    stage: str  # skeleton_pretrain, skeleton_align or distill
    encoder: dict[str, Any]  # its `settings`: network and layout by name, and sizes
    preprocessing: dict[str, Any]
    num_frames: int
    split: str
    seen: tuple[str, ...]
    text_encoder: dict[str, str] | None = None  # id and digest
    prompt: str | None = None
    protocol: str = "xsub"
    scale: str = "cosine"  # of its similarities in the cross-entropy, see `SkeletonAlignRecipe`
    dataset: str = ""

    @property
    def model_type(self) -> str:
        """Return the type of an encoder, or that of a SkeletonCLIP."""
        return "ski_skeleton_clip" if self.text_encoder else "ski_skeleton_encoder"


@dataclass(frozen=True)
class StudentCard(Card):
    """The card of a student."""

    FILE: ClassVar[str] = "student.json"
    MODEL: ClassVar[str] = "student"
    COMMAND: ClassVar[str] = "python train_ski_vlm.py --stage video_finetune --ntu DIR --split SPLIT --output_dir"

    stage: str  # video_finetune or distill
    student: str  # one of STUDENTS
    backbone: str
    text_encoder: str  # empty: the backbone's own
    num_frames: int
    side: int  # pixels
    framing: str  # whole or centre, see video.read_for_tower
    split: str
    seen: tuple[str, ...]
    prompt: str
    names: str  # the spelling of class names
    protocol: str = "xsub"
    frozen: dict[str, str] = field(default_factory=dict)  # towers that are not in the file, and their digests
    teachers: list[dict[str, str]] = field(default_factory=list)  # that taught by scores: method, folder and digest
    dataset: str = ""

    @property
    def model_type(self) -> str:
        """Return the type of a student."""
        return "ski_student"


def save_model(folder: Path, model: nn.Module, *, card: Card) -> None:
    """Write a model's weights, its card and its type. Towers that were never trained are omitted."""
    write_json(folder / CONFIG, {"model_type": card.model_type})
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in model.state_dict().items()}, temporary)
    write_json(folder / card.FILE, vars(card))


def save_trained(folder: Path, model: DualEncoder) -> None:
    """Write a model that was loaded from the folder of a run, as training writes it.

    Raises:
        ValueError: the model has no card, since no command has trained it.
    """
    if model.card is None:
        raise ValueError(
            f"found a {type(model).__name__} without a card, expected one that was loaded from a trained folder; the "
            "card says which classes, frames and frozen parts it was trained with"
        )
    save_model(folder, model, card=model.card)


def read_card(folder: Path, kind: type[AnyCard]) -> AnyCard:
    """Read a folder's card.

    Raises:
        ValueError: there is no such card, or it is not what `train_ski_vlm.py` writes.
    """
    file = folder / kind.FILE
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise ValueError(
            f"{folder} holds no finished {kind.MODEL} ({kind.FILE} and {WEIGHTS}); make one with: "
            f"{kind.COMMAND} {folder}"
        )
    try:
        fields = read_json(file)
        return kind(**{**fields, **_classes(fields)})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read ({error}); train the {kind.MODEL} again") from error


def _classes(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the data set and the classes of a card. Earlier cards have NTU's numbers for classes."""
    dataset = fields.get("dataset") or str(fields["split"]).split("/", maxsplit=1)[0]
    classes = fields["seen"]
    if all(isinstance(action, int) for action in classes):
        data = open_data_set(dataset)
        classes = [data.action(f"A{number}").name for number in classes]
    return {"dataset": dataset, "seen": tuple(classes)}


def load_weights(module: nn.Module, weights: dict[str, Tensor], folder: Path, card: Card) -> None:
    """Load the weights of a folder into a module built by its card.

    Raises:
        ValueError: they do not fit.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit {card.FILE}: {error}") from error


def skeleton_encoder_folder(folder: Path) -> Path:
    """Return the folder in a run that holds its skeleton encoder: itself, or that of skeleton_text or distill."""
    places = (folder, folder / "skeleton_encoder", folder / "skeleton_clip")
    return next((place for place in places if (place / SkeletonEncoderCard.FILE).is_file()), folder)


def load_skeleton_encoder(
    folder: Path, *, expected: Preprocessing | None = None
) -> tuple[SkeletonEncoder, Preprocessing]:
    """Load the skeleton encoder of any stage, in evaluation mode, and the preprocessing it was trained with.

    Raises:
        ValueError: nothing usable is in the folder, or the preprocessing is another than `expected`.
    """
    card = read_card(folder, SkeletonEncoderCard)
    preprocessing = Preprocessing.from_json(card.preprocessing)
    if expected is not None:
        preprocessing.check_matches(expected)
    try:
        encoder = build_encoder(card.encoder)
    except ValueError as error:
        raise ValueError(
            f"{folder / card.FILE} describes no encoder ({error}); train the {card.MODEL} again"
        ) from error
    prefix = "encoder."
    weights = read_safetensors(folder / WEIGHTS)
    weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    load_weights(encoder, weights, folder, card)
    return encoder.eval(), preprocessing


def trained_text_encoder(entry: dict[str, str], folder: Path) -> TextEncoder:
    """Load the frozen text encoder that the card in a folder names by id and digest.

    Raises:
        ValueError: its weights are not those trained with.
    """
    text_encoder = load_text_encoder(entry["id"])
    if text_encoder.digest != entry["digest"]:
        raise ValueError(
            f"the text encoder {text_encoder.model_id} has other weights (digest {text_encoder.digest}) than the one "
            f"{folder} was aligned with ({entry['digest']}); use the same weights, or align again"
        )
    return text_encoder


def load_skeleton_clip(folder: Path, *, expected: Preprocessing | None = None) -> tuple[SkeletonCLIP, Preprocessing]:
    """Load a trained SkeletonCLIP with its frozen text encoder, in evaluation mode.

    Raises:
        ValueError: the folder is of another stage, or the text encoder's weights are not those trained with.
    """
    card = read_card(folder, SkeletonEncoderCard)
    if card.text_encoder is None:
        raise ValueError(
            f"{folder} is a {card.stage} run without a text encoder; align it with: python train_ski_vlm.py --stage "
            f"skeleton_align --skeleton_encoder {folder} --prepared DIR --split {card.split} --output_dir DIR"
        )
    encoder, preprocessing = load_skeleton_encoder(folder, expected=expected)
    text_encoder = trained_text_encoder(card.text_encoder, folder)
    model = SkeletonCLIP(encoder, text_encoder)
    load_weights(model, read_safetensors(folder / WEIGHTS), folder, card)
    model.card = card
    return model.eval(), preprocessing


def frozen_digests(student: Student) -> dict[str, str]:
    """Return the digests of the towers that no training touched, which a folder therefore names and omits."""
    towers: dict[str, PretrainedTower] = {"text_encoder": student.text_encoder, "frames": student.frames}
    return {name: tower.digest for name, tower in towers.items() if tower.is_omitted and list(tower.parameters())}


def load_student(folder: Path) -> tuple[Student, StudentCard]:
    """Load a student in evaluation mode. No skeleton is involved.

    The towers' architecture comes from the backbone the card names (hub id or folder), all trained weights from here.

    Raises:
        ValueError: nothing usable is in the folder, or a tower left frozen has other weights than in training.
    """
    card = read_card(folder, StudentCard)
    student = build_student(
        card.student,
        backbone=card.backbone,
        text_encoder=card.text_encoder,
        num_frames=card.num_frames,
        side=card.side,
    )
    for name, digest in card.frozen.items():
        tower = freeze(getattr(student, name))
        if tower.digest != digest:
            raise ValueError(
                f"the {name} of {card.backbone} has other weights (digest {tower.digest}) than in the training of "
                f"{folder} ({digest}); use the same weights, or train again"
            )
    load_weights(student, read_safetensors(folder / WEIGHTS), folder, card)
    student.card = card
    return student.eval(), card
