"""Stand-in weights that are a function of a tensor's name, as the reference values of `tests/golden` were made with."""

import json
import zlib

import numpy as np
import torch

from tests.cases.command_case import ROOT

GOLDEN = ROOT / "tests" / "golden"


def fill_random(name, shape):
    size = int(np.prod(shape))
    wave = np.random.RandomState(zlib.crc32(name.encode())).uniform(-1.0, 1.0, size)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        wave = 1.0 + 0.3 * wave
    elif len(shape) <= 1:
        wave = 1.0 + 0.2 * wave if leaf == "weight" else 0.1 * wave
    else:
        wave = wave * 1.2 / np.sqrt(size / shape[0])
    return torch.from_numpy(wave.astype(np.float32).reshape(shape))


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
