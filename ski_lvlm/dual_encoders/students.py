"""The students by name. A new one is a file beside this, a line here, and its schedule in `ski_lvlm/recipe.py`."""

from ski_lvlm.dual_encoders.froster import FROSTER
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.vificlip import ViFiCLIP
from ski_lvlm.dual_encoders.xclip import XCLIP
from ski_lvlm.encoders.offline import EFFICIENTNET
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.text_encoder import load_text_encoder

STUDENTS: dict[str, type[Student]] = {
    "vificlip": ViFiCLIP,
    "xclip": XCLIP,
    "froster": FROSTER,
}


def build_student(
    name: str, *, backbone: str, text_encoder: str = "", num_frames: int, side: int | None = None
) -> Student:
    """Build a student on pretrained towers, not yet trained on videos of actions, with all towers trainable.

    Args:
        name: one of `STUDENTS`.
        backbone: a CLIP or SigLIP (hub id or folder), or efficientnet-lite0. For xclip also an X-CLIP.
        text_encoder: for a backbone that has none. Empty: the backbone's own.
        num_frames: T_v.
        side: of the frames in pixels. None: the backbone's own.

    Raises:
        ValueError: no such student, or the parts do not fit.
    """
    if name not in STUDENTS:
        raise ValueError(f"unknown student {name!r}; expected one of {', '.join(STUDENTS)}")
    if backbone == EFFICIENTNET and not text_encoder:
        raise ValueError(f"{EFFICIENTNET} has no text encoder of its own; give --text_encoder, for example minilm")
    text = load_text_encoder(text_encoder or backbone).requires_grad_(True)
    return STUDENTS[name].build(backbone, text, num_frames=num_frames, side=side)


def freeze_towers(student: Student, choice: str) -> None:
    """Freeze the towers of a student that `--freeze` names.

    Args:
        student: all of whose towers are trainable.
        choice: none, text, video, or auto for what the student's authors freeze.

    Raises:
        ValueError: no such choice, or the video side is not pretrained as a whole.
    """
    towers = {"auto": student.frozen_by_default, "none": (), "text": ("text_encoder",), "video": ("frames",)}
    if choice not in towers:
        raise ValueError(f"cannot freeze {choice!r}; expected {', '.join(towers)}")
    if choice == "video" and not student.has_pretrained_video_side:
        raise ValueError(
            f"the video side of this {student.title} has weights that were never pretrained (X-CLIP's messages, or the "
            f"projection after {EFFICIENTNET}) and would stay random; freeze it in vificlip or froster on a CLIP or "
            "SigLIP"
        )
    for name in towers[choice]:
        freeze(getattr(student, name))


def untrained_weights(student: Student) -> set[str]:
    """Return the names of the weights that no pretrained model gave the student."""
    return {name for name, _ in student.named_parameters() if any(part in name for part in student.untrained)}
