import numpy as np
import pytest

from ski_lvlm.training.checkpoints import lengths_for
from ski_lvlm.training.epoch_sampler import EpochSampler

LENGTHS = np.random.default_rng(0).integers(100, 800, 5000)


def order(epoch=0, *, num_samples=5000, batch_size=32, lengths=LENGTHS, seed=1):
    sampler = EpochSampler(
        num_samples, seed=seed, batch_size=batch_size, lengths=None if lengths is None else lambda _: lengths
    )
    sampler.start_epoch(epoch)
    pairs = list(sampler)
    assert len(pairs) == len(sampler) and {k for k, _ in pairs} == {epoch}
    return np.array([sample for _, sample in pairs])


def useful_share(samples, size):
    batches = LENGTHS[samples].reshape(-1, size)
    return batches.sum() / (batches.max(axis=1) * size).sum()


def test_grouped_samples_need_little_padding_and_are_the_same_ones():
    grouped, random = order(), order(lengths=None)
    assert sorted(grouped) == sorted(random)  # those that fill up the last step too
    assert useful_share(random, 4) < 0.8
    assert useful_share(grouped, 4) > 0.99 and useful_share(grouped, 32) > 0.98


def test_the_order_of_a_group_follows_from_seed_and_epoch_alone():
    assert (order(2) == order(2)).all()
    assert (order(2) != order(3)).any() and (order(2) != order(2, seed=2)).any()
    longest = LENGTHS[order(2)].reshape(-1, 32).max(axis=1)
    assert longest[0] == LENGTHS.max()  # memory runs out at once or never
    assert abs(np.corrcoef(longest[1:], np.arange(len(longest) - 1))[0, 1]) < 0.3  # no course from long to short


def test_lengths_are_asked_for_each_epoch():
    epochs = []
    sampler = EpochSampler(4, seed=0, lengths=lambda epoch: epochs.append(epoch) or np.arange(4))
    for epoch in (0, 3):
        sampler.start_epoch(epoch)
        list(sampler)
    assert epochs == [0, 3]


@pytest.mark.parametrize(("num_samples", "batch_size"), [(1, 4), (5, 4), (4, 4), (3, 1)])
def test_few_samples_fill_whole_steps(num_samples, batch_size):
    samples = order(num_samples=num_samples, batch_size=batch_size, lengths=np.arange(num_samples))
    assert set(samples) == set(range(num_samples)) and len(samples) % batch_size == 0


def test_strategies_that_nobody_carries_out_are_refused():
    assert lengths_for("random", object()) is None
    with pytest.raises(ValueError, match="--train_sampling_strategy sequential: expected random or group_by_length"):
        lengths_for("sequential", object())
    with pytest.raises(ValueError, match="nobody knows the lengths of these samples; leave the flag"):
        lengths_for("group_by_length", object())
