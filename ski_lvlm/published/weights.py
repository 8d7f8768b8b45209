"""Load weights that others have released: every name of theirs finds its place in ours, or nothing is loaded."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ski_lvlm.encoders.hyperformer import ActionClassifier, Hyperformer
from ski_lvlm.storage.git_lfs import refuse_pointers
from ski_lvlm.storage.weight_files import WeightFileError, read_safetensors

_SKI_PROJECTION = ("fc2.weight", "fc2.bias")  # the skeleton-to-language layer that the SKI authors added
_COUNTER = "num_batches_tracked"
_AFFINE = ("weight", "bias")
_NORM = (*_AFFINE, "running_mean", "running_var")
# Training checkpoints of many authors carry their settings in this class, a dictionary; it is read as one.
_SETTINGS = (OrderedDict, "yacs.config.CfgNode")
# What torch's restricted unpickler raises on bytes that are no checkpoint.
_DAMAGED = (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError)


class PublishedWeightsError(ValueError):
    """Released weights do not fit the network they are loaded into, or cannot be read."""


class Place(NamedTuple):
    """Where released tensors belong: `theirs`, one below the other, hold what `ours` hold, one below the other."""

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    transposed: bool = False  # their matrix multiplies from the other side


def read_published(path: Path) -> dict[str, Tensor]:
    """Read a released file of weights by name: .safetensors, or .pt/.pth, also a training checkpoint around them.

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
    """The line of torch's long explanation that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = f"{type(error).__name__}: {lines[0] if lines else 'the file ends too early'}"
    return next((line for line in lines if "Unsupported" in line), first)[:160]


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())


def load_places(
    model: nn.Module, published: Mapping[str, Tensor], places: Iterable[Place], *, kept: Collection[str] = ()
) -> None:
    """Put every released tensor into its place in `model`; only our tensors named in `kept` stay as they are.

    Raises:
        PublishedWeightsError: a name is missing or left over, or a shape differs; all of them are listed, and the model
            is as it was.
    """
    places, ours = list(places), model.state_dict()
    _check_names(places, published)
    if misfits := [text for place in places if (text := _misfit(place, published, ours))]:
        raise PublishedWeightsError("the weights do not fit the network: " + "; ".join(misfits))
    state = {name: ours[name] for name in kept}
    for place in places:
        state |= _placed(place, published, ours)
    model.load_state_dict(state)


def _check_names(places: list[Place], published: Mapping[str, Tensor]) -> None:
    wanted = {name: place for place in places for name in place.theirs}
    missing = [name for name in wanted if name not in published]
    left = [name for name in published if name not in wanted]
    if missing or left:
        raise PublishedWeightsError(
            f"the weights do not fit the network: missing {missing or 'nothing'}, left over {left or 'nothing'}; "
            "check that kind, depth and width of the network are those that they were released for"
        )


def _misfit(place: Place, published: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str:
    """What is wrong with the tensors of one place, in words; empty if nothing."""
    names = f"{' and '.join(place.theirs)} for {' and '.join(place.ours)}"
    found = _stacked_shape([published[name] for name in place.theirs])
    expected = _stacked_shape([ours[name] for name in place.ours])
    if place.transposed and expected:
        expected = expected[::-1]
    if found is None or found != expected:
        return f"{names}: {found or 'shapes that differ among themselves'}, expected {expected}"
    wrong = {published[name].dtype for name in place.theirs if not published[name].is_floating_point()}
    return f"{names}: {wrong}, expected floating-point numbers" if wrong else ""


def _stacked_shape(tensors: list[Tensor]) -> tuple[int, ...] | None:
    """The shape of tensors one below the other; None if they do not stack."""
    if len(tensors) == 1:
        return tuple(tensors[0].shape)
    if any(tensor.ndim == 0 for tensor in tensors) or len({tensor.shape[1:] for tensor in tensors}) > 1:
        return None
    return sum(len(tensor) for tensor in tensors), *tensors[0].shape[1:]


def _placed(place: Place, published: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = [published[name] for name in place.theirs]
    whole = torch.cat(found) if len(found) > 1 else found[0]
    if len(place.ours) == 1:
        return {place.ours[0]: whole.T if place.transposed else whole}
    parts = whole.split([len(ours[name]) for name in place.ours])
    return dict(zip(place.ours, parts, strict=True))


def leaves(ours: str, *theirs: str, named: Iterable[str] = _AFFINE) -> Iterator[Place]:
    """Places of a module's tensors that both sides call by the same last name.

    >>> next(leaves("head", "fc"))
    Place(ours=('head.weight',), theirs=('fc.weight',), transposed=False)
    """
    for leaf in named:
        yield Place((f"{ours}.{leaf}",), tuple(f"{name}.{leaf}" for name in theirs))


def load_hyperformer(model: ActionClassifier, published: Mapping[str, Tensor]) -> None:
    """Load the Hyperformer authors' weights into ours; the SKI authors' extra `fc2` may be there and is not used.

    Raises:
        PublishedWeightsError: a name is missing or left over, or a shape differs; all of them are listed.
    """
    used = {n: value for n, value in published.items() if n not in _SKI_PROJECTION and not n.endswith(_COUNTER)}
    counters = [name for name in model.state_dict() if name.endswith(_COUNTER)]
    load_places(model, used, _classifier(model.encoder), kept=counters)


def _classifier(encoder: Hyperformer) -> Iterator[Place]:
    yield from leaves("encoder.entrance_norm", "data_bn", named=_NORM)
    for number, stride in enumerate(encoder.strides, start=1):
        ours, theirs = f"encoder.blocks.{number - 1}", f"l{number}"
        yield from _attention(f"{ours}.attention", f"{theirs}.vit1", has_skip=number == 1)
        yield from _time(f"{ours}.time", f"{theirs}.tcn1.branches")
        if number == 1 or stride != 1:
            yield from leaves(f"{ours}.residual.0", f"{theirs}.residual.conv")
            yield from leaves(f"{ours}.residual.1", f"{theirs}.residual.bn", named=_NORM)
    yield from leaves("head", "fc")


def _attention(ours: str, theirs: str, *, has_skip: bool) -> Iterator[Place]:
    yield from leaves(f"{ours}.norm", f"{theirs}.norm1")
    yield from leaves(f"{ours}.qkv.conv", f"{theirs}.attn.q", f"{theirs}.attn.kv", named=["weight"])
    yield from leaves(f"{ours}.group_projection.conv", f"{theirs}.pe_proj", named=["weight"])
    if has_skip:
        yield from leaves(f"{ours}.skip.conv", f"{theirs}.skip_proj", named=["weight"])
    yield from leaves(f"{ours}.output.conv", f"{theirs}.attn.proj")
    learned = {"hop_embedding": "rpe", "group_weight": "w1", "joint_matrix": "outer", "alpha": "alpha"}
    for our_name, their_name in learned.items():
        yield Place((f"{ours}.{our_name}",), (f"{theirs}.attn.{their_name}",))


def _time(ours: str, theirs: str) -> Iterator[Place]:
    yield from leaves(f"{ours}.entrance", *(f"{theirs}.{branch}.0" for branch in range(4)))
    yield from leaves(f"{ours}.entrance_norm", *(f"{theirs}.{branch}.1" for branch in range(3)), named=_NORM)
    yield from leaves(f"{ours}.short", f"{theirs}.0.3.conv")
    yield from leaves(f"{ours}.long", f"{theirs}.1.3.conv")
    ends = ("0.3.bn", "1.3.bn", "2.4", "3.1")
    yield from leaves(f"{ours}.exit_norm", *(f"{theirs}.{end}" for end in ends), named=_NORM)
