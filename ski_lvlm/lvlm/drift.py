"""Distance that a projector has moved from its start: of its weights, and of what it makes of tokens."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.lvlm.config import SkiLvlmConfig
from ski_lvlm.lvlm.model_folder import WEIGHTS
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.lvlm.projectors.settings import settings_of
from ski_lvlm.storage.weight_files import read_safetensors


class OpenedProjector(NamedTuple):
    """The projector of a model, without its language model, and the configuration beside it."""

    projector: Projector
    config: SkiLvlmConfig


class OutputDrift(NamedTuple):
    """Means over the embeddings of a clip.

    Attributes:
        cosine_distance: 1 minus the cosine of an embedding and that of the start, 0 to 2.
        relative_l2: their distance over the length of that of the start.
    """

    cosine_distance: float
    relative_l2: float


def open_projector(folder: Path, modality: str) -> OpenedProjector:
    """Open the projector of one modality, in fp32, from the folder of a run or of a checkpoint.

    Raises:
        ValueError: no such model or modality, or damaged weights.
    """
    if not (folder / WEIGHTS).is_file():
        raise ValueError(f"{folder}: no {WEIGHTS}; expected an --output_dir of train_ski_lvlm.py or a checkpoint in it")
    config = SkiLvlmConfig.from_pretrained(folder)
    if modality not in config.token_widths:
        raise ValueError(f"{folder}: found projectors of {list(config.token_widths)}, expected one of {modality}")
    projector = Projector(
        config.token_widths[modality],
        config.llm_width,
        settings=settings_of(config.projectors)[modality],
        standardised=config.standardised,
        delimited=modality in config.delimited,
    )
    prefix = f"projectors.{modality}."
    weights = {n.removeprefix(prefix): w for n, w in read_safetensors(folder / WEIGHTS).items() if n.startswith(prefix)}
    try:
        projector.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS}: not the weights of the config.json beside it ({error})") from error
    return OpenedProjector(projector.eval(), config)


def check_comparable(start: OpenedProjector, model: OpenedProjector, modality: str) -> None:
    """Make sure that two projectors are of one kind before one language model.

    Raises:
        ValueError: they are not.
    """
    first, second = (_described(opened.config, modality) for opened in (start, model))
    if first != second:
        raise ValueError(
            f"found two kinds of projectors, {first} and {second}; expected a model and the run that it began with by "
            "--init_from"
        )


def weight_drift(start: Projector, model: Projector) -> dict[str, float | None]:
    """Return the Frobenius norm of the difference over that of the start, for all weights together and for each.

    A weight that starts at zero has no such ratio: None. Statistics of standardised tokens are no weights.
    """
    pairs = {name: (p, dict(model.named_parameters())[name]) for name, p in start.named_parameters()}
    columns = zip(*((a.detach().flatten(), b.detach().flatten()) for a, b in pairs.values()), strict=True)
    first, second = (torch.cat(column) for column in columns)
    return {"all": _ratio(first, second)} | {name: _ratio(a.detach(), b.detach()) for name, (a, b) in pairs.items()}


@torch.inference_mode()
def output_drift(start: Projector, model: Projector, tokens: Float[Tensor, "N F"]) -> OutputDrift:
    """Return how far apart the two projectors' embeddings of a clip's tokens are."""
    first, second = start(tokens).double(), model(tokens).double()
    cosine = torch.cosine_similarity(first, second, dim=-1)
    distance = (second - first).norm(dim=-1) / first.norm(dim=-1)
    return OutputDrift(float((1 - cosine).mean()), float(distance.mean()))


def _ratio(start: Tensor, end: Tensor) -> float | None:
    size = float(start.double().norm())
    return float((end.double() - start.double()).norm()) / size if size else None


def _described(config: SkiLvlmConfig, modality: str) -> dict[str, Any]:
    sizes = {"tokens": config.token_widths[modality], "embeddings": config.llm_width}
    return {**config.projectors[modality], **sizes, "standardised": config.standardised, "llm": config.llm_digest}
