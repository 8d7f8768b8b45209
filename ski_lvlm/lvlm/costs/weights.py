"""Memory of weights, gradients and optimiser on one GPU, by the engine that shares them out."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ski_lvlm.llm.quantisation import linear_layers

ENGINES = {0: "DDP", 2: "ZeRO-2", 3: "ZeRO-3"}  # stage of ZeRO → its name
_4BIT = 0.5 + (1 + 4 / 256) / 64  # bytes of a weight: NF4, a scale in 8 bits for 64, a scale of those for 256
_GATHERED = 1e9  # weights that ZeRO-3 holds at once at most (DeepSpeed's stage3_max_live_parameters)
# Bytes of the optimiser's state for each byte of the weights. Sources: PyTorch, bitsandbytes.
_STATES = {"adamw_torch": 2.0, "adamw_torch_fused": 2.0, "sgd": 0.0}


@dataclass(frozen=True)
class Weights:
    """Weights of a model, without the optimiser's copies."""

    frozen: float  # bytes
    trained: float  # bytes, in the precision in which they are trained without DeepSpeed
    num_frozen: int
    num_trained: int
    largest_4bit: int = 0  # weights of the largest layer in 4 bits, which is unpacked for use

    @property
    def number(self) -> int:
        """Return the number of all weights."""
        return self.num_frozen + self.num_trained


def weights_of(llm: nn.Module, projectors: Iterable[nn.Module], *, is_4bit: bool) -> Weights:
    """Return the weights of a language model, which may lie on the meta device, and of its projectors."""
    parameters = [*llm.parameters(), *(p for projector in projectors for p in projector.parameters())]
    trained = [p for p in parameters if p.requires_grad]
    frozen = [p for p in parameters if not p.requires_grad]
    layers = [layer.weight for layer in linear_layers(llm).values()] if is_4bit else []  # type: ignore[arg-type]
    packed = [weight for weight in layers if not weight.requires_grad]
    saved = sum(weight.numel() * (weight.element_size() - _4BIT) for weight in packed)
    return Weights(
        frozen=float(sum(p.nbytes for p in frozen) - saved),
        trained=float(sum(p.nbytes for p in trained)),
        num_frozen=sum(p.numel() for p in frozen),
        num_trained=sum(p.numel() for p in trained),
        largest_4bit=max((weight.numel() for weight in packed), default=0),
    )


def engine_memory(
    weights: Weights, *, stage: int, gpus: int, optimiser: str, bytes_a_weight: int, llm_width: int
) -> dict[str, float]:
    """Return the bytes of weights, gradients, optimiser and buffers on each of `gpus` GPUs.

    `bytes_a_weight` is that of the engine's precision, `llm_width` sets the size of DeepSpeed's buckets.

    Raises:
        ValueError: an optimiser whose memory is not known here.
    """
    if optimiser not in _STATES:
        raise ValueError(f"--optim {optimiser}: its memory is unknown here; estimate with {' or '.join(_STATES)}")
    unpacked = 2.0 * weights.largest_4bit
    if stage == 0:
        buckets = weights.trained if gpus > 1 else 0.0  # DDP reduces copies of the gradients
        return {
            "weights": weights.frozen + weights.trained,
            "gradients": weights.trained,
            "optimiser": _STATES[optimiser] * weights.trained,
            "buffers": buckets + unpacked,
        }
    working = float(bytes_a_weight * weights.num_trained)
    buckets = 2.0 * bytes_a_weight * llm_width**2  # one is filled while the other is sent
    gathered = bytes_a_weight * min(_GATHERED, weights.number) if stage == 3 else 0.0
    copy = 4.0 * weights.num_trained  # in full precision, as are the optimiser's states
    return {
        "weights": (weights.frozen + working) / (gpus if stage == 3 else 1),
        "gradients": working / gpus,
        "optimiser": copy * (1 + _STATES[optimiser]) / gpus,
        "buffers": buckets + gathered + unpacked,
    }
