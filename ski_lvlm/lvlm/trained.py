"""The trained part of a SKI-LVLM: the weights that are optimised, saved, resumed and digested.

The weights of the language model are frozen, all others are trained. Weights within the language model that require
gradients, as those of an adapter do, are trained as well.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from ski_lvlm.encoders.digest import tensors_digest

_LLM, _PROJECTORS = "llm.", "projectors."


def frozen_names(model: nn.Module) -> set[str]:
    """Return the names of the weights of `model.llm` that are not trained."""
    llm = model.get_submodule("llm")
    trained = {name for name, p in llm.named_parameters(remove_duplicate=False) if p.requires_grad}
    return {f"{_LLM}{name}" for name in llm.state_dict() if name not in trained}


def trained_names(model: nn.Module) -> set[str]:
    """Return the names of the parameters and buffers that are trained, saved, resumed and digested."""
    return set(model.state_dict()) - frozen_names(model)


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


def without_projectors(weights: Mapping[str, Tensor], modalities: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights without those of the projectors of these modalities."""
    prefixes = tuple(f"{_PROJECTORS}{name}." for name in modalities)
    return {name: tensor for name, tensor in weights.items() if not name.startswith(prefixes)}
