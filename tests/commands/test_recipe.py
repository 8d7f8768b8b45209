import ast
import dataclasses
import sys
from pathlib import Path

import pytest

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
