import json

import pytest
import torch

from ski_lvlm.training import accumulation_steps, write_run


@pytest.mark.parametrize(("per_device", "processes", "expected"), [(4, 8, 1), (4, 4, 2), (4, 1, 8), (32, 1, 1)])
def test_the_global_batch_stays_32_on_any_number_of_gpus(per_device, processes, expected):
    assert accumulation_steps(batch_size=32, per_device=per_device, processes=processes) == expected


@pytest.mark.parametrize(("per_device", "processes"), [(3, 1), (4, 9), (64, 1)])
def test_a_batch_that_cannot_be_made_is_an_error(per_device, processes):
    with pytest.raises(ValueError, match="global batch of 32"):
        accumulation_steps(batch_size=32, per_device=per_device, processes=processes)


def test_a_run_leaves_recipe_seed_and_versions(tmp_path):
    write_run(tmp_path, recipe={"batch_size": 32}, seed=7)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 7
    assert run["versions"]["torch"] == torch.__version__
    assert json.loads((tmp_path / "recipe.json").read_text()) == {"batch_size": 32}
