import torch

from benchmarks.star_flops import folded_read, operations, plain_read, step
from ski_lvlm.skeleton_text.methods.part_reader import PartNetwork
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.parts import body_parts


def network_and_maps(*, width=48, queries=20):
    torch.manual_seed(0)
    parts = body_parts(LAYOUTS["ntu-25"])
    network = PartNetwork(16, 24, parts=parts, classes=3, queries=queries, width=width, hidden=8)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return network.double(), torch.rand(3, 16, 4, 25, dtype=torch.float64)


def test_the_plain_formulation_is_the_same_with_the_same_gradients():
    network, features = network_and_maps()
    losses, gradients = [], []
    for read in (plain_read, folded_read):
        losses.append(step(read, network, features))
        gradients.append({name: p.grad.clone() for name, p in network.readers.named_parameters()})
    plain, folded = gradients
    assert abs(losses[1] / losses[0] - 1) < 1e-10
    assert all((folded[name] - plain[name]).norm() < 1e-10 * plain[name].norm() for name in plain)


def test_it_takes_more_operations():
    network, features = network_and_maps()
    plain, folded = (operations(read, network, features) for read in (plain_read, folded_read))
    assert plain > 1.5 * folded
