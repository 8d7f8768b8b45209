"""Norms, gates and adapters of a language model that keep only their inputs for the backward pass.

As transformers writes them, an RMS norm in bf16 keeps its input in fp32, and a gated MLP keeps the activated gate
beside gate and up. Both are elementwise, so that the backward pass can compute them again at little cost. Values and
gradients are the model's own, bit by bit, since its own code runs both times. Linear layers stay as they are, trained
or frozen. The weights of adapters are in fp32. In a model in bf16, peft turns the input of each adapter into fp32 and
autocast turns it back, so that each keeps a copy. Without the detour they share the input.
"""

import inspect
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.phi3.modeling_phi3 import Phi3MLP


class LeanModules(NamedTuple):
    """Numbers of modules that keep less."""

    norms: int
    gates: int
    adapters: int


def make_lean(llm: nn.Module) -> LeanModules:
    """Let the RMS norms, gated MLPs and LoRA layers of a language model keep their inputs alone.

    A module is changed where its structure is known: a norm of one input without parts, an MLP whose `forward` is that
    of Llama (Qwen, Mistral, Gemma, SmolLM and a hundred others) or of Phi-3, a plain LoRA layer. Any other is left as
    it is, as is one whose `forward` somebody else has replaced.
    """
    norms = gates = adapters = 0
    for module in llm.modules():
        if "forward" in vars(module):
            continue
        if _is_rms_norm(module):
            module.forward = MethodType(_norm, module)
            norms += 1
        elif gated := _gated_forward(module):
            module.forward = MethodType(gated, module)
            gates += 1
        elif getattr(module, "lora_variant", None) == {}:  # no DoRA, which computes its norms in fp32
            vars(module)["_cast_input_dtype"] = MethodType(_input_of_adapter, module)
            adapters += 1
    return LeanModules(norms, gates, adapters)


def _is_rms_norm(module: nn.Module) -> bool:
    is_named_so = type(module).__name__.endswith("RMSNorm") and not isinstance(module, nn.RMSNorm)
    return is_named_so and not list(module.children()) and len(inspect.signature(module.forward).parameters) == 1


def _gated_forward(module: nn.Module) -> Callable[..., Tensor] | None:
    for reference, gated in ((LlamaMLP, _gated), (Phi3MLP, _gated_of_one_linear)):
        if _code(type(module)) == _code(reference):
            return gated
    return None


def _code(module: type[nn.Module]) -> tuple[bytes, tuple[str, ...]]:
    """Return what `forward` does: equal for classes that differ in names of arguments and variables alone."""
    code: Any = getattr(module.forward, "__code__", None)
    return (code.co_code, code.co_names) if code else (module.__qualname__.encode(), ())


def _norm(self: nn.Module, hidden: Float[Tensor, "... K"]) -> Float[Tensor, "... K"]:
    function = partial(type(self).forward, self)
    if hidden.dtype == torch.float32:  # which it keeps anyway
        return function(hidden)
    return _recomputed(function, (hidden,), tuple(weight for weight in self.parameters() if weight.requires_grad))


def _gated(self: Any, hidden: Float[Tensor, "... K"]) -> Float[Tensor, "... K"]:  # noqa: ANN401
    gate, up = self.gate_proj(hidden), self.up_proj(hidden)
    activation = _function(self.act_fn)
    return self.down_proj(_recomputed(lambda gate, up: activation(gate) * up, (gate, up)))


def _gated_of_one_linear(self: Any, hidden: Float[Tensor, "... K"]) -> Float[Tensor, "... K"]:  # noqa: ANN401
    gate, up = self.gate_up_proj(hidden).chunk(2, dim=-1)
    activation = _function(self.activation_fn)
    return self.down_proj(_recomputed(lambda gate, up: up * activation(gate), (gate, up)))


def _input_of_adapter(self: Any, hidden: Tensor, dtype: torch.dtype) -> Tensor:  # noqa: ANN401
    """Return the input of an adapter with weights of `dtype`. Autocast gives both the same type anyway."""
    if torch.is_autocast_enabled(hidden.device.type):
        return hidden
    return type(self)._cast_input_dtype(self, hidden, dtype)


def _function(activation: Any) -> Callable[[Tensor], Tensor]:  # noqa: ANN401
    """Return the function of an activation without hooks, as DeepSpeed's, which count calls of modules."""
    return activation.forward if isinstance(activation, nn.Module) else activation


def _recomputed(
    function: Callable[..., Tensor], inputs: tuple[Tensor, ...], weights: tuple[nn.Parameter, ...] = ()
) -> Tensor:
    """Return `function(*inputs)`, and keep only the inputs for its backward pass.

    `weights` are parameters that the function uses and that get gradients. A compiler decides itself what it keeps.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return function(*inputs)
    return _Recomputed.apply(function, len(inputs), *inputs, *weights)


class _Recomputed(torch.autograd.Function):
    """A function that the backward pass computes again from its inputs, under the same autocast."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], count: int, *tensors: Tensor) -> Tensor:  # noqa: ANN401
        """Compute the function of the first `count` tensors. The others are its weights."""
        device = tensors[0].device.type
        ctx.function, ctx.weights = function, tensors[count:]
        ctx.autocast = {
            "device_type": device,
            "dtype": torch.get_autocast_dtype(device),
            "enabled": torch.is_autocast_enabled(device),
        }
        ctx.save_for_backward(*tensors[:count])
        return function(*tensors[:count])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        """Compute the function again, then its gradients."""
        inputs = [tensor.detach() for tensor in ctx.saved_tensors]
        needs = ctx.needs_input_grad[2:]
        for tensor, is_needed in zip(inputs, needs, strict=False):
            tensor.requires_grad_(is_needed)
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            outcome = ctx.function(*inputs)
        tensors = [*inputs, *ctx.weights]
        variables = [tensor for tensor, is_needed in zip(tensors, needs, strict=True) if is_needed]
        computed = iter(torch.autograd.grad(outcome, variables, gradients))
        return None, None, *(next(computed) if is_needed else None for is_needed in needs)
