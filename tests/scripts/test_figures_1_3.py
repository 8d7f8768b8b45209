"""Figures 1 and 3, on tiny CLIPs and made-up clips: the numbers, the joints' place in the frames, and the pictures."""

import json
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import logging as transformers_logging

from scripts import figure_1_embedding as figure_1
from scripts import figure_3_attention as figure_3
from scripts.figures.joints import discs
from scripts.figures.planes import Embedded, draw_planes, plane
from scripts.figures.students import Model, spread
from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student, save_model
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.recognition.recogniser import video_recogniser
from ski_lvlm.skeletons.ntu_file import write_skeleton
from ski_lvlm.videos.frame_cache import FrameCache
from tests.cases.recordings import GENUINE, needs_genuine_ntu, recording, track
from tests.cases.skeleton_case import SELECTION, SPLIT, UNSEEN
from tests.cases.text_case import tiny_clip
from tests.cases.video_case import REAL_CLIP, needs_real_clip, write_video

SIDE, FRAMES = 8, 2
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    transformers_logging.set_verbosity_error()
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    """Two test subjects for each unseen class and two seen ones. One clip has no skeleton."""
    folder = tmp_path_factory.mktemp("ntu")
    for action in (*UNSEEN, 1, 5):
        for performer in (9, 10):
            name = str(ClipName(1, 1, performer, 1, action))
            frames = np.random.default_rng((action, performer)).integers(0, 256, (6, 54, 96, 3), dtype=np.uint8)
            write_video(folder / "rgb" / f"{name}_rgb.avi", frames)
            if (action, performer) != (6, 10):
                body = track(range(6), seed=action + performer)
                write_skeleton(folder / "skeletons" / f"{name}.skeleton", recording(body, name=name, num_frames=6))
    return folder


@pytest.fixture(scope="module")
def students(backbone, tmp_path_factory):
    """Folder of each student by kind and stage."""
    folders = {}
    for kind in ("vificlip", "xclip"):
        for seed, stage in enumerate(("video_finetune", "distill")):
            torch.manual_seed(seed)
            student = build_student(kind, backbone=backbone, num_frames=FRAMES)
            for parameter in student.frames.parameters():
                parameter.data += 0.02 * torch.randn_like(parameter)
            folders[kind, stage] = tmp_path_factory.mktemp(f"{kind}-{stage}")
            save_model(folders[kind, stage], student, card=card_of(kind, stage, backbone))
    return folders


def card_of(kind, stage, backbone):
    return StudentCard(
        stage=stage,
        student=kind,
        backbone=backbone,
        text_encoder="",
        num_frames=FRAMES,
        side=SIDE,
        framing="centre",
        split="synthetic",
        seen=SPLIT.seen,
        prompt="a photo of a {name} .",
        names="canonical",
    )


def command(students, ntu, out, *flags, kind="vificlip"):
    folders = ["--before", str(students[kind, "video_finetune"]), "--after", str(students[kind, "distill"])]
    return [*folders, "--ntu", str(ntu), "--out", str(out), "--device", "cpu", *flags]


# ---- Figure 1


def test_distances_to_own_sentence_and_to_the_nearest_of_the_others():
    similarity = np.random.default_rng(0).uniform(-1, 1, (20, 5))
    classes = np.arange(20) % 5
    rows = figure_1.distances(similarity, classes)
    for row, c, (to_own, to_other, margin) in zip(similarity, classes, rows, strict=True):
        rivals = [1 - row[k] for k in range(5) if k != c]
        assert to_own == pytest.approx(1 - row[c]) and to_other == pytest.approx(min(rivals))
        assert margin == pytest.approx(min(rivals) - (1 - row[c]))
        assert (margin > 0) == (row.argmax() == c), "the margin is positive where the clip is recognised"


def test_the_plane_keeps_what_lies_in_a_plane_and_shrinks_the_rest():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(30, 2)) @ np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    deep = rng.normal(size=(30, 8))
    for features, keeps in ((flat, True), (deep, False)):
        model = Embedded("student", features[:25], features[25:], np.zeros((25, 5)), False)
        flat = plane(model)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        before = np.linalg.norm(unit[:25, None] - unit[25:], axis=-1)
        after = np.linalg.norm(flat.videos[:, None] - flat.sentences, axis=-1)
        assert (after <= before + 1e-9).all()
        assert np.allclose(after, before) == keeps
        assert sum(flat.shares) <= 1 + 1e-9 and (sum(flat.shares) > 1 - 1e-9) == keeps


def test_few_sentences_are_not_outvoted_by_many_videos():
    rng = np.random.default_rng(0)
    videos = np.eye(16)[0] + rng.normal(0, 0.15, (2000, 16))
    sentences = np.eye(16)[1] + rng.normal(0, 0.01, (4, 16))
    flat = plane(Embedded("student", videos, sentences, np.zeros((2000, 4)), False))
    gap = flat.sentences.mean(0) - flat.videos.mean(0)
    assert gap[0] > 1.1 and abs(gap[1]) < 0.2, "the gap between videos and sentences is the first axis, to the right"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vificlip", "xclip"])
def test_figure_1_measures_with_the_students_own_similarities(students, ntu, tmp_path, capsys, kind):
    assert figure_1.main([*command(students, ntu, tmp_path, "--split", "synthetic", kind=kind)]) == 0
    result = json.loads((tmp_path / "figure_1.json").read_text())
    assert (tmp_path / "figure_1.png").read_bytes().startswith(PNG)
    assert result["count"] == 8 and len(result["margin_per_class"]) == 4
    card = card_of(kind, "distill", "")
    recogniser = video_recogniser(students[kind, "distill"], videos=ntu)
    names = spread([n for n in recogniser.clips if int(n[-3:]) in UNSEEN], None, data=SELECTION.data)
    student = Model(recogniser.model, card)
    prompts = student.prompts(SELECTION.data, SPLIT.unseen)
    model = figure_1.embed(student, recogniser.read, names, prompts=prompts, title="")
    classes = np.repeat(np.arange(4), 2)
    assert result["after"]["own"]["mean"] == pytest.approx(1 - model.similarity[np.arange(8), classes].mean(), abs=1e-6)
    assert model.has_video_prompts == (kind == "xclip")
    change = result["after"]["margin"]["mean"] - result["before"]["margin"]["mean"]
    assert result["change"]["margin"]["mean"] == pytest.approx(change)
    out = capsys.readouterr().out
    assert f"| to own sentence | {result['before']['own']['mean']:.3f} [" in out and "its own plane" in out


def test_a_limit_takes_clips_of_every_class(ntu):
    names = [path.name[:20] for path in (ntu / "rgb").iterdir()]
    sample = figure_1.chosen_clips(names, SELECTION, Namespace(clips="unseen", limit=4))
    assert [int(name[-3:]) for name in sample] == list(UNSEEN)
    both = figure_1.chosen_clips(names, SELECTION, Namespace(clips="both", limit=None))
    assert len(both) == 12 and {int(n[-3:]) for n in both} == {*UNSEEN, 1, 5}
    with pytest.raises(ValueError, match="none of 1 clips is a seen test clip of synthetic"):
        figure_1.chosen_clips(["S001C001P009R001A006"], SELECTION, Namespace(clips="seen", limit=None))


@pytest.mark.slow
def test_a_student_that_was_trained_on_an_unseen_class_is_refused(students, ntu, tmp_path):
    with pytest.raises(
        ValueError, match=r"trained on drink water, jump up, .*, which synthetic/1 expects to be unseen"
    ):
        figure_1.main(command(students, ntu, tmp_path, "--split", "synthetic/1"))


def test_cached_frames_must_be_such_as_the_student_takes(students, ntu, tmp_path):
    FrameCache.create(tmp_path / "cache", num_frames=4, side=SIDE, framing="whole")
    flags = ["--split", "synthetic", "--frames_cache", str(tmp_path / "cache")]
    with pytest.raises(ValueError, match="holds 'whole' frames of 8 px; .* trained on 'centre' frames of 8 px"):
        figure_1.main(command(students, ntu, tmp_path, *flags))


@pytest.mark.slow
def test_many_classes_are_drawn_without_a_legend_of_their_names(tmp_path):
    rng = np.random.default_rng(0)
    classes = np.arange(200) % 40
    models = [
        Embedded(title, rng.normal(size=(200, 12)), rng.normal(size=(40, 12)), rng.uniform(-1, 1, (200, 40)), True)
        for title in ("XCLIP", "SKI-XCLIP")
    ]
    result = figure_1.measure(models, classes, over="clips")
    draw_planes(models, classes, [f"class {c}" for c in range(40)], result=result, path=tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes().startswith(PNG)


# ---- Figure 3


@pytest.mark.parametrize("framing", ["whole", "centre"])
def test_a_joint_lies_on_the_pixel_that_the_kinect_saw_it_at(tmp_path, framing):
    name = "S001C001P009R001A006"
    frames = np.zeros((6, 270, 480, 3), np.uint8)  # a quarter of 1920 x 1080
    body = track(range(6))
    for t in range(6):
        x, y = 180 + 20 * t, 60 + 25 * t
        frames[t, y - 5 : y + 5, x - 5 : x + 5] = 255
        body.colour[t] = (4 * x, 4 * y)
    write_video(tmp_path / "rgb" / f"{name}_rgb.avi", frames)
    write_skeleton(tmp_path / "nturgb+d_skeletons" / f"{name}.skeleton", recording(body, name=name, num_frames=6))
    card = replace(card_of("vificlip", "distill", ""), framing=framing, side=96, num_frames=3)
    clip = figure_3.read_clip(tmp_path, name, card)
    assert clip.video.shape == (3, 3, 96, 96) and clip.aspect == (1 if framing == "centre" else 270 / 480)
    for frame, (joints,) in zip(clip.video, clip.people, strict=True):
        weight = frame.double().mean(0)
        rows, columns = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
        middle = [float((weight * place).sum() / weight.sum()) for place in (columns, rows)]
        assert np.allclose(joints, middle, atol=1.0), (
            "in every frame, the moment, the crop and the scale are the frame's"
        )


@needs_genuine_ntu
@needs_real_clip
def test_the_joints_of_the_genuine_recording_lie_where_its_video_moves():
    folder = GENUINE.parent
    card = replace(card_of("vificlip", "distill", ""), side=112, num_frames=8)
    clip = figure_3.read_clip(folder, REAL_CLIP.name.removesuffix("_rgb.avi"), card)
    motion = clip.video.float().mean(1).diff(dim=0).abs().numpy()
    near = discs([np.concatenate(people) for people in clip.people[1:]], size=(112, 112), radius=8.0)
    assert motion[near].sum() / motion.sum() > 2 * near.mean()


def test_a_clip_is_recognised_among_the_classes_of_its_kind():
    assert figure_3.candidates(SELECTION, "S001C001P001R001A006") == SPLIT.unseen
    assert figure_3.candidates(SELECTION, "S001C001P001R001A001") == SPLIT.seen
    with pytest.raises(ValueError, match="S001C001P001R001A002' shows none of the 16 classes of synthetic"):
        figure_3.candidates(SELECTION, "S001C001P001R001A002")


def test_means_leave_out_what_was_not_measured():
    def record(area, before, after):
        return {"area_near_joints": area} | {
            moment: {"heat_near_joints": share} for moment, share in (("before", before), ("after", after))
        }

    records = [record(0.1, 0.2, 0.4), record(0.3, 0.4, 0.8), record(None, None, None), record(0.9, 0.9, None)]
    mean = figure_3.means(records)
    assert mean["clips"] == 2 and mean["area_near_joints"] == pytest.approx(0.2)
    assert (mean["before"], mean["after"], mean["change"]) == pytest.approx((0.3, 0.6, 0.3))
    assert mean["change_interval"] == pytest.approx([0.2, 0.4])
    assert figure_3.means(records[2:]) is None


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "method"), [("vificlip", "gradcam"), ("vificlip", "rollout"), ("xclip", "gradcam")])
def test_figure_3_draws_the_clips_and_measures_more(students, ntu, tmp_path, capsys, kind, method):
    out = tmp_path / "maps.png"
    flags = ["--method", method, "--measured", "3", "--radius", "2", "--titles", "trained as long", "SKI"]
    assert figure_3.main(command(students, ntu, out, *flags, kind=kind)) == 0
    assert out.read_bytes().startswith(PNG)
    result = json.loads(out.with_suffix(".json").read_text())
    assert result["method"] == method and result["radius"] == 2 and len(result["clips"]) == 6
    assert len({record["clip"] for record in result["clips"]}) == 6
    for record in result["clips"]:
        assert list(record["after"]["similarity"]) == [
            "pickup",
            "hand waving",
            "walking apart from each other",
            "bounce ball",
        ]
        assert record["after"]["right"] == (record["after"]["predicted"] == record["true"])
    printed = capsys.readouterr().out
    assert "| within 2 px of a joint | area | heat before | heat after |" in printed


@pytest.mark.slow
def test_a_clip_without_skeleton_is_drawn_and_not_measured(students, ntu, tmp_path, capsys):
    out = tmp_path / "maps.png"
    name = str(ClipName(1, 1, 10, 1, 6))
    assert figure_3.main(command(students, ntu, out, "--clips", name, "--measured", "0")) == 0
    result = json.loads(out.with_suffix(".json").read_text())
    assert result["means"] is None and result["clips"][0]["area_near_joints"] is None
    assert "no clip has joints" in capsys.readouterr().out


def test_the_target_is_the_prediction_or_the_true_class(students, ntu, monkeypatch):
    targets = []

    def gradcam(student, video, prompts, *, target):
        targets.append(target)
        return torch.zeros(len(video), *video.shape[-2:])

    monkeypatch.setattr("ski_lvlm.dual_encoders.attention_maps.gradcam", gradcam)
    model = Model(*load_student(students["vificlip", "distill"]))
    clip = figure_3.read_clip(ntu, str(ClipName(1, 1, 9, 1, 64)), model.card)
    prompts = model.prompts(SELECTION.data, SPLIT.unseen)
    for label in (None, 3, 1):
        _, similarity = figure_3.heat_of(clip, model, prompts, method="gradcam", label=label)
    assert targets == [similarity.argmax(), 3, 1]


def test_students_that_see_different_frames_are_not_compared():
    before = card_of("vificlip", "video_finetune", "")
    with pytest.raises(ValueError, match="differ in side: 8 before and 16 after"):
        figure_3.check_alike(before, replace(before, side=16))


def test_the_picture_must_be_a_png(students, ntu, tmp_path, capsys):
    with pytest.raises(SystemExit):
        figure_3.main(command(students, ntu, tmp_path / "maps.json"))
    assert "ends in .png" in capsys.readouterr().err
