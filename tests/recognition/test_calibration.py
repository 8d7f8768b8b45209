from itertools import pairwise

import numpy as np
import pytest
import torch

from ski_lvlm.recognition.accuracy import harmonic_mean
from ski_lvlm.recognition.calibration import choose_gamma, stacked

IS_SEEN = torch.tensor([True, True, False, False])


def scores_of(seed, *, clips=60):
    """Seen classes are ahead, as of a model that was trained on them."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (clips,), generator=random)
    scores = torch.randn(clips, 4, generator=random) + torch.tensor([1.5, 1.5, 0.0, 0.0])
    scores[torch.arange(clips), labels] += 1.2
    return scores, labels


def shares(scores, labels, gamma):
    is_right, is_of_seen = stacked(scores, IS_SEEN, gamma) == labels, IS_SEEN[labels]
    return is_right[is_of_seen].double().mean().item(), is_right[~is_of_seen].double().mean().item()


def test_a_hand_computed_example():
    """Leads of the seen classes are 0.25, 0.5, 0.75 and -0.5. Everything is right from 0.25 to 0.5."""
    scores = torch.tensor([[1.0, 0, 0.75, 0], [1.0, 0, 0, 0.5], [1.0, 0, 0.25, 0], [0, 0, 0, 0.5]])
    labels = torch.tensor([2, 0, 0, 3])
    best = choose_gamma(scores, labels, IS_SEEN)
    assert best == (0.375, 1.0, 1.0, 1.0)
    assert stacked(scores, IS_SEEN, best.gamma).tolist() == [2, 0, 0, 3]
    assert stacked(scores, IS_SEEN, 0.0).tolist() == [0, 0, 0, 3]
    assert stacked(scores, IS_SEEN, 0.5).tolist() == [2, 3, 0, 3]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_number_is_better(seed):
    scores, labels = scores_of(seed)
    best = choose_gamma(scores, labels, IS_SEEN)
    assert (best.seen, best.unseen) == pytest.approx(shares(scores, labels, best.gamma))
    leads = sorted({0.0, *(scores[:, :2].amax(1).double() - scores[:, 2:].amax(1).double()).tolist()})
    every = [leads[0] - 1, *leads, *((low + high) / 2 for low, high in pairwise(leads)), leads[-1] + 1]
    means = {gamma: harmonic_mean(*shares(scores, labels, gamma)) for gamma in every}
    assert best.harmonic_mean == pytest.approx(max(means.values()))
    closer = [gamma for gamma in every if abs(gamma) < abs(best.gamma)]
    equals = [gamma for gamma in closer if means[gamma] == pytest.approx(best.harmonic_mean, abs=1e-12)]
    assert all(shares(scores, labels, gamma) == shares(scores, labels, best.gamma) for gamma in equals)


def test_of_equally_good_numbers_it_is_the_middle_of_those_closest_to_0():
    """Unseen clips are right from 0.5 and from 2 on. Seen ones are lost at 1, 3 and 4."""
    leads = torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0])
    scores = torch.stack([leads, torch.full((5,), -9.0), torch.zeros(5), torch.full((5,), -9.0)], dim=1)
    labels = torch.tensor([2, 0, 2, 0, 0])
    best = choose_gamma(scores, labels, IS_SEEN)
    assert best.harmonic_mean == pytest.approx(harmonic_mean(2 / 3, 1.0)) and best.gamma == 2.5
    assert choose_gamma(scores, torch.tensor([0, 0, 0, 0, 2]), IS_SEEN).gamma == 0.0


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_seen_classes_are_raised_where_unseen_ones_win_too_often(shift):
    scores, labels = scores_of(4)
    moved = scores + torch.tensor([shift, shift, 0.0, 0.0])
    assert choose_gamma(moved, labels, IS_SEEN).gamma == pytest.approx(
        choose_gamma(scores, labels, IS_SEEN).gamma + shift, abs=1e-5
    )


def test_calibration_raises_the_harmonic_mean_of_a_model_that_prefers_seen_classes():
    scores, labels = scores_of(0, clips=400)
    assert choose_gamma(scores, labels, IS_SEEN).gamma > 0.5
    assert choose_gamma(scores, labels, IS_SEEN).harmonic_mean > harmonic_mean(*shares(scores, labels, 0.0)) + 0.05


@pytest.mark.parametrize("factor", [2.0**-10, 0.37, 64.0])
def test_another_scale_of_the_scores_changes_no_answer(factor):
    scores, labels = scores_of(1)
    one, other = choose_gamma(scores, labels, IS_SEEN), choose_gamma(scores * factor, labels, IS_SEEN)
    assert other.gamma == pytest.approx(one.gamma * factor, rel=1e-5)
    assert other[1:] == one[1:]


def test_a_number_added_to_all_scores_of_a_clip_changes_nothing():
    scores, labels = (scores_of(2)[0] * 1024).round() / 1024, scores_of(2)[1]
    shift = torch.arange(60.0)[:, None] / 4
    assert choose_gamma(scores + shift, labels, IS_SEEN) == choose_gamma(scores, labels, IS_SEEN)


def test_where_nothing_is_right_nothing_is_shifted():
    scores = torch.tensor([[0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5]])
    assert choose_gamma(scores, torch.tensor([0, 2]), IS_SEEN) == (0.0, 0.0, 0.0, 0.0)


def test_clips_of_both_kinds_are_needed():
    with pytest.raises(ValueError, match="found 2 clips of seen classes and 0 of held-out ones"):
        choose_gamma(torch.rand(2, 4), torch.tensor([0, 1]), IS_SEEN)


def test_the_order_of_clips_does_not_matter():
    scores, labels = scores_of(3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(60))
    assert choose_gamma(scores[order], labels[order], IS_SEEN) == choose_gamma(scores, labels, IS_SEEN)
