"""Stage 4 with teachers of any kind out of their folders, alone and together."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student, read_card, skeleton_encoder_folder
from ski_lvlm.recognition.recogniser import skeleton_recogniser
from ski_lvlm.skeleton_text.folder import ENCODER, load_recogniser
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.vlm.distill import distill
from tests.cases.recognition_case import skeleton_run
from tests.cases.skeleton_case import SPLIT
from tests.cases.skeleton_text_case import skeleton_text_run
from tests.cases.student_case import changed, trainer, weights, write_case
from tests.cases.text_case import tiny_sentence_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("students"))


@pytest.fixture(scope="module")
def synse(case):
    return str(skeleton_text_run(case.folder / "synse", encoder=case.aligned, text=case.clip))


@pytest.fixture(scope="module")
def sentences(case):
    """A text encoder that takes whole sentences."""
    return tiny_sentence_encoder(case.folder / "sentences", max_tokens=77)


def by_scores(case, *teachers, **changes):
    return case.distill(**{"skeleton_clip": list(teachers), "teacher": "offline", **changes})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_teaches_by_its_scores_of_the_seen_names(case, sentences, tmp_path, method):
    folder = skeleton_text_run(tmp_path / method, encoder=case.aligned, text=sentences, method=method)
    stage = distill(by_scores(case, str(folder)), seed=0)
    present = [k for k, name in enumerate(stage.train.names) if name in stage.train.skeletons.packed]
    skeleton = stage.collate([stage.train[k] for k in present[:3]])["skeleton"]
    (teacher,) = stage.loss.teachers.members
    expected = load_recogniser(folder)(skeleton, SPLIT.seen).similarity
    assert torch.equal(teacher.similarities(skeleton), expected) and expected.shape == (3, 12)
    trainer(stage, tmp_path / "run", max_steps=1).train()
    accuracy = json.loads((folder / "result.json").read_text())["seen_test"]["top1"]
    assert stage.about.endswith(f"Taught by {method} (seen_test {accuracy:.1%}, chance 8.3%)")


@pytest.mark.parametrize("kinds", [("synse",), ("synse", "aligned"), ("aligned", "aligned")])
def test_the_student_learns_and_the_teachers_do_not(case, synse, tmp_path, kinds):
    folders = [{"synse": synse, "aligned": case.aligned}[kind] for kind in kinds]
    stage = distill(by_scores(case, *folders), seed=0)
    before, teachers = weights(stage.loss), weights(stage.loss.teachers)
    run = trainer(stage, tmp_path / "run", logging_steps=1)
    run.train()
    names = changed(before, stage.loss)
    assert names and all(name.startswith("student.") for name in names)
    assert len(stage.loss.teachers.members) == len(kinds) and not changed(teachers, stage.loss.teachers)
    logged = [line for line in run.state.log_history if "gradient_ratio" in line]
    assert len(logged) == 3 and all(line["gradient_ratio"] > 0 for line in logged)
    assert not stage.untrained


def test_the_folder_holds_the_student_alone_and_names_its_teachers(case, synse, tmp_path):
    stage = distill(by_scores(case, synse, case.aligned), seed=0)
    stage.save(tmp_path / "run")
    assert not (tmp_path / "run" / "skeleton_clip").exists()
    assert not changed(weights(stage.loss.student), load_student(tmp_path / "run")[0])
    notes = read_card(tmp_path / "run", StudentCard).teachers
    assert [(note["method"], note["folder"]) for note in notes] == [("synse", synse), ("skeleton_clip", case.aligned)]
    assert stage.origin == {"teachers": [f"{note['method']} {note['digest']}" for note in notes]}
    with pytest.raises(ValueError, match=r"holds a student alone.*synse in .*/synse and skeleton_clip in .*--model .*"):
        skeleton_recogniser(tmp_path / "run", PackedSkeletons.open(case.folder / "prepared"))


def test_the_encoder_of_a_skeleton_text_run_gives_tokens_too(synse):
    """As scripts/extract_features.py opens it."""
    assert skeleton_encoder_folder(Path(synse)) == Path(synse) / ENCODER


def test_other_weights_are_another_origin(case, synse, tmp_path):
    other = skeleton_text_run(tmp_path / "synse", encoder=case.aligned, text=case.clip, seed=6)
    copy = shutil.copytree(synse, tmp_path / "copy")
    origins = [distill(by_scores(case, str(folder)), seed=0).origin for folder in (synse, other, copy)]
    assert origins[0] == origins[2] != origins[1]


def test_nobody_with_a_skeleton_needs_no_teacher(case, synse, tmp_path):
    stage = distill(by_scores(case, synse), seed=0)
    absent = [k for k, name in enumerate(stage.train.names) if name not in stage.train.skeletons.packed]
    parts = stage.loss.train()(**stage.collate([stage.train[k] for k in absent[:3]]))
    assert torch.equal(parts["loss"], parts["video"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "online"}, "synse teaches by scores alone and cannot learn .*; pass --teacher offline"),
        (
            {"level": "feature"},
            "--level feature needs features in the language space; leave --level logit, or give one",
        ),
        ({"level": "feature_projected"}, "--level feature_projected needs features in the language space"),
        (
            {"alignment": "tri_modal"},
            "--alignment tri_modal needs features in the language space; leave --alignment scd",
        ),
        ({"alignment": "cross_projection"}, "--alignment cross_projection needs features"),
        ({"alignment": "fusion"}, "--alignment fusion needs features"),
        ({"batch_norm": "trained"}, "an offline teacher learns nothing"),
        ({"teacher_text": "trainable"}, "an offline teacher learns nothing"),
        ({"teacher_text_encoder": "minilm"}, "leave out --teacher_text_encoder"),
        ({"split": "synthetic/1"}, "was trained on other actions than the seen ones of synthetic/1"),
    ],
)
def test_what_scores_cannot_do_is_told(case, synse, change, message):
    with pytest.raises(ValueError, match=message):
        distill(by_scores(case, synse, **change), seed=0)


def test_teachers_that_see_other_skeletons_are_refused(case, synse, tmp_path):
    with pytest.raises(ValueError, match="together teach by scores alone"):
        distill(by_scores(case, synse, case.aligned, teacher="online"), seed=0)
    for name, change, message in (
        ("longer", {"num_frames": 16}, "longer reads 16 frames of a skeleton, .*synse 8; teachers of one student"),
        ("bones", {"preprocessing": {"streams": ["bone"]}}, "bones reads skeletons otherwise than .*streams"),
        ("unaligned", {"text_encoder": None}, "without a text encoder; align it with"),
    ):
        other = skeleton_run(tmp_path / name, text=case.clip)
        card = json.loads((other / "skeleton_encoder.json").read_text())
        change = {key: {**card[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
        (other / "skeleton_encoder.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(ValueError, match=message):
            distill(by_scores(case, synse, str(other)), seed=0)


def test_a_teacher_of_other_classes_is_refused(case, synse, tmp_path):
    folder = shutil.copytree(synse, tmp_path / "synse")
    card = json.loads((folder / "skeleton_text.json").read_text())
    (folder / "skeleton_text.json").write_text(json.dumps({**card, "seen": card["seen"][1:]}))
    with pytest.raises(ValueError, match="was trained on other actions than the seen ones of synthetic"):
        distill(by_scores(case, str(folder)), seed=0)
