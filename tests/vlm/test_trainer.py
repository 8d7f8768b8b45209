"""The Trainer of all stages, on a model small enough to do its sums by hand."""

import json

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from ski_lvlm.encoders.temporal_shift import TemporalShift
from ski_lvlm.training.trainer import JsonLines
from ski_lvlm.vlm.trainer import Stage, split_groups
from tests.cases.student_case import trainer


class Numbers(torch.utils.data.Dataset):
    """Sample k is the number k. The keys of all calls are remembered."""

    def __init__(self, count):
        self.count, self.keys = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, key):
        self.keys.append(key)
        return float(key[1])


class Slope(nn.Module):
    """loss = w x, whose gradient for w is the batch's mean x, and layers that stand for towers."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.tower, self.fresh_tower = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x, labels):
        idle = 0.0 * (self.tower(torch.ones(2)) + self.fresh_tower(torch.ones(2))).sum()
        parts = {"mean": x.mean()} | ({"of_zero": torch.ones(())} if 0.0 in x else {})
        return {"loss": self.w[0] * x.mean() + idle, "logits": x, **parts}


def collate(samples):
    return {"x": torch.tensor(samples), "labels": torch.zeros(len(samples), dtype=torch.long)}


FRESH = {"fresh_tower.weight", "fresh_tower.bias"}


def stage(count=10, **settings):
    return Stage(Slope(), Numbers(count), collate, "", save=lambda _: None, test=lambda _: {}, **settings)


def by_name(optimizer, model):
    """Rate and weight decay of every parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    groups = optimizer.param_groups
    return {names[id(p)]: (round(g["lr"], 6), g["weight_decay"]) for g in groups for p in g["params"]}


def test_what_was_not_pretrained_learns_faster_and_only_matrices_decay(tmp_path):
    one = stage(untrained=FRESH, untrained_rate=10.0)
    optimizer = trainer(one, tmp_path, weight_decay=0.5).create_optimizer()
    assert by_name(optimizer, one.loss) == {
        "w": (0.01, 0.0),
        "tower.weight": (0.01, 0.5),
        "tower.bias": (0.01, 0.0),
        "fresh_tower.weight": (0.1, 0.5),
        "fresh_tower.bias": (0.1, 0.0),
    }


def test_schedules_keep_the_ratio_of_the_rates(tmp_path):
    run = trainer(stage(untrained=FRESH, untrained_rate=10.0), tmp_path, warmup_steps=4, max_steps=8)
    run.create_optimizer_and_scheduler(num_training_steps=8)
    for _ in range(6):
        run.optimizer.step()
        run.lr_scheduler.step()
        slow, fast = (by_name(run.optimizer, run.model)[f"{name}.weight"][0] for name in ("tower", "fresh_tower"))
        assert 0 < slow <= 0.01 and fast == pytest.approx(10 * slow)


def test_weights_that_decay_more_than_others(tmp_path):
    one = stage(decay_multipliers={"tower.weight": 10.0, "tower.bias": 10.0})
    decays = {
        name: decay
        for name, (_, decay) in by_name(trainer(one, tmp_path, weight_decay=0.5).create_optimizer(), one.loss).items()
    }
    assert decays == {
        "w": 0.0,
        "tower.weight": 5.0,
        "tower.bias": 0.0,
        "fresh_tower.weight": 0.5,
        "fresh_tower.bias": 0.0,
    }


def test_shifts_in_time_know_the_parts_of_a_batch_and_refuse_scaled_gradients(tmp_path):
    one = stage()
    one.loss.shift = TemporalShift(2)
    trainer(one, tmp_path, batch_size=8, per_device_train_batch_size=2)
    assert one.loss.shift.num_parts == 4
    with pytest.raises(ValueError, match="--fp16 scales gradients.*use --bf16"):
        trainer(one, tmp_path, fp16=True)


def test_a_multiplier_of_one_leaves_the_groups_as_they_are(tmp_path):
    optimizer = trainer(stage(untrained=FRESH), tmp_path).create_optimizer()
    assert len(optimizer.param_groups) == 2 and {group["lr"] for group in optimizer.param_groups} == {0.01}


def test_groups_in_which_all_or_none_have_a_rate_of_their_own_stay_whole():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD([{"params": a.parameters(), "lr": 1.0}, {"params": b.parameters(), "lr": 2.0}])
    split_groups(optimizer, {id(p) for p in b.parameters()}, multiplier=3.0)
    assert [(len(group["params"]), group["lr"]) for group in optimizer.param_groups] == [(2, 1.0), (2, 6.0)]


@pytest.mark.slow
def test_the_first_clips_of_an_epoch_fill_up_its_last_batch(tmp_path):
    """Ten clips two at a time, four a step: the third step has the last two and the first two."""
    one = stage()
    short = {"per_device_train_batch_size": 2, "batch_size": 4, "max_steps": -1, "num_train_epochs": 1}
    run = trainer(one, tmp_path, optim="sgd", lr_scheduler_type="constant", **short)
    run.train()
    x = [float(clip) for _, clip in one.train.keys]
    assert run.state.global_step == 3 and sorted(x[:10]) == list(range(10)) and x[10:] == x[:2]
    assert one.loss.w.item() == pytest.approx(-0.01 * sum(x) / 4, rel=1e-5)


@pytest.fixture
def two_gpus(monkeypatch):
    """Two GPUs and no launcher, as the Trainer counts them. Whoever wraps a model for both fails."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(nn.DataParallel, "__init__", lambda *_: pytest.fail("the model is wrapped for several GPUs"))


@pytest.mark.slow
@pytest.mark.parametrize("per_device", [1, 2, 4])
@pytest.mark.parametrize("count", [8, 10])
def test_each_step_has_the_global_batch_though_the_machine_has_two_gpus(two_gpus, tmp_path, per_device, count):
    one = stage(count)
    short = {"per_device_train_batch_size": per_device, "batch_size": 4, "max_steps": -1, "num_train_epochs": 2}
    run = trainer(one, tmp_path, use_cpu=False, bf16=False, **short)
    run.args._n_gpu = 2
    steps = count_samples(run, one.loss)
    run.train()
    assert run.args.n_gpu == 1 and run.args.train_batch_size == per_device
    assert steps == [run.args.batch_size] * (4 if count == 8 else 6)


def count_samples(run, model):
    """Return a list that training fills with the number of samples in each step of the optimiser."""
    steps, samples = [], []
    model.register_forward_pre_hook(lambda _, args, inputs: samples.append(len(inputs["x"])), with_kwargs=True)

    class Steps(TrainerCallback):
        def on_step_end(self, *_, **__):
            steps.append(sum(samples))
            samples.clear()

    run.add_callback(Steps())
    return steps


@pytest.mark.slow
def test_every_epoch_sees_every_clip_once_in_an_order_of_its_own(tmp_path):
    one = stage()
    trainer(one, tmp_path, batch_size=2, per_device_train_batch_size=2, max_steps=-1, num_train_epochs=3).train()
    orders = [[clip for at, clip in one.train.keys if at == epoch] for epoch in range(3)]
    assert len(one.train.keys) == 30 and all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.slow
def test_each_line_of_the_log_has_the_means_of_the_losss_parts_since_the_last(tmp_path):
    one = stage()
    short = {"per_device_train_batch_size": 1, "batch_size": 1, "max_steps": 10, "logging_steps": 5}
    run = trainer(one, tmp_path, **short)
    run.add_callback(JsonLines(tmp_path / "metrics.jsonl"))
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert all({"samples_per_second", "data_wait_share"} < line.keys() for line in lines)
    assert not any("total_flos" in line for line in lines), "nobody counts this model's"
    x = [clip for _, clip in one.train.keys]
    assert [line["loss_mean"] for line in lines if "loss" in line] == pytest.approx([sum(x[:5]) / 5, sum(x[5:]) / 5])
    with_zero = [line["step"] for line in lines if "loss_of_zero" in line]
    assert with_zero == [5 if 0 in x[:5] else 10], "a part is the mean over the batches that have it"
