"""Students as files for other runtimes: the same logits, any batch, and a file that says what it takes."""

import importlib.util
import json
import re

import numpy as np
import pytest
import torch

from scripts.export import arguments, class_names
from scripts.export import main as export
from ski_lvlm.dual_encoders.checkpoints import load_student
from ski_lvlm.dual_encoders.students import STUDENTS, build_student, freeze_towers
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.recognition.export.classifier import ClipClassifier
from ski_lvlm.recognition.export.formats import FORMATS, program_of
from ski_lvlm.recognition.export.student import largest_difference
from tests.cases.command_case import ROOT
from tests.cases.student_case import write_case
from tests.cases.text_case import tiny_siglip
from tests.cases.video_case import numbered, write_video

pytestmark = pytest.mark.slow

CLASSES = ["drink water", "hand waving", "kicking something"]
HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="the packages of the extra 'export' are absent")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("case"))


def exported(student, out, *flags, to="exported_program"):
    assert (
        export(["--student", student, "--to", to, "--classes", *CLASSES, "--out", str(out), "--rounds", "1", *flags])
        == 0
    )
    return json.loads((out / "student.json").read_text())


def logits_of(folder, frames):
    student, card = load_student(folder)
    similarity = student(frames, class_prompts(CLASSES, template=card.prompt)).similarity
    return (similarity / student.temperature).detach()


def clips(facts, number):
    shape = [number, *facts["input"]["shape"][1:]]
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(number))


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_program_has_the_students_logits_for_any_number_of_clips(case, tmp_path, kind, capsys):
    video = write_video(tmp_path / "clip.mp4", numbered(6))
    facts = exported(case.student(kind), tmp_path / "out", "--clip", str(video))
    assert "logits as PyTorch's to" in capsys.readouterr().out
    assert facts["classes"] == CLASSES and facts["compared_on"] == "clip.mp4"
    assert facts["input"]["shape"] == ["batch", 2, 3, 8, 8] and facts["output"]["shape"] == ["batch", 3]
    assert facts["mean"] == pytest.approx([0.481455, 0.457828, 0.408211])
    assert facts["temperature"] == pytest.approx(np.exp(-3), rel=1e-4)
    assert set(facts["cpu_seconds_a_clip"]) == {"pytorch", "exported_program", "threads", "rounds"}
    run = FORMATS["exported_program"].open(tmp_path / "out" / facts["file"])
    for number in (1, 3):
        frames = clips(facts, number)
        assert torch.allclose(run(frames), logits_of(case.folder / kind, frames), atol=1e-4)


@needs_onnx
def test_an_onnx_file_has_the_students_logits_and_the_documents_run_it(case, tmp_path, monkeypatch, capsys):
    import onnxruntime

    facts = exported(case.student("xclip"), tmp_path, to="onnx")
    session = onnxruntime.InferenceSession(tmp_path / facts["file"])
    for number in (1, 3):
        frames = clips(facts, number)
        (logits,) = session.run(None, {"frames": frames.numpy()})
        assert np.allclose(logits, logits_of(case.folder / "xclip", frames), atol=1e-4)
    (example,) = re.findall(r"```python\n(import json\n.*?)```", (ROOT / "docs/training.md").read_text(), re.DOTALL)
    assert "torch" not in example and "ski_lvlm" not in example
    np.save(tmp_path / "video.npy", np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(example, "docs/training.md", "exec"), {})
    answer = capsys.readouterr().out
    assert any(answer.startswith(name) for name in CLASSES)


def test_the_offline_backbone_is_traced_too():
    student = build_student("xclip", backbone="efficientnet-lite0", text_encoder="minilm", num_frames=2, side=32).eval()
    check_program(student)


def test_siglip_is_traced_too(tmp_path):
    check_program(build_student("vificlip", backbone=tiny_siglip(tmp_path), num_frames=2).eval())


def test_a_frozen_tower_is_in_the_file(case):
    student = build_student("vificlip", backbone=case.clip, num_frames=2).eval()
    freeze_towers(student, "video")
    check_program(student)


def check_program(student):
    classifier = ClipClassifier(student, CLASSES)
    frames = torch.randint(0, 256, (2, 2, 3, student.side, student.side), dtype=torch.uint8)
    program = program_of(classifier, frames)
    assert sum(p.numel() for p in program.state_dict.values()) < sum(p.numel() for p in student.parameters())
    expected = (student(frames, CLASSES).similarity / student.temperature).detach()
    for part in (frames, frames[:1]):
        assert torch.allclose(program.module()(part).detach(), expected[: len(part)], atol=1e-4)


def test_other_logits_are_refused():
    logits = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="differ from PyTorch's by 1.0e-03, expected at most 0.0001"):
        largest_difference(logits + 0.001, logits)
    with pytest.raises(ValueError, match="differ"):
        largest_difference(logits * torch.nan, logits)


def test_names_may_come_from_a_file_or_with_commas(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("drink water\n\nhand waving\n", encoding="utf-8-sig")
    words = ["--student", "s", "--to", "onnx", "--out", "out"]
    for source in (["--class_file", str(names)], ["--classes", "drink water, hand waving"]):
        assert class_names(arguments([*words, *source])) == ["drink water", "hand waving"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--student", "s", "--to", "merged"], "--student beside --to merged: expected --to onnx or exported_program"),
        (["--model", "m", "--to", "onnx"], "--model beside --to onnx: expected --to merged or adapter"),
        (["--model", "m", "--to", "adapter", "--dtype", "float16"], "--dtype does nothing there"),
        (["--model", "m", "--to", "merged", "--classes", "a", "b"], "--classes does nothing there"),
        (["--student", "s", "--to", "onnx"], "give either --classes or --class_file"),
        (["--student", "s", "--to", "onnx", "--classes", "a", "a"], "expected at least two different names"),
    ],
)  # fmt: skip
def test_flags_that_contradict_are_refused(flags, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        export([*flags, "--out", "out"])


def test_missing_packages_are_named(case, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx, onnxscript, onnxruntime, expected the extra 'export'"):
        export(["--student", case.student(), "--to", "onnx", "--classes", *CLASSES, "--out", str(tmp_path)])
