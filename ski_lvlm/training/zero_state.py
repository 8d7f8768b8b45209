"""The optimiser that DeepSpeed shares out over its processes, as one whole that any number of processes can take.

The whole has PyTorch's own format (`torch.optim.Optimizer.state_dict`). Plain, DDP and DeepSpeed runs can thus resume
from each other's checkpoints. Every process must call these functions.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

_FLAT = ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups", "fp32_groups_flat_partition")
_GROUPS = ("bit16_groups", "bf16_groups")


def whole_weights(model: nn.Module, *, is_kept: bool = True) -> dict[str, Tensor]:
    """Return what is trained in full precision (fp32, on the CPU) by name, whatever the engine trains with.

    Processes that write nothing keep nothing (`is_kept`): eight copies of a language model are more than a node has.
    """
    from deepspeed.utils import safe_get_full_fp32_param

    parameters = model.named_parameters(remove_duplicate=False)
    weights = ((name, safe_get_full_fp32_param(p)) for name, p in parameters if p.requires_grad)
    return {name: weight.detach().cpu().clone() for name, weight in weights if is_kept}


def whole_optimizer(zero: Any, *, is_kept: bool = True) -> dict[str, Any]:  # noqa: ANN401
    """Return the state of all parameters in PyTorch's format, put together from the shares of all processes.

    Without `is_kept` the state is empty.

    Raises:
        ValueError: the optimiser keeps something that is neither a number nor has the shape of its parameter.
    """
    from deepspeed.utils import safe_get_full_optimizer_state

    _link(zero)
    shared, numbers = _state_of(zero)
    state: dict[int, dict[str, Any]] = {}
    saved_groups = []
    for group, parameters in parameter_groups(zero).items():
        first = len(state)
        for p in parameters:
            values = ((key, safe_get_full_optimizer_state(p, key)) for key in shared)
            whole = {key: value.detach().cpu().clone() for key, value in values if is_kept}
            state[len(state)] = whole | deepcopy(numbers)  # PyTorch counts the steps of each weight
        options = {name: value for name, value in zero.optimizer.param_groups[group].items() if name != "params"}
        saved_groups.append(options | {"params": list(range(first, len(state)))})
    return {"state": state if shared or numbers else {}, "param_groups": saved_groups}


def load_whole(zero: Any, saved: Mapping[str, Any], weights: Mapping[str, Tensor], model: nn.Module) -> None:  # noqa: ANN401
    """Give each process its share of a saved optimiser and of the weights in full precision.

    `zero` is DeepSpeed's optimiser around `model`, whose working weights must hold `weights` already.

    Raises:
        ValueError: the saved optimiser is one of other parameters.
    """
    groups, state = parameter_groups(zero), saved["state"]
    for group, options in zip(groups, saved["param_groups"], strict=True):
        if len(options["params"]) != len(groups[group]):
            raise ValueError(f"found an optimiser of {len(options['params'])} weights, expected {len(groups[group])}")
        zero.optimizer.param_groups[group].update({k: value for k, value in options.items() if k != "params"})
    shared = sorted({key for values in state.values() for key, value in values.items() if not _is_number(value)})
    numbers = {key: value for values in state.values() for key, value in values.items() if _is_number(value)}
    for flat in _flat(zero):
        zero.optimizer.state[flat].update({key: torch.zeros_like(flat) for key in shared} | deepcopy(numbers))
    _link(zero)
    for name, p in model.named_parameters():
        if p.requires_grad:
            _set(p, weights[name])
    for index, p in enumerate(p for group in groups.values() for p in group):
        for key in shared:
            if key in state.get(index, {}):
                _set(p, state[index][key], key)


def parameter_groups(zero: Any) -> dict[int, list[nn.Parameter]]:  # noqa: ANN401
    """Return the parameters of each of the optimiser's groups, in the order in which PyTorch numbers them."""
    for name in _GROUPS:
        if hasattr(zero, name):
            return {index: list(group) for index, group in enumerate(getattr(zero, name)) if len(group)}
    groups: dict[int, list[nn.Parameter]] = {}
    for sub_group, parameters in enumerate(zero.fp16_groups):
        groups.setdefault(zero.sub_group_to_group_id[sub_group], []).extend(parameters)
    return groups


def _link(zero: Any) -> None:  # noqa: ANN401
    """Let ZeRO-1 and 2 find what the optimiser keeps for each weight.

    DeepSpeed does so after the step of the first group, before the other groups keep anything.
    """
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def _flat(zero: Any) -> list[Tensor]:  # noqa: ANN401
    """Return this process's shares of the weights in full precision, one for each group or part of a group."""
    return next(list(getattr(zero, name)) for name in _FLAT if hasattr(zero, name))


def _state_of(zero: Any) -> tuple[list[str], dict[str, Any]]:  # noqa: ANN401
    """Return which tensors the optimiser keeps for each weight, and the numbers that all weights have in common."""
    shared: set[str] = set()
    numbers: dict[str, Any] = {}
    for flat in _flat(zero):
        for key, value in zero.optimizer.state[flat].items():
            if _is_number(value):
                numbers[key] = value
            elif value.shape == flat.shape:
                shared.add(key)
            else:
                raise ValueError(
                    f"{type(zero.optimizer).__name__} keeps {key} in a shape of its own, {tuple(value.shape)} for "
                    f"{tuple(flat.shape)} weights; choose --optim adamw_torch, or leave --deepspeed out"
                )
    return sorted(shared), numbers


def _is_number(value: Any) -> bool:  # noqa: ANN401
    return not isinstance(value, Tensor) or value.ndim == 0


def _set(parameter: nn.Parameter, value: Tensor, key: str | None = None) -> None:
    """Give this process its share of a weight (`key` None) or of what the optimiser keeps for it."""
    from deepspeed import utils

    if hasattr(parameter, "ds_tensor"):  # ZeRO-3's own setter for whole values fails where the shares are padded
        share = _share(parameter, value)
        if key is None:
            utils.safe_set_local_fp32_param(parameter, share)
        else:
            utils.safe_set_local_optimizer_state(parameter, share, key)
    elif key is None:
        utils.safe_set_full_fp32_param(parameter, value)
    else:
        utils.safe_set_full_optimizer_state(parameter, value, key)


def _share(parameter: Any, value: Tensor) -> Tensor:  # noqa: ANN401
    size = parameter.ds_tensor.numel()
    rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()
    padded = nn.functional.pad(value.flatten(), (0, size * processes - value.numel()))
    return padded[rank * size : (rank + 1) * size]
