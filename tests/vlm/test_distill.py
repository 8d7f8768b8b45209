"""Stage 4 on tiny models: who learns and who does not, clips without skeletons, and what is refused."""

import json
import shutil

import pytest

from ski_lvlm.datasets.selection import select
from ski_lvlm.dual_encoders.checkpoints import load_skeleton_clip, load_student
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.videos.frame_cache import FrameCache
from ski_lvlm.vlm.distill import distill
from ski_lvlm.vlm.skeleton_align import skeleton_align
from ski_lvlm.vlm.video_finetune import video_finetune
from tests.cases.recognition_case import skeleton_run
from tests.cases.skeleton_case import packed_set
from tests.cases.student_case import changed, left_alone_by_mathematics, starting_with, trainer, weights, write_case
from tests.cases.text_case import tiny_sentence_encoder

pytestmark = pytest.mark.slow


TEXT, VIDEO_TEXT = "teacher.text_encoder.", "student.text_encoder."
TAUS = ["student.log_scale", "teacher.log_scale"]  # the published scale has none
VARIANTS = {  # what is asked for, and what must then stay as it was
    "online": ({}, [TEXT, *TAUS]),
    "offline": ({"teacher": "offline"}, ["teacher.", *TAUS]),
    "text": ({"teacher_text": "trainable"}, TAUS),
    "statistics": ({"batch_norm": "trained"}, [TEXT, *TAUS]),
    "cosine": ({"scale": "cosine"}, [TEXT]),
    "projected": ({"level": "feature_projected"}, [TEXT, *TAUS]),
    "projected offline": ({"level": "feature_projected", "teacher": "offline"}, ["teacher.", *TAUS]),
    "tri-modal": ({"alignment": "tri_modal"}, [TEXT, VIDEO_TEXT, "student.log_scale", "student.network.prompts_"]),
    "cross-projection": ({"alignment": "cross_projection"}, [TEXT, "student."]),
    "fusion": ({"alignment": "fusion"}, [TEXT, "teacher.log_scale"]),
}
ANCHORS = ["student.anchor.frames.", "student.anchor.text_encoder."]
FROZEN_IN = {"vificlip": [], "xclip": [VIDEO_TEXT], "froster": ANCHORS}
MADE_OF = [("vificlip", variant) for variant in VARIANTS]
MADE_OF += [(kind, variant) for kind in ("xclip", "froster") for variant in ("online", "tri-modal", "fusion")]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("students"))


def statistics(module):
    return {name: value.clone() for name, value in module.named_buffers() if "running_" in name}


@pytest.mark.parametrize(("kind", "variant"), MADE_OF)
def test_training_changes_what_learns_and_not_one_bit_else(case, tmp_path, kind, variant):
    settings, frozen = VARIANTS[variant]
    stage = distill(case.distill(video_student=case.student(kind), **settings), seed=0)
    before, before_statistics = weights(stage.loss), statistics(stage.loss)
    trainer(stage, tmp_path).train()
    constant = starting_with([*frozen, *FROZEN_IN[kind]], stage.loss)
    unchanged = set(before) - changed(before, stage.loss)
    assert constant <= unchanged <= constant | left_alone_by_mathematics(stage.loss)
    other = {name for name, value in statistics(stage.loss).items() if not value.equal(before_statistics[name])}
    assert len(before_statistics) > 10 and other == (set(before_statistics) if variant == "statistics" else set())


@pytest.mark.parametrize(("kind", "variant"), MADE_OF)
def test_every_learning_weight_has_a_gradient_whichever_clips_have_skeletons(case, kind, variant):
    """DDP waits for ever for a gradient that does not come in one process."""
    stage = distill(case.distill(video_student=case.student(kind), **VARIANTS[variant][0]), seed=0)
    present = [k for k, name in enumerate(stage.train.names) if name in stage.train.skeletons.packed]
    absent = sorted(set(range(24)) - set(present))
    for clips in (present[:2], [present[0], absent[0]], absent[:2]):
        stage.loss.zero_grad()
        stage.loss.train()(**stage.collate([stage.train[k] for k in clips]))["loss"].backward()
        learning = {name: p.grad for name, p in stage.loss.named_parameters() if p.requires_grad}
        assert not [name for name, gradient in learning.items() if gradient is None]
        assert all(gradient.isfinite().all() for gradient in learning.values())


def test_weights_that_no_stage_has_trained_are_known(case, tmp_path):
    assert not distill(case.distill(), seed=0).untrained
    projected = distill(case.distill(level="feature_projected"), seed=0).untrained
    assert projected == {"projection.weight", "projection.bias"}
    crossed = distill(case.distill(alignment="cross_projection"), seed=0).untrained
    assert {name.split(".")[0] for name in crossed} == {"to_skeleton"}
    unaligned = shutil.copytree(case.aligned, tmp_path / "unaligned")
    card = json.loads((unaligned / "skeleton_encoder.json").read_text())
    (unaligned / "skeleton_encoder.json").write_text(json.dumps({**card, "text_encoder": None}))
    student = shutil.copytree(case.student("xclip"), tmp_path / "student")
    (student / "recipe.json").write_text('{"num_train_epochs": 0}')
    untrained = distill(case.distill(skeleton_clip=str(unaligned), video_student=str(student)), seed=0).untrained
    assert {"teacher.projection.weight", "student.network.mit.position_embedding"} <= untrained
    assert not any(name.startswith(("teacher.encoder", "student.network.visual_projection")) for name in untrained)


def test_without_any_skeleton_the_student_learns_what_it_learns_alone(case, tmp_path):
    """Also the order of the clips and how their videos are augmented are the same."""
    nobody = str(packed_set(tmp_path / "others", performers=(9,)))
    both, alone = (
        distill(case.distill(prepared=nobody, scale="cosine"), seed=0),
        video_finetune(case.finetune(), seed=0),
    )
    teacher = weights(both.loss.teacher)
    for stage in (both, alone):
        trainer(stage, tmp_path / "run").train()
    assert not changed(teacher, both.loss.teacher)
    assert not changed(weights(alone.loss.student), both.loss.student)
    assert both.test("cpu") == {"clips": 24, "clips_without_skeleton": 24}


def test_clips_without_skeletons_are_counted(case):
    stage = distill(case.distill(), seed=0)
    assert stage.test("cpu") == {"clips": 24, "clips_without_skeleton": 12}
    assert "24 videos of 12 seen actions, 12 of them without a skeleton" in stage.about


@pytest.mark.parametrize(
    ("kind", "variant"),
    [("vificlip", "text"), ("vificlip", "tri-modal"), ("xclip", "tri-modal"), ("froster", "cross-projection")],
)
def test_a_folder_brings_back_both_models_whatever_was_frozen(case, tmp_path, kind, variant):
    """No hub has the towers that an earlier stage trained and this one freezes."""
    tuned = video_finetune(case.finetune(student=kind), seed=0)
    trainer(tuned, tmp_path / "run", max_steps=1).train()
    tuned.save(tmp_path / "tuned")
    stage = distill(case.distill(video_student=str(tmp_path / "tuned"), **VARIANTS[variant][0]), seed=0)
    trainer(stage, tmp_path / "run", max_steps=1).train()
    student, teacher = weights(stage.loss.student), weights(stage.loss.teacher)
    stage.save(tmp_path / "saved")
    assert not changed(student, load_student(tmp_path / "saved")[0])
    assert not changed(teacher, load_skeleton_clip(tmp_path / "saved" / "skeleton_clip")[0])


def test_a_text_encoder_trained_by_alignment_and_then_frozen_is_kept(case, tmp_path):
    recipe = SkeletonAlignRecipe(
        prepared=case.prepared,
        split="synthetic",
        skeleton_encoder=case.aligned,
        text_encoder=case.clip,
        text="trainable",
        num_frames=8,
    )
    aligned = skeleton_align(recipe, seed=0)
    trainer(aligned, tmp_path / "run", max_steps=1).train()
    aligned.save(tmp_path / "aligned")
    stage = distill(case.distill(skeleton_clip=str(tmp_path / "aligned")), seed=0)
    assert not changed(weights(aligned.loss.model), stage.loss.teacher)
    stage.save(tmp_path / "saved")
    assert not changed(weights(aligned.loss.model), load_skeleton_clip(tmp_path / "saved" / "skeleton_clip")[0])


def test_a_teacher_never_aligned_takes_the_students_text_encoder_or_another(case, tmp_path):
    card = json.loads((shutil.copytree(case.aligned, tmp_path / "stage_1") / "skeleton_encoder.json").read_text())
    (tmp_path / "stage_1" / "skeleton_encoder.json").write_text(json.dumps({**card, "text_encoder": None}))
    sentences = tiny_sentence_encoder(tmp_path / "bert")
    for settings, width in ({}, 12), ({"teacher_text_encoder": sentences}, 16):
        stage = distill(case.distill(skeleton_clip=str(tmp_path / "stage_1"), **settings), seed=0)
        assert stage.loss.teacher.projection.out_features == width
        stage.save(tmp_path / "saved")
        assert not changed(weights(stage.loss.teacher), load_skeleton_clip(tmp_path / "saved" / "skeleton_clip")[0])
    with pytest.raises(ValueError, match="use --level feature_projected"):
        distill(case.distill(skeleton_clip=str(tmp_path / "stage_1"), level="feature", **settings), seed=0)


@pytest.fixture(scope="module")
def wrong(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    skeleton_run(folder / "leaky", text=case.clip, seen=select(split="ntu60/55-5").split.seen)
    FrameCache.create(folder / "centre", num_frames=2, side=8, framing="centre")
    packed_set(folder / "cleaned_otherwise", performers=(1,))
    settings = json.loads((folder / "cleaned_otherwise" / "index.json").read_text())
    (folder / "cleaned_otherwise" / "index.json").write_text(json.dumps({**settings, "cleaning": "mine"}))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_student": ""}, "give --video_student DIR, the --output_dir of: python train_ski_vlm.py --stage video"),
        ({"skeleton_clip": ""}, "give --skeleton_clip DIR, the --output_dir of: python train_ski_vlm.py --stage skele"),
        ({"video_student": "{}"}, "holds no finished student"),
        ({"skeleton_clip": "{}"}, "holds no finished skeleton encoder"),
        ({"prepared": "{}"}, "make them with scripts/prepare_ntu.py"),
        ({"prepared": "{}/cleaned_otherwise"}, "cleaning"),
        (
            {"split": "synthetic/1"},
            "vificlip was trained on other actions than the seen ones of synthetic/1 .bounce ball, .*; train it",
        ),
        (
            {"skeleton_clip": "{}/leaky"},
            "leaky was trained on other actions than the seen ones of synthetic .brushing hair, .*; train",
        ),
        ({"framing": "centre"}, "vificlip was trained with --framing whole; pass the same"),
        ({"alignment": "fusion", "alpha": 0.5, "teacher": "offline"}, "no use for --alpha, --teacher; leave them out"),
        ({"teacher": "offline", "batch_norm": "trained"}, "an offline teacher learns nothing"),
        ({"frames_cache": "{}/centre"}, "holds frames framed 'centre', asked were 'whole'"),
        ({"ntu": ""}, "give --ntu DIR, the folder with rgb/, --frames_cache DIR"),
        ({"ntu": "{}"}, "no videos .* check the folder"),
    ],
)
def test_mistakes_are_told(case, wrong, change, message):
    settings = {name: value.format(wrong) if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(ValueError, match=message):
        distill(case.distill(**settings), seed=0)


def test_a_teacher_that_was_aligned_in_another_scale_is_refused(case, tmp_path):
    aligned = skeleton_run(tmp_path / "aligned", text=case.clip, scale="cosine")
    with pytest.raises(ValueError, match="aligned with --scale cosine, but --scale is published here"):
        distill(case.distill(skeleton_clip=str(aligned)), seed=0)
    distill(case.distill(skeleton_clip=str(aligned), scale="cosine"), seed=0)
    distill(case.distill(skeleton_clip=str(aligned), alignment="fusion"), seed=0)  # fuses cosines


def test_the_first_batch_says_how_hard_alpha_pulls(case, tmp_path, caplog):
    caplog.set_level("INFO", logger="ski_lvlm.vlm.trainer")
    for alpha in (10.0, 1e-9):
        trainer(distill(case.distill(alpha=alpha), seed=0), tmp_path / str(alpha), logging_steps=1).train()
    strong, weak = (r.message for r in caplog.records if "the video's gradient" in r.message)
    assert "raise --alpha" in weak and "raise --alpha" not in strong


def test_the_gradient_ratio_is_logged_with_the_loss(case, tmp_path):
    run = trainer(distill(case.distill(alpha=10.0), seed=0), tmp_path, logging_steps=1)
    run.train()
    logged = [line for line in run.state.log_history if "gradient_ratio" in line]
    assert len(logged) == 3 and all(line["gradient_ratio"] > 0 for line in logged)
