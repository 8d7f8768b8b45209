"""A frozen language model in 4 bits: NF4 with quantised scales, by bitsandbytes.

Weights are rounded to bfloat16 first, so that they are the same 4 bits whatever precision the model is held in.

Paper: QLoRA (Dettmers et al., NeurIPS 2023), Sec. 3.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_KIND = "nf4"


def quantise(model: PreTrainedModel) -> None:
    """Replace the linear layers, but for the output layer, by frozen ones of 4 bits, in place.

    Raises:
        ValueError: bitsandbytes is not installed.
    """
    nn_4bit = _bitsandbytes().nn
    for name, layer in linear_layers(model).items():
        place, dtype = layer.weight.device, layer.weight.dtype
        packed = nn_4bit.Linear4bit(
            layer.in_features, layer.out_features, layer.bias is not None, dtype, quant_type=_KIND, device="meta"
        )
        settings = {"requires_grad": False, "compress_statistics": True, "quant_type": _KIND, "module": packed}
        packed.weight = nn_4bit.Params4bit(layer.weight.detach().to(torch.bfloat16), **settings)
        packed.bias = layer.bias
        packed.to(_fastest(place)).to(place)  # the first move quantises
        packed.weight.quant_state.dtype = dtype
        packed.support_avx512bf16_for_cpu = False  # bitsandbytes' other order of the weights has no gradients
        packed.train(layer.training)
        model.set_submodule(name, packed)
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # peft asks for it


def round_to_4bit(model: PreTrainedModel) -> None:
    """Give the linear layers the values that they have in 4 bits, in place and in their own precision."""
    functional = _bitsandbytes().functional
    for layer in linear_layers(model).values():
        place = _fastest(layer.weight.device)
        weight = layer.weight.detach().to(place, torch.bfloat16)
        packed, state = functional.quantize_4bit(weight, compress_statistics=True, quant_type=_KIND)
        state.dtype = layer.weight.dtype
        layer.weight.data.copy_(functional.dequantize_4bit(packed, state))


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Return the linear layers of a model by name, without the output layer."""
    output = model.get_output_embeddings()
    layers = ((name, module) for name, module in model.named_modules() if module is not output)
    return {name: module for name, module in layers if isinstance(module, nn.Linear)}


def num_values(parameter: Tensor) -> int:
    """Return the number of a parameter's values, of which a byte of a layer in 4 bits holds two."""
    state: Any = getattr(parameter, "quant_state", None)
    if state is not None:
        return state.shape.numel()
    return int(getattr(parameter, "ds_numel", parameter.numel()))  # ZeRO-3 leaves a process a part


def _fastest(place: torch.device) -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else place


def _bitsandbytes() -> Any:  # noqa: ANN401
    try:
        import bitsandbytes
    except ImportError as error:
        raise ValueError(
            f"4 bits need bitsandbytes, which cannot be imported ({error}); run `pip install -e '.[4bit]'`, or "
            "leave --load_in_4bit out"
        ) from error
    return bitsandbytes
