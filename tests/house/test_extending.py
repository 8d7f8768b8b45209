"""The recipes of docs/extending.md, applied to a copy of the repository and run end to end in miniature."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from ski_lvlm.storage.files import write_json
from tests.cases import lvlm_case, student_case
from tests.cases.command_case import ENVIRONMENT, ROOT, run

pytestmark = pytest.mark.slow
DIFFS = re.findall(r"^```diff\n(.*?)^```$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL)
CODE = ("ski_lvlm", "data_curation", "eval", "scripts")
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


def test_there_are_four_recipes():
    assert len(DIFFS) == 4


def test_a_student_is_fine_tuned_distilled_and_used(repository, tmp_path):
    case = student_case.write_case(tmp_path)
    tuned, distilled, out = tmp_path / "tuned", tmp_path / "distilled", tmp_path / "zero_shot"
    python(repository, "train_ski_vlm.py", *student_case.flags(case.finetune(), tuned, student="maxclip"))
    python(repository, "train_ski_vlm.py", *student_case.flags(case.distill(video_student=str(tuned)), distilled))
    assert json.loads((distilled / "student.json").read_text())["student"] == "maxclip"
    settings = {"classes": "sit down,stand up", "videos": case.ntu, "workers": 0, "out": out}
    python(repository, "eval/zero_shot.py", *flags({"model": distilled, **settings}))
    assert (out / "named_videos.json").is_file()


def test_a_judge_grades(repository, tmp_path):
    answers = {"a": "a man waves", "b": "a man sits"}
    records = [{"video_name": name, "Q": "?", "A": "a man waves", "pred": pred} for name, pred in answers.items()]
    write_json(tmp_path / "predictions.json", records)
    words = {"predictions": tmp_path / "predictions.json", "judge": "words", "out": tmp_path / "scores"}
    python(repository, "eval/score.py", *flags(words), "--metrics", "correctness", "--no_reference_metrics")
    scores = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert scores["judge"] == "words"
    assert scores["metrics"]["correctness"]["mean"] == pytest.approx(20 * (5 + 5 * 2 / 3) / 2, abs=0.1)


def test_a_projector_is_trained_and_opened(repository, tmp_path):
    case, out = lvlm_case.write_case(tmp_path), tmp_path / "out"
    settings = {**case, **QUICK, "output_dir": out, "projector": "normed", "video_projector": "none"}
    python(repository, "train_ski_lvlm.py", *flags(settings))
    code = f"from ski_lvlm.lvlm.model import SkiLvlm; print(SkiLvlm.from_pretrained({str(out)!r}).projectors['video'])"
    assert "LayerNorm" in python(repository, "-c", code)


def test_a_skeleton_data_set_is_converted(repository, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("wave_p03_1", "wave_p07_2", "clap_p03_1"):
        (tmp_path / "root").mkdir(exist_ok=True)
        np.save(tmp_path / "root" / f"{name}.npy", rng.normal(size=(8, 20, 3)))
    settings = {"kind": "gestures", "root": tmp_path / "root", "out": tmp_path / "out", "workers": 1}
    python(repository, "scripts/prepare.py", *flags(settings))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["skeletons"], report["classes"]) == (3, 2)
    assert report["protocols"] == {"xsub": {"train": 2, "test": 1}}
