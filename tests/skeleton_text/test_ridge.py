import numpy as np
import pytest
import torch

from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import Sizes
from ski_lvlm.skeleton_text.methods.ridge import Ridge
from ski_lvlm.skeleton_text.training import Schedule, train

SIZES = Sizes(skeleton_width=5, text_width=4, num_texts=2, num_classes=6)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return FeatureTable.of(torch.rand(40, 5) * 3 + 1, torch.arange(40) % 6), torch.randn(6, 2, 4)


def test_the_map_solves_the_penalised_least_squares(inputs, tmp_path):
    table, texts = inputs
    method = Ridge(SIZES, published=frozenset(), seed=0)
    train(method, table, texts, Schedule(0, 0, 1, 0.5, 0), folder=tmp_path)
    standard = (table.features - table.features.mean(0)) / table.features.std(0, correction=0)
    means = torch.stack([standard[table.labels == label].mean(0) for label in range(6)])
    ones, penalty = np.ones((6, 1)), np.eye(5, 6)  # the intercept's column has no penalty
    rows = np.vstack([np.hstack([means, ones]), penalty]), np.vstack([texts.flatten(1), np.zeros((5, 8))])
    mapped = np.hstack([standard, np.ones((40, 1))]) @ np.linalg.lstsq(*rows, rcond=None)[0]
    new = torch.randn(3, 2, 4)
    expected = torch.nn.functional.cosine_similarity(torch.tensor(mapped)[:, None], new.flatten(1)[None], dim=-1)
    assert torch.allclose(method.scorer(new)(table.features), expected.float(), atol=1e-5)
    assert not list(tmp_path.iterdir())


def test_classes_without_clips_weigh_nothing(inputs, tmp_path):
    table, texts = inputs
    schedule, weights = Schedule(0, 0, 1, 0.5, 0), []
    for vectors in (texts, torch.cat([texts, torch.randn(1, 2, 4)])):
        method = Ridge(SIZES, published=frozenset(), seed=0)
        train(method, table, vectors, schedule, folder=tmp_path)
        weights.append(method.weight)
    assert torch.equal(*weights)


def test_it_has_no_steps(inputs, tmp_path):
    table, texts = inputs
    method = Ridge(SIZES, published=frozenset(), seed=0)
    with pytest.raises(ValueError, match="--rounds 1: ridge has a closed form and no steps; leave it 0"):
        train(method, table, texts, Schedule(1, 0, 1, 0.5, 0), folder=tmp_path)
