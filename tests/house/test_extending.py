"""The recipes of docs/extending.md, applied to a copy of the repository and run end to end in miniature."""

import re
import shutil
import sys

import pytest

from tests.cases import lvlm_case
from tests.cases.command_case import ENVIRONMENT, ROOT, run

pytestmark = pytest.mark.slow
DIFFS = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL)
CODE = ("ski_lvlm", "data_curation", "eval")
QUICK = {"max_steps": 2, "batch_size": 2, "per_device_train_batch_size": 2, "dataloader_num_workers": 0}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Copy the code, with all recipes applied."""
    copy = tmp_path_factory.mktemp("repository")
    for name in CODE:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in ROOT.glob("train_*.py"):
        shutil.copy(script, copy)
    for diff in DIFFS:
        result = run(["git", "apply", "-"], stdin=diff, cwd=copy)
        assert result.returncode == 0, result.stderr
    return copy


def python(repository, *words):
    """Run Python with the copy's code, not with the installed one."""
    result = run([sys.executable, *map(str, words)], cwd=repository, env=ENVIRONMENT | {"PYTHONPATH": str(repository)})
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def flags(settings):
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def test_a_projector_is_trained_and_opened(repository, tmp_path):
    case, out = lvlm_case.write_case(tmp_path), tmp_path / "out"
    settings = {**case, **QUICK, "output_dir": out, "projector": "normed", "video_projector": "none"}
    python(repository, "train_ski_lvlm.py", *flags(settings))
    code = f"from ski_lvlm.lvlm.model import SkiLvlm; print(SkiLvlm.from_pretrained({str(out)!r}).projectors['video'])"
    assert "LayerNorm" in python(repository, "-c", code)
