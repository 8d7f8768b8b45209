import math

import torch

from ski_lvlm.losses import cosine_similarity, language_cross_entropy


def test_similarity_is_the_cosine_whatever_the_lengths():
    z, z_t = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.5, 0.0], [0.0, 7.0], [-1.0, 0.0]])
    half = 1 / math.sqrt(2)
    expected = torch.tensor([[1.0, 0.0, -1.0], [half, half, -half]])
    assert torch.allclose(cosine_similarity(z, z_t), expected, atol=1e-6)
    assert torch.allclose(cosine_similarity(10 * z, z_t / 3), expected, atol=1e-6)


def test_equation_1_term_by_term():
    similarity, labels, tau = torch.tensor([[0.9, 0.1], [0.3, 0.2]]), torch.tensor([0, 1]), 0.07
    exp = [[math.exp(s / tau) for s in row] for row in similarity.tolist()]
    by_hand = -(math.log(exp[0][0] / sum(exp[0])) + math.log(exp[1][1] / sum(exp[1]))) / 2
    assert math.isclose(language_cross_entropy(similarity, labels, temperature=tau).item(), by_hand, rel_tol=1e-5)


def test_temperature_is_not_one():
    """The published code dropped it, which leaves the softmax nearly flat."""
    similarity, labels = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    sharp = language_cross_entropy(similarity, labels, temperature=0.07)
    flat = language_cross_entropy(similarity, labels, temperature=1.0)
    assert sharp < 1e-5 < 0.3 < flat
