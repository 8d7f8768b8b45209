import pytest

from ski_lvlm.lvlm.skeleton_dropout import SkeletonDropout, dropout_shares
from ski_lvlm.training.epoch_sampler import EpochSampler, ProgressSampler, SampleKey
from tests.cases.lvlm_case import instruct_dataset

BATCH, SAMPLES, EPOCHS = 10, 195, 5  # 20 steps an epoch, the last of which begins the order again


def keys(epoch):
    sampler = EpochSampler(SAMPLES, seed=0, batch_size=BATCH)
    sampler.start_epoch(epoch)
    return list(ProgressSampler(sampler, num_steps=20 * EPOCHS))


def test_the_progress_is_that_of_the_optimiser_step_and_the_order_stays():
    training = [key for epoch in range(EPOCHS) for key in keys(epoch)]
    assert [key.progress for key in training] == [(place // BATCH) / 99 for place in range(1000)]
    sampler = EpochSampler(SAMPLES, seed=0, batch_size=BATCH)
    assert [key[:2] for key in keys(0)] == list(sampler)


def test_a_training_of_one_step_and_one_longer_than_announced():
    sampler = EpochSampler(2, seed=0, batch_size=2)
    assert [key.progress for key in ProgressSampler(sampler, num_steps=1)] == [0.0, 0.0]
    sampler.start_epoch(3)
    assert [key.progress for key in ProgressSampler(sampler, num_steps=1)] == [1.0, 1.0]


def test_the_share_moves_from_the_first_to_the_last():
    falling = SkeletonDropout(1.0, 0.0)
    drops = [[falling.drops(key) for key in keys(epoch)] for epoch in range(EPOCHS)]
    assert all(drops[0][:BATCH]) and not any(drops[-1][-BATCH:])
    numbers = [sum(of_epoch) for of_epoch in drops]
    assert numbers == sorted(numbers, reverse=True) and 400 < sum(numbers) < 600


def test_one_share_asks_for_no_step():
    constant = SkeletonDropout(0.3, 0.3, seed=4)
    for sample in range(50):
        assert constant.drops(SampleKey(2, sample, 0.0)) == constant.drops(SampleKey(2, sample, 1.0))


def test_a_sample_goes_with_or_without_its_skeleton_by_its_step(tmp_path):
    data = instruct_dataset(tmp_path, skeleton_dropout=0.0, last_skeleton_dropout=1.0)
    assert data.drops_skeletons
    assert set(data[SampleKey(0, 1, 0.0)].features) == set(data[1].features) == {"video", "skeleton"}
    assert set(data[SampleKey(0, 1, 1.0)].features) == {"video"}


@pytest.mark.parametrize("numbers", [[], [0.1, 0.2, 0.3], [-0.1], [0.5, 1.5], [float("nan")]])
def test_shares_beyond_0_and_1_are_refused(numbers):
    with pytest.raises(ValueError, match="--skeleton_dropout.*expected a share from 0 to 1, or two"):
        dropout_shares(numbers)


def test_a_moving_share_beside_groups_of_one_length_is_refused():
    assert dropout_shares([0.5, 0.5], strategy="group_by_length") == (0.5, 0.5)
    with pytest.raises(ValueError, match=r"0.9 0.1 beside --train_sampling_strategy group_by_length.*give one share"):
        dropout_shares([0.9, 0.1], strategy="group_by_length")
