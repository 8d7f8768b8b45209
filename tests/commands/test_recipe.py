import ast
import dataclasses
import sys
from pathlib import Path

import pytest

import train_ski_vlm
from ski_lvlm import recipe

RECIPES = [value for value in vars(recipe).values() if dataclasses.is_dataclass(value)]


def test_imports_nothing_but_the_standard_library():
    tree = ast.parse(Path(recipe.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert modules <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("one", RECIPES)
def test_every_setting_explains_itself_and_none_can_be_changed(one):
    assert all(setting.metadata.get("help") for setting in dataclasses.fields(one))
    with pytest.raises(dataclasses.FrozenInstanceError):
        one().batch_size = 1


def test_the_papers_values():
    pretrain, align = recipe.SKELETON_PRETRAIN_SCHEDULE, recipe.SKELETON_ALIGN_SCHEDULE
    assert (pretrain["num_train_epochs"], align["num_train_epochs"]) == (140, 100)
    assert (align["learning_rate"], align["lr_scheduler_type"]) == (2.25e-5, "cosine")
    stage = recipe.SkeletonPretrainRecipe()
    assert stage.num_heads * stage.head_dim == 216
    assert (stage.depth, stage.strided) == (10, [5, 8])


def test_shift_gcn_and_st_gcn_train_as_their_authors_train_them():
    stage, chosen, args = train_ski_vlm.parse(["--stage", "skeleton_pretrain", "--encoder", "shift_gcn"])
    assert (stage, chosen.encoder, chosen.decay_at) == (
        "skeleton_pretrain",
        "shift_gcn",
        [60 / 140, 80 / 140, 100 / 140],
    )
    assert (args.learning_rate, args.weight_decay, args.warmup_steps, args.seed) == (0.1, 1e-4, 0, 1)
    stage, chosen, args = train_ski_vlm.parse(["--stage", "skeleton_pretrain", "--encoder", "st_gcn"])
    assert (chosen.widths[-1], chosen.num_frames, args.num_train_epochs, args.batch_size) == (256, 50, 150, 128)
    assert (args.learning_rate, args.weight_decay, args.lr_scheduler_type, args.seed) == (5e-3, 0.0, "cosine", 5277)
    assert (args.optim, args.optim_args, args.warmup_steps) == ("adamw_torch", None, 0)
    _, usual, usual_args = train_ski_vlm.parse(["--stage", "skeleton_pretrain"])
    assert usual == recipe.SkeletonPretrainRecipe() and usual_args.learning_rate == 0.025
