import math

import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.dual_encoders.language import InLanguage, cosine_similarity
from ski_lvlm.vlm.losses import (
    contrast,
    feature_distance,
    language_cross_entropy,
    language_distance,
    scaled,
)

TAUS = (0.1, 0.2)


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


def test_published_scale_is_the_product_with_unit_sentences():
    torch.manual_seed(0)
    z, z_t = torch.randn(3, 8), torch.randn(4, 8)
    products = scaled(InLanguage(z, cosine_similarity(z, z_t)), "published")
    assert torch.allclose(products, z @ F.normalize(z_t, dim=-1).T, atol=1e-5)


def test_mse_is_the_mean_squared_difference():
    f_lv, f_ls = torch.tensor([[0.5, 0.1]]), torch.tensor([[0.2, 0.5]])
    assert math.isclose(
        language_distance(f_lv, f_ls, kind="mse", temperatures=TAUS).item(), (0.09 + 0.16) / 2, rel_tol=1e-5
    )


def test_kl_is_from_the_skeleton_to_the_video_each_at_its_own_temperature():
    f_lv, f_ls = torch.tensor([[0.5, 0.1], [0.0, 0.3]]), torch.tensor([[0.2, 0.5], [0.4, 0.1]])
    video, skeleton = (F.softmax(f / tau, dim=-1) for f, tau in zip((f_lv, f_ls), TAUS, strict=True))
    by_hand = (skeleton * (skeleton / video).log()).sum(-1).mean()
    assert torch.allclose(language_distance(f_lv, f_ls, kind="kl", temperatures=TAUS), by_hand)
    assert not torch.allclose(language_distance(f_ls, f_lv, kind="kl", temperatures=TAUS), by_hand)


@pytest.mark.parametrize("kind", ["mse", "kl"])
def test_equal_similarities_have_no_distance(kind):
    f = torch.rand(3, 5)
    assert language_distance(f, f, kind=kind, temperatures=(0.1, 0.1)).abs() < 1e-6


@pytest.mark.parametrize("kind", ["mse", "kl", "contrastive"])
def test_both_sides_are_drawn_to_each_other(kind):
    f_lv, f_ls = torch.rand(3, 5, requires_grad=True), torch.rand(3, 5, requires_grad=True)
    language_distance(f_lv, f_ls, kind=kind, temperatures=TAUS).backward()
    assert f_lv.grad.abs().sum() > 0 and f_ls.grad.abs().sum() > 0


def test_contrast_wants_each_row_nearest_to_its_own():
    rows = torch.eye(4)
    right, wrong = contrast(rows, rows, temperature=0.1), contrast(rows, rows.roll(1, 0), temperature=0.1)
    assert right < 0.01 < 5 < wrong


def test_contrast_takes_a_whole_class_as_its_own():
    a, classes = torch.eye(3)[[0, 0, 1]], torch.tensor([0, 0, 1])
    with_classes = contrast(a, a, temperature=0.05, classes=classes)
    assert contrast(a, a, temperature=0.05) > 0.4  # two equal rows cannot both be the nearest
    assert math.isclose(with_classes.item(), 2 / 3 * math.log(2), abs_tol=1e-3)


def test_feature_distance_heeds_directions_only_and_not_the_number_of_channels():
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.3]])
    assert torch.allclose(feature_distance(a, b, kind="mse", temperature=0.1), torch.tensor(2.0))
    wide = feature_distance(a.repeat(1, 50), b.repeat(1, 50), kind="mse", temperature=0.1)
    assert torch.allclose(wide, torch.tensor(2.0), atol=1e-5)
