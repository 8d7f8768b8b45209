"""Stand-in weights of the golden files whose matrices have full rank: a function of the tensor's name."""

import json

import numpy as np
import torch
from einops import rearrange

from ski_lvlm.encoders.shift_gcn import ShiftGCN, joint_shift
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.shift_gcn_weights import load_shift_gcn
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.reference_weights import GOLDEN, fill_random


def skeleton_input(*, clips, frames, joints=25, persons=2):
    """Return the golden files' skeletons, (B T M J 3)."""
    a, c, f, j, p = np.meshgrid(*(np.arange(n) for n in (clips, 3, frames, joints, persons)), indexing="ij")
    x = np.sin(0.11 * f * (1 + 0.3 * c) + 0.5 * j + 1.3 * a + 0.7 * p) * 0.4 + 0.05 * j - 0.3 * c + 0.2 * p
    return rearrange(torch.from_numpy(x.astype(np.float32)), "b c t j m -> b t m j c")


def released_shift_gcn(*, prefix=""):
    """Return Shift-GCN's stand-in weights in its authors' names, as part of a system that puts `prefix` before them."""
    shapes = json.loads((GOLDEN / "shift_gcn_keys.json").read_text())
    return {name: _shift_gcn_weight(prefix + name, tuple(shape)) for name, shape in shapes.items()}


def published_shift_gcn(*, prefix=""):
    """Return the published network with these weights, in evaluation mode."""
    model = ActionClassifier(ShiftGCN(layout=LAYOUTS["ntu-25"]), num_classes=60)
    load_shift_gcn(model, released_shift_gcn(prefix=prefix))
    return model.eval()


def _shift_gcn_weight(name, shape):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(("gcn1.shift_in", "gcn1.shift_out")):
        shift = joint_shift(25, shape[0] // 25)
        return shift if name.endswith("shift_in") else shift.argsort()
    factor = 40.0 if name.endswith("ypos") else 0.0 if name.endswith("xpos") else 1.0
    return fill_random(name, shape) * factor
