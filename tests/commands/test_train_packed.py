"""The real command with samples in one row, and with samples grouped by length."""

import json
import shutil

import pytest

from tests.cases.command_case import ROOT
from tests.cases.lvlm_case import CLIPS, write_case, write_instructions
from tests.cases.lvlm_commands import losses, needs_compiler, projectors, same, train_here, train_in_ranks

pytestmark = pytest.mark.slow
UNEQUAL = {"per_device_train_batch_size": 4, "num_train_epochs": 3, "skeleton_dropout": 0.5}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Write a case of eight samples, two of them without skeletons and one with a longer answer."""
    folder = tmp_path_factory.mktemp("packed")
    case = write_case(folder)
    file = write_instructions(folder / "unequal.json", tuple(CLIPS) * 2, video_only=CLIPS[:1])
    records = json.loads(file.read_text())
    records[1]["conversations"][1]["value"] += " Then it does it again, and once more."
    file.write_text(json.dumps(records))
    return case | {"instructions": str(file)}


def train(case, out, **settings):
    train_here(case, out, **UNEQUAL | settings)


@pytest.fixture(scope="module")
def padded(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("padded") / "out"
    train(case, out)
    return out


def shares(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["useful_share"] for line in lines if "useful_share" in line]


def assert_same_losses(out, expected):
    actual, expected = losses(out), losses(expected)
    assert actual.keys() == expected.keys()
    assert max(abs(actual[step] - expected[step]) for step in actual) < 1e-4


def test_rows_train_as_padded_samples_do(case, padded, tmp_path):
    train(case, tmp_path / "out", packing=True)
    assert_same_losses(tmp_path / "out", padded)
    assert set(shares(tmp_path / "out")) == {1.0} and min(shares(padded)) < 1.0


@needs_compiler
def test_rows_under_zero_2_in_two_processes_train_as_padded_samples_in_one(case, padded, tmp_path):
    settings = UNEQUAL | {"per_device_train_batch_size": 2, "packing": True, "deepspeed": ROOT / "zero2.json"}
    result = train_in_ranks(case, tmp_path / "out", **settings)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same_losses(tmp_path / "out", padded)
    assert set(shares(tmp_path / "out")) == {1.0}


def test_grouped_samples_resume_bit_for_bit_with_other_processes_worth_of_samples(case, padded, tmp_path):
    grouped = {"train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 2}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(case, whole, **grouped)
    shutil.copytree(whole, resumed)
    (resumed / "result.json").unlink()
    shutil.rmtree(resumed / "checkpoint-6")  # in the middle of the last epoch
    train(case, resumed, **grouped)
    assert same(projectors(whole), projectors(resumed))
    train(case, tmp_path / "fours", **grouped | {"per_device_train_batch_size": 4})
    assert_same_losses(tmp_path / "fours", whole)
    assert sum(shares(whole)) > sum(shares(padded))
    with pytest.raises(ValueError, match="begun with other settings .train_sampling_strategy 'group_by_length', now"):
        train(case, whole)
