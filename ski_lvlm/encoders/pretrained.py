"""Pretrained networks: loading them whole, their pixel normalisation, and their place in a state dict while frozen."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ski_lvlm.storage.weight_files import weights_explained

_log = logging.getLogger(__name__)

Module = TypeVar("Module", bound=nn.Module)


class Normalisation(NamedTuple):
    """Mean and deviation, per channel, by which pixel values between 0 and 1 are normalised."""

    mean: Sequence[float]
    std: Sequence[float]


CLIP_NORMALISATION = Normalisation([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
_FAMILY_NORMALISATION = {  # what each family's processor does when a checkpoint comes without a processor file
    "clip": CLIP_NORMALISATION,
    "siglip": Normalisation([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
}


def normalisation(model_id: str, *, family: str) -> Normalisation:
    """Return the pixel normalisation of a checkpoint, or its family's with a line in the log."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        processor, _ = ImageProcessingMixin.get_image_processor_dict(model_id)
    except OSError:
        usual = _FAMILY_NORMALISATION[family]
        _log.warning(
            "%s has no preprocessor_config.json; frames are normalised as %s does: %s", model_id, family, usual.mean
        )
        return usual
    return Normalisation(processor["image_mean"], processor["image_std"])


def load_whole(architecture: Any, path: str, *, unused: tuple[str, ...] = (), may_hold_more: bool = False) -> Any:  # noqa: ANN401
    """Load a pretrained model in fp32, whatever its file's precision, with every weight from the file.

    Weights whose names begin with `unused` may be missing. With `may_hold_more` the file may hold others.

    Raises:
        ValueError: the message lists all weights that are missing or superfluous.
    """
    with weights_explained(path):
        model, report = architecture.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(unused or "\0"))
    superfluous = [] if may_hold_more else sorted(report["unexpected_keys"])
    if missing or superfluous:
        raise ValueError(
            f"{path} does not hold a whole {type(model).__name__}: missing {missing or 'nothing'}, left over "
            f"{superfluous or 'nothing'}; download it again, or convert it with scripts/convert_clip.py"
        )
    return model


def freeze(module: Module) -> Module:
    """Put a module into evaluation mode and keep training from changing it."""
    return module.requires_grad_(False).eval()


class PretrainedTower(nn.Module):
    """A pretrained network that a state dict omits while it is frozen: id and digest name it instead.

    While frozen it stays in evaluation mode, whatever its owner does. Two kinds of tower stay in the state dict even if
    frozen, since no model hub has their weights: those that were never `pretrained` as a whole, and those whose weights
    came out of a state dict.
    """

    digest: str  # of the pretrained weights

    def __init__(self, *, pretrained: bool = True) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.register_state_dict_post_hook(_omit)
        self.register_load_state_dict_pre_hook(_note_stored_weights)
        self.register_load_state_dict_post_hook(_do_not_miss_omitted)

    @property
    def is_frozen(self) -> bool:
        """True while no weight is trained."""
        return not any(p.requires_grad for p in self.parameters())

    @property
    def is_omitted(self) -> bool:
        """True while state dicts omit the tower, so that a card has to name it."""
        return self.is_frozen and self.pretrained

    def train(self, mode: bool = True) -> "PretrainedTower":
        """Enter training mode, unless frozen."""
        return super().train(mode and not self.is_frozen)


def _omit(tower: Any, state: dict[str, Tensor], prefix: str, _: dict[str, object]) -> None:  # noqa: ANN401
    if tower.is_omitted:
        for name in [name for name in state if name.startswith(prefix)]:
            del state[name]


def _note_stored_weights(tower: Any, state: dict[str, Tensor], prefix: str, *_: object) -> None:  # noqa: ANN401
    if any(name.startswith(prefix) for name in state):
        tower.pretrained = False


def _do_not_miss_omitted(tower: Any, incompatible: Any) -> None:  # noqa: ANN401
    if tower.is_frozen:
        names = {name for name, _ in tower.named_parameters()} | {name for name, _ in tower.named_buffers()}
        missing: list[str] = incompatible.missing_keys
        missing[:] = [key for key in missing if not any(key.endswith(f".{name}") for name in names)]
