"""Stand-in weights that are a function of a tensor's name, as the reference values of `tests/golden` were made with."""

import json
import math
import zlib

import numpy as np
import torch

from tests.cases.command_case import ROOT

GOLDEN = ROOT / "tests" / "golden"


def fill_random(name, shape):
    """Return the golden files' weight, as stated in their notes."""
    return _scaled(np.random.RandomState(zlib.crc32(name.encode())).uniform(-1.0, 1.0, math.prod(shape)), name, shape)


def wave_weight(name, shape):
    """Return the golden file's weight, a function of the tensor's name (stated in the reference's notes)."""
    k = np.arange(math.prod(shape), dtype=np.float64)
    seed = zlib.crc32(name.encode()) % 10007
    return _scaled(np.sin(k * 0.7310585 + seed) * 0.6 + np.sin(k * 0.1234567 + 2.0 * seed) * 0.4, name, shape)


def _scaled(wave, name, shape):
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        value = 1.0 + 0.3 * wave
    elif len(shape) <= 1:
        value = 1.0 + 0.2 * wave if leaf == "weight" else 0.1 * wave
    else:
        value = wave * 1.2 / np.sqrt(wave.size / shape[0])
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


def hyperformer_weights():
    """Return the weights of the golden Hyperformer by published name."""
    shapes = json.loads((GOLDEN / "hyperformer_keys.json").read_text())
    return {
        name: torch.tensor(0) if name.endswith("num_batches_tracked") else wave_weight(name, tuple(shape))
        for name, shape in shapes.items()
    }


def reference(system):
    """Return a system's golden arrays as tensors (float16 ones widened), and its weights by published name."""
    with np.load(GOLDEN / f"{system}_golden.npz", allow_pickle=False) as file:
        arrays = {
            name: torch.from_numpy(np.asarray(file[name])) for name in file.files if file[name].dtype.kind in "iuf"
        }
    arrays = {name: value.float() if value.dtype == torch.float16 else value for name, value in arrays.items()}
    keys = json.loads((GOLDEN / f"{system}_keys.json").read_text())
    return arrays, {name: fill_random(name, shape) for name, shape in keys.items()}


def relative(value, expected):
    """Return the largest difference, relative to the largest expected value."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return float((torch.as_tensor(value, dtype=torch.float64) - expected).abs().max() / expected.abs().max())
