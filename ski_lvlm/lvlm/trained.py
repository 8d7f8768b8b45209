"""The trained part of a SKI-LVLM: the weights that are saved, resumed and digested.

These are all weights but the frozen ones of the language model. Weights within it that require gradients, as those of
an adapter do, are trained. A projector belongs to the trained part also where a stage freezes it.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from ski_lvlm.encoders.digest import tensors_digest
from ski_lvlm.llm.quantisation import num_values

LLM = "llm."
_PROJECTORS = "projectors."


def frozen_names(model: nn.Module) -> set[str]:
    """Return the names of the weights of `model.llm` that are not trained."""
    llm = model.get_submodule("llm")
    trained = {name for name, p in llm.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {f"{LLM}{name}" for name in llm.state_dict() if name not in trained}


def trained_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters and buffers that are trained, saved, resumed and digested."""
    return set(model.state_dict()) - frozen_names(model)


def constant_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return copies of those weights of the trained part that no step changes: frozen projectors and statistics."""
    moving = {name for name, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {name: value.detach().clone() for name, value in model.state_dict().items() if name not in moving}


def parameter_counts(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters are optimised, and how many there are."""
    sizes = [(p.requires_grad, num_values(p)) for p in model.parameters()]
    return sum(size for is_trained, size in sizes if is_trained), sum(size for _, size in sizes)


def hide_frozen(model: nn.Module) -> None:
    """Leave the frozen weights out of `state_dict`, and do not miss them in `load_state_dict`."""
    model.register_state_dict_post_hook(_drop_frozen)
    model.register_load_state_dict_post_hook(_expect_no_frozen)


def _drop_frozen(module: nn.Module, state: dict[str, Tensor], prefix: str, _: Any) -> None:  # noqa: ANN401
    for name in frozen_names(module):
        state.pop(f"{prefix}{name}", None)


def _expect_no_frozen(module: nn.Module, keys: Any) -> None:  # noqa: ANN401
    frozen = frozen_names(module)
    keys.missing_keys[:] = [name for name in keys.missing_keys if name not in frozen]


def trained_digest(model: nn.Module) -> str:
    """Return a hash of the trained weights, exact to the last bit."""
    parameters, state = dict(model.named_parameters(remove_duplicate=False)), model.state_dict()
    tensors = {name: parameters.get(name, state[name]) for name in trained_names(model)}
    # Without adapters it is the digest of `model.projectors`, by which answers are known that were given before.
    return tensors_digest({name.removeprefix(_PROJECTORS): tensor for name, tensor in tensors.items()}, rounded=False)


def modality_of(name: str) -> str | None:
    """Return the modality whose projector a weight belongs to, None for weights of the language model.

    >>> modality_of("projectors.video.layers.weight"), modality_of("llm.lm_head.weight")
    ('video', None)
    """
    return name.removeprefix(_PROJECTORS).split(".")[0] if name.startswith(_PROJECTORS) else None


def without_projectors(weights: Mapping[str, Tensor], modalities: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights without those of the projectors of these modalities."""
    unused = set(modalities)
    return {name: tensor for name, tensor in weights.items() if modality_of(name) not in unused}
