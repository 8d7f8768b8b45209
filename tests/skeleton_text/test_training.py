import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.synse import SynSE
from ski_lvlm.skeleton_text.training import CHECKPOINT, SynSESchedule, WordTable, train_synse

SCHEDULE = SynSESchedule(cycles=1, cycle_length=1700, batch_size=8, learning_rate=1e-4, seed=5)


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    table = FeatureTable(torch.rand(12, 6), torch.arange(12) % 3)
    words = WordTable(*F.normalize(torch.randn(2, 3, 7), dim=-1))
    return SynSE(6, 7, latent=4, has_word_relu=False), table, words


def test_classes_of_a_table_are_counted_anew():
    table = FeatureTable(torch.arange(6.0)[:, None], torch.tensor([0, 1, 2, 0, 1, 2]))
    part = table.of_classes([2, 0])
    assert part.features[:, 0].tolist() == [0, 2, 3, 5] and part.labels.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    "change", [{"cycle_length": 1500}, {"cycle_length": 100}, {"cycles": 0}, {"batch_size": 0}, {"learning_rate": 2.0}]
)
def test_a_schedule_that_trains_nothing_is_told(change, inputs, tmp_path):
    with pytest.raises(ValueError, match="--"):
        train_synse(*inputs, SCHEDULE._replace(**change), folder=tmp_path)


@pytest.mark.slow
def test_interrupted_it_ends_with_the_same_weights(inputs, tmp_path):
    model, table, words = inputs
    start = {name: value.clone() for name, value in model.state_dict().items()}
    train_synse(model, table, words, SCHEDULE, folder=tmp_path / "whole", accuracy=lambda _: 0.5)
    whole = {name: value.clone() for name, value in model.state_dict().items()}

    def stop(_):
        raise KeyboardInterrupt

    model.load_state_dict(start)
    with pytest.raises(KeyboardInterrupt):
        train_synse(model, table, words, SCHEDULE, folder=tmp_path / "cut", accuracy=stop)
    model.load_state_dict(start)
    progress = train_synse(model, table, words, SCHEDULE, folder=tmp_path / "cut", accuracy=lambda _: 0.5)
    assert progress.step == 1700 and progress.accuracies == [0.5] and progress.best_cycle == 1
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.items())
    assert not torch.equal(whole["noun_decoder.0.weight"], start["noun_decoder.0.weight"])


@pytest.mark.parametrize("content", [b"", b"PK", b"nonsense"])
def test_a_damaged_checkpoint_is_told(content, inputs, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged .*delete it to train again"):
        train_synse(*inputs, SCHEDULE, folder=tmp_path)


def test_a_checkpoint_of_another_training_is_told(inputs, tmp_path):
    torch.save({"model": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="is of another training"):
        train_synse(*inputs, SCHEDULE, folder=tmp_path)
