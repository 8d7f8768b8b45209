"""Load weights that others have released: every tensor finds its place in our network, or nothing is loaded."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ski_lvlm.storage.git_lfs import refuse_pointers
from ski_lvlm.storage.weight_files import WeightFileError, read_safetensors

AFFINE = ("weight", "bias")
# Training checkpoints of many authors carry their settings in this class, a dictionary; it is read as one.
_SETTINGS = (OrderedDict, "yacs.config.CfgNode")
# What torch's restricted unpickler raises on bytes that are no checkpoint.
_DAMAGED = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError)


class PublishedWeightsError(ValueError):
    """Released weights do not fit the network they are loaded into, or cannot be read."""


class Place(NamedTuple):
    """Names of tensors in our network and of the released ones that belong there, both stacked along the first axis."""

    names: tuple[str, ...]
    released: tuple[str, ...]
    transposed: bool = False  # the released matrix multiplies from the other side


def read_published(path: Path) -> dict[str, Tensor]:
    """Read a released file of weights by name: .safetensors, .pt or .pth, also inside a training checkpoint.

    Nothing in the file is executed.

    Raises:
        PublishedWeightsError: the file is damaged, a TorchScript archive, or holds something else than named tensors.
    """
    refuse_pointers(path)
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_checkpoint(path)
    for wrapper in ("state_dict", "model", "model_state_dict"):
        weights = weights.get(wrapper, weights) if isinstance(weights, dict) else weights
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise PublishedWeightsError(f"{path} holds {type(weights).__name__}, expected tensors by name (a state_dict)")
    return {name.removeprefix("module."): value for name, value in weights.items()}


def _read_safetensors(path: Path) -> object:
    try:
        return read_safetensors(path)
    except WeightFileError as error:
        raise PublishedWeightsError(f"{path} is no .safetensors file, or damaged ({error}); fetch it again") from error


def _read_checkpoint(path: Path) -> object:
    if _is_torchscript(path):
        raise PublishedWeightsError(
            f"{path} is a TorchScript archive, a program with weights in it; expected weights alone. Take them out by "
            f"python -c \"import torch; torch.save(torch.jit.load('{path}', 'cpu').state_dict(), 'weights.pt')\""
        )
    try:
        with torch.serialization.safe_globals([_SETTINGS]):
            in_zip = zipfile.is_zipfile(path)  # such a file is read as far as its tensors are used
            return torch.load(path, map_location="cpu", weights_only=True, mmap=in_zip)
    except _DAMAGED as error:
        raise PublishedWeightsError(
            f"{path} is damaged, or holds other Python objects than tensors ({_reason(error)}). Fetch it again, or, if "
            "you trust whoever wrote it, save its weights alone: torch.save(checkpoint['model'], 'weights.pt')"
        ) from error


def _reason(error: Exception) -> str:
    """Return the line of torch's long explanation that names the fault."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = f"{type(error).__name__}: {lines[0] if lines else 'the file ends too early'}"
    return next((line for line in lines if "Unsupported" in line), first)[:160]


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())


def load_places(
    model: nn.Module, published: Mapping[str, Tensor], places: Iterable[Place], *, unchanged: Collection[str] = ()
) -> None:
    """Put every released tensor into its place in `model`, whose tensors in `unchanged` stay as they are.

    Raises:
        PublishedWeightsError: a name is missing or left over, or a shape differs. The message lists all of them, and
            the model is as it was.
    """
    places, current = list(places), model.state_dict()
    _check_names(places, published)
    if misfits := [text for place in places if (text := _misfit(place, published, current))]:
        raise PublishedWeightsError("the weights do not fit the network: " + "; ".join(misfits))
    state = {name: current[name] for name in unchanged}
    for place in places:
        state |= _placed(place, published, current)
    model.load_state_dict(state)


def _check_names(places: list[Place], published: Mapping[str, Tensor]) -> None:
    expected = {name for place in places for name in place.released}
    missing = [name for place in places for name in place.released if name not in published]
    superfluous = [name for name in published if name not in expected]
    if missing or superfluous:
        raise PublishedWeightsError(
            f"the weights do not fit the network: missing {missing or 'nothing'}, left over "
            f"{superfluous or 'nothing'}; check that kind, depth and width of the network are those that they were "
            "released for"
        )


def _misfit(place: Place, published: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> str:
    """Describe what is wrong with the tensors of one place, in no words if nothing is."""
    names = f"{' and '.join(place.released)} for {' and '.join(place.names)}"
    shape = _stacked_shape([published[name] for name in place.released])
    expected = _stacked_shape([current[name] for name in place.names])
    if place.transposed and expected:
        expected = expected[::-1]
    if shape is None or shape != expected:
        return f"{names}: {shape or 'shapes that differ among themselves'}, expected {expected}"
    wrong = {published[name].dtype for name in place.released if not published[name].is_floating_point()}
    return f"{names}: {wrong}, expected floating-point numbers" if wrong else ""


def _stacked_shape(tensors: list[Tensor]) -> tuple[int, ...] | None:
    """Return the shape of tensors stacked along the first axis, None if they do not stack."""
    if len(tensors) == 1:
        return tuple(tensors[0].shape)
    if any(tensor.ndim == 0 for tensor in tensors) or len({tensor.shape[1:] for tensor in tensors}) > 1:
        return None
    return sum(len(tensor) for tensor in tensors), *tensors[0].shape[1:]


def _placed(place: Place, published: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = [published[name] for name in place.released]
    whole = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
    if len(place.names) == 1:
        return {place.names[0]: whole.T if place.transposed else whole}
    parts = whole.split([len(current[name]) for name in place.names])
    return dict(zip(place.names, parts, strict=True))


def leaves(module: str, *released: str, suffixes: Iterable[str] = AFFINE) -> Iterator[Place]:
    """Yield the places of a module's tensors whose last names are the same on both sides.

    >>> next(leaves("head", "fc"))
    Place(names=('head.weight',), released=('fc.weight',), transposed=False)
    """
    for suffix in suffixes:
        yield Place((f"{module}.{suffix}",), tuple(f"{name}.{suffix}" for name in released))
