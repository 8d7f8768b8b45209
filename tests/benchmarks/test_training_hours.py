"""Hours by calculation: the formula, one count beside arithmetic, and the table of the documents."""

import re

import pytest

from benchmarks.stage_flops import vision_tower
from benchmarks.training_hours import Step, arguments, main, table
from ski_lvlm.dual_encoders.students import STUDENTS
from tests.cases.command_case import ROOT


def test_hours_are_operations_over_what_the_gpus_do():
    step = Step("a", flops=1e12, samples=3600, utilisation=0.5)
    assert step.hours(tflops=100, bandwidth=1, gpus=1) == pytest.approx(0.02)
    assert step.hours(tflops=100, bandwidth=1, gpus=4) == pytest.approx(0.005)
    reading = Step("a", flops=0, samples=3600, utilisation=0.5, new_tokens=10, token_bytes=6e9)
    assert reading.hours(tflops=100, bandwidth=1, gpus=1) == pytest.approx(0.1)
    assert table([step], 1).splitlines()[2].startswith("| a | 1,000 | 3,600 | 50% |")


@pytest.mark.slow
def test_a_count_is_that_of_arithmetic():
    width, tokens, layers = 1024, 257, 23
    products = layers * (24 * tokens * width**2 + 4 * tokens**2 * width)
    assert vision_tower(2) == pytest.approx(2 * (products + 2 * 256 * width * 3 * 14**2), rel=1e-3)


def test_the_documents_list_every_step():
    text = (ROOT / "docs/training.md").read_text()
    names = ["skeleton_pretrain", "skeleton_align", "features", "train_ski_lvlm.py", "describe", "score"]
    names += [f"{stage} {student}" for student in STUDENTS for stage in ("video_finetune", "distill")]
    assert not [name for name in names if not re.search(rf"^\| {name} \|.*%", text, re.MULTILINE)]


def test_a_utilisation_is_a_share():
    with pytest.raises(ValueError, match="--vit 40.0: expected a share"):
        main(["--vit", "40"])
    assert arguments([]).gpus == 8
