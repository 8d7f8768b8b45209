"""Small skeleton encoders whose parts all do something, which some of them do not at the start, and clips for them."""

import math

import torch

from ski_lvlm.encoders.skeleton_encoders import ENCODERS
from ski_lvlm.skeletons.layouts import LAYOUTS

SMALL = {
    "hyperformer": {"num_heads": 1, "head_dim": 12, "depth": 3, "strided": [2, 3]},
    "shift_gcn": {"widths": [8, 8, 12], "strided": [2, 3]},
    "st_gcn": {"widths": [8, 8, 12], "strided": [2, 3]},
}
WIDTH = 12
_IDLE = ("mask", "bias", "alpha", "group_weight", "hop_embedding", "joint_matrix")  # zeros at the start, or nearly


def narrow(name, **changes):
    torch.manual_seed(0)
    encoder = ENCODERS[name](**{"layout": LAYOUTS["ntu-25"], **SMALL[name], **changes})
    for part, weight in encoder.named_parameters():
        if part.endswith(_IDLE):
            torch.nn.init.uniform_(weight, -0.5, 0.5)
        elif part.endswith("offset"):
            torch.nn.init.uniform_(weight, -3.0, 3.0)
        elif name == "st_gcn" and part.endswith(("linear.weight", "conv.weight")):
            weight.data *= 3.0  # or clips hardly differ behind statistics that no batch has moved
    torch.nn.init.uniform_(encoder.entrance_norm.running_mean)
    return encoder


def clips(batch=2, frames=16, persons=2, joints=25, channels=3):
    return torch.randn(batch, frames, persons, joints, channels, generator=torch.Generator().manual_seed(1))


def without_joints(skeleton):
    """Return the clips with joints absent: a hand throughout the first, some more in single frames of the second."""
    skeleton = skeleton.clone()
    skeleton[0, :, 0, 7] = math.nan
    skeleton[1, 3:6, 0, 11:15] = math.nan
    skeleton[1, 8, 1, 20] = math.nan
    return skeleton
