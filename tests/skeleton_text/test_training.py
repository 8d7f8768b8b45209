import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.method import Sizes
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.training import CHECKPOINT, Schedule, train

# Rounds that are long enough for SynSE's cycles, or epochs of 1 step.
SCHEDULES = {
    "synse": Schedule(rounds=1, round_length=1700, batch_size=8, learning_rate=1e-4, seed=5),
    "msf": Schedule(rounds=1, round_length=1700, batch_size=8, learning_rate=1e-4, seed=5),
    "smie": Schedule(rounds=4, round_length=300, batch_size=8, learning_rate=1e-3, seed=0),
}


def start(method, *, texts=2):
    torch.manual_seed(0)
    table = FeatureTable.of(torch.rand(12, 6), torch.arange(12) % 3)
    vectors = F.normalize(torch.randn(3, texts, 7), dim=-1)
    sizes = Sizes(skeleton_width=6, text_width=7, num_texts=texts, num_classes=3, latent=4)
    return METHODS[method](sizes, published=frozenset(), seed=5), table, vectors


def test_classes_of_a_table_are_counted_anew():
    table = FeatureTable.of(torch.arange(6.0)[:, None], torch.tensor([0, 1, 2, 0, 1, 2]))
    part = table.of_classes([2, 0])
    assert part.batch(torch.arange(4))[:, 0].tolist() == [0, 2, 3, 5] and part.labels.tolist() == [1, 0, 1, 0]
    again = part.of_classes([1])
    assert len(again) == 2 and [rows.tolist() for rows in again.batches(1)] == [[[0.0]], [[3.0]]]


def test_an_epoch_has_every_clip_once_and_no_incomplete_batch(tmp_path):
    model, table, texts = start("smie")
    batches = []
    model.loss = lambda features, labels, texts, **_: (
        batches.append(features) or sum(p.sum() for p in model.parameters())
    )
    train(model, table, texts, SCHEDULES["smie"]._replace(rounds=1, round_length=0, batch_size=5), folder=tmp_path)
    rows = torch.cat(batches)
    assert [len(batch) for batch in batches] == [5, 5] and len(rows.unique(dim=0)) == 10


@pytest.mark.parametrize(
    "change", [{"round_length": 1500}, {"round_length": 100}, {"rounds": -1}, {"batch_size": 0}, {"learning_rate": 2.0}]
)
def test_a_schedule_that_trains_nothing_is_refused(change, tmp_path):
    with pytest.raises(ValueError, match="--"):
        train(*start("synse"), SCHEDULES["synse"]._replace(**change), folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", SCHEDULES)
def test_interrupted_it_ends_with_the_same_weights(method, tmp_path):
    model, table, texts = start(method)
    schedule, initial = SCHEDULES[method], {name: value.clone() for name, value in model.state_dict().items()}
    train(model, table, texts, schedule, folder=tmp_path / "whole", accuracy=lambda _: 0.5)
    whole = {name: value.clone() for name, value in model.state_dict().items()}

    def stop(_):
        raise KeyboardInterrupt

    model.load_state_dict(initial)
    with pytest.raises(KeyboardInterrupt):
        train(model, table, texts, schedule, folder=tmp_path / "cut", accuracy=stop)
    model.load_state_dict(initial)
    progress = train(model, table, texts, schedule, folder=tmp_path / "cut", accuracy=lambda _: 0.5)
    assert progress.step == schedule.rounds * schedule.round_length
    assert progress.best_round == (2 if method == "smie" else 1), "SMIE's first round has the rate 0"
    assert progress.accuracies == [0.5] * schedule.rounds
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.items())
    assert any(not torch.equal(value, initial[name]) for name, value in whole.items())


def test_it_ends_after_the_chosen_round_at_the_rates_of_all_rounds(tmp_path):
    model, table, texts = start("smie")
    schedule, weights = SCHEDULES["smie"]._replace(round_length=2), []
    keep = lambda model: weights.append(model.network.layers[0].weight.clone()) or 0.0  # noqa: E731
    train(model, table, texts, schedule, folder=tmp_path / "all", accuracy=keep)
    model, table, texts = start("smie")
    train(model, table, texts, schedule, folder=tmp_path / "two", last_round=2)
    assert torch.equal(model.network.layers[0].weight, weights[1])


@pytest.mark.parametrize("content", [b"", b"PK", b"nonsense"])
def test_a_damaged_checkpoint_is_refused(content, tmp_path):
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged .*delete it to train again"):
        train(*start("synse"), SCHEDULES["synse"], folder=tmp_path)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    torch.save({"model": {}}, tmp_path / CHECKPOINT)
    with pytest.raises(ValueError, match="is of another training"):
        train(*start("synse"), SCHEDULES["synse"], folder=tmp_path)
