"""A trained student's folder: its weights, and what is needed to use it."""

from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save_file

from ski_lvlm.dual_encoders.students import Student, build_student
from ski_lvlm.encoders.frame_encoder import FrameEncoder
from ski_lvlm.encoders.text_encoder import TextEncoder, freeze, is_left_out
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.weight_files import read_safetensors

WEIGHTS, DESCRIPTION = "model.safetensors", "student.json"


class StudentError(ValueError):
    """A folder does not hold a student that can be used here."""


@dataclass(frozen=True)
class StudentCard:
    """What a folder says about the student in it."""

    stage: str  # video_finetune or distill
    student: str  # vificlip, xclip or froster
    backbone: str
    text_encoder: str  # empty: the backbone's own
    num_frames: int  # T_v
    side: int  # pixels
    framing: str  # whole or centre, see video.read_for_tower
    split: str
    seen: tuple[int, ...]  # the actions it was trained on
    prompt: str
    names: str  # the spelling of class names
    protocol: str = "xsub"  # which of the actions' clips it was trained on
    frozen: dict[str, str] = field(default_factory=dict)  # towers that are not in the file, and their digests


def frozen_digests(student: Student) -> dict[str, str]:
    """The towers that no training ever touched, which a folder therefore names instead of holding."""
    towers: dict[str, TextEncoder | FrameEncoder] = {"text_encoder": student.text_encoder, "frames": student.frames}
    return {name: tower.digest for name, tower in towers.items() if is_left_out(tower) and list(tower.parameters())}


def save_student(folder: Path, student: Student, *, card: StudentCard) -> None:
    """Write what was trained (`model.safetensors`) and what it takes to use it (`student.json`)."""
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: value.cpu().contiguous() for name, value in student.state_dict().items()}, temporary)
    write_json(folder / DESCRIPTION, vars(card))


def read_student_card(folder: Path) -> StudentCard:
    """Read a folder's `student.json`.

    Raises:
        StudentError: it is not there, or not what `train_ski_vlm.py` writes.
    """
    file = folder / DESCRIPTION
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise StudentError(
            f"{folder} holds no finished student ({DESCRIPTION} and {WEIGHTS}); make one with: python "
            f"train_ski_vlm.py --stage video_finetune --ntu DIR --split SPLIT --output_dir {folder}"
        )
    try:
        found = read_json(file)
        return StudentCard(**{**found, "seen": tuple(found["seen"])})
    except (KeyError, TypeError, ValueError) as error:
        raise StudentError(f"{file} cannot be read ({error}); train the student again") from error


def load_student(folder: Path) -> tuple[Student, StudentCard]:
    """Load a student in evaluation mode; no skeleton is involved.

    The towers' architecture comes from the backbone the card names (hub id or folder), all trained weights from here.

    Raises:
        StudentError: nothing usable is in the folder, or a tower left frozen has other weights than in training.
    """
    card = read_student_card(folder)
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
            raise StudentError(
                f"the {name} of {card.backbone} has other weights (digest {tower.digest}) than in the training of "
                f"{folder} ({digest}); use the same weights, or train again"
            )
    try:
        student.load_state_dict(read_safetensors(folder / WEIGHTS))
    except RuntimeError as error:
        raise StudentError(f"{folder / WEIGHTS} does not fit {DESCRIPTION}: {error}") from error
    return student.eval(), card
