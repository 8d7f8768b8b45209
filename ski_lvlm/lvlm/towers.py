"""Vision towers by name: an image model of the hub, the offline one, or the image half of a trained student."""

from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student
from ski_lvlm.dual_encoders.xclip import XCLIP
from ski_lvlm.encoders.digest import weights_digest
from ski_lvlm.encoders.vision_tower import ImageBackbone, VisionTower, frozen_tower, load_vision_tower


def open_tower(model_id: str, *, num_frames: int, side: int | None = None) -> VisionTower:
    """Load a frozen tower: the images of a student (run of `train_ski_vlm.py`), or what `load_vision_tower` takes.

    A student's tokens are the patches behind its last layer, before pooling and projection.

    Raises:
        ValueError: as `load_student` and `load_vision_tower`, or frames of another side than the student's.
    """
    if (Path(model_id) / StudentCard.FILE).is_file():
        return frozen_tower(student_images(Path(model_id)), num_frames=num_frames, side=side)
    return load_vision_tower(model_id, num_frames=num_frames, side=side)


def student_images(folder: Path) -> ImageBackbone:
    """Return the image half of a trained student, called by the folder.

    Raises:
        ValueError: as `load_student`, or the student is an X-CLIP, which encodes no frame alone.
    """
    student, card = load_student(folder)
    if isinstance(student, XCLIP):
        raise ValueError(
            f"{folder} holds an {card.student}, whose frames exchange messages, so that none has tokens of its own; "
            "expected a vificlip or a froster"
        )
    frames = student.frames
    network = _Patches(frames.backbone).requires_grad_(False).eval()
    num_patches, width = _shape(network, frames.side)
    mean, std = (frames.get_buffer(name).flatten().tolist() for name in ("mean", "std"))
    return ImageBackbone(
        network,
        model_id=str(folder),
        digest=weights_digest(network, mean, std),
        width=width,
        image_size=frames.side,
        num_patches=num_patches,
        mean=mean,
        std=std,
    )


class _Patches(nn.Module):
    """A frame encoder's backbone without its pooled feature."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P F"]:
        return self.backbone(pixels).patches


@torch.no_grad()
def _shape(network: nn.Module, side: int) -> tuple[int, int]:
    tokens = network(rearrange(torch.zeros(3, side, side), "c h w -> 1 c h w"))
    return tokens.shape[1], tokens.shape[2]
