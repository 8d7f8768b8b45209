import json
import shutil

import numpy as np
import pytest
import torch

from eval.recognition.class_scores import answer_scores, split_scores
from eval.recognition.confusion import draw_confusion
from eval.zero_shot import main
from ski_lvlm.datasets.selection import select
from ski_lvlm.datasets.skeleton_clips import SkeletonClips
from ski_lvlm.dual_encoders.checkpoints import load_skeleton_clip
from ski_lvlm.recognition.calibration import stacked
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.videos.frame_cache import FrameCache
from ski_lvlm.vlm.skeleton_accuracy import measure_accuracy
from tests.cases.recognition_case import clip, ntu_videos, skeleton_run, student_run, whole_run
from tests.cases.skeleton_case import SELECTION, SPLIT, UNSEEN, numbers, packed_set
from tests.cases.text_case import tiny_clip

pytestmark = pytest.mark.slow


CPU = ["--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """run/ of a distillation, ntu/rgb of 48 clips, prepared/ of them but one."""
    home = tmp_path_factory.mktemp("home")
    whole_run(home / "run", home / "clip")
    ntu_videos(home / "ntu")
    packed_set(home / "prepared", performers=(1, 9))
    return home


def evaluated(home, out, *flags, split="synthetic"):
    places = ["--model", str(home / "run"), "--out", str(out)]
    assert main([*places, "--split", split, *CPU, *map(str, flags)]) == 0
    return json.loads((out / "zero_shot.json").read_text())


def videos(home):
    return ["--ntu", home / "ntu"]


def test_a_student_is_tested_on_a_folder_without_skeletons(home, tmp_path, capsys):
    shutil.copytree(home / "run", tmp_path / "run", ignore=shutil.ignore_patterns("skeleton_clip"))
    result = evaluated(tmp_path, tmp_path / "out", *videos(home))
    assert (result["split"], result["modality"], result["clips"]) == ("synthetic", "video", "test")
    unseen = result["unseen"]
    assert (unseen["clips"], unseen["classes"], unseen["chance"]) == (8, 4, 0.25)
    assert "top5" not in unseen and list(unseen["per_class"]) == list(SPLIT.unseen)
    low, high = unseen["top1_interval"]
    assert 0 <= low <= unseen["top1"] <= high <= 1
    assert result["confusion"]["classes"] == list(unseen["per_class"])
    matrix = np.array(result["confusion"]["matrix"])
    assert matrix.sum(1).tolist() == [2, 2, 2, 2] and matrix.trace() / 8 == unseen["top1"]
    assert result["sentences"] == {
        "video": {
            "pickup": ["a photo of pickup ."],
            "hand waving": ["a photo of hand waving ."],
            "walking apart from each other": ["a photo of walking apart from each other ."],
            "bounce ball": ["a photo of bounce ball ."],
        }
    }
    assert (tmp_path / "out" / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert "8 test clips" in capsys.readouterr().out


def test_all_samples_of_unseen_classes_are_named_so(home, tmp_path):
    result = evaluated(home, tmp_path, *videos(home), "--clips", "all")
    assert result["clips"] == "all" and result["unseen"]["clips"] == 12


def test_unreadable_videos_are_listed_and_not_scored(home, tmp_path):
    shutil.copytree(home / "ntu", tmp_path / "ntu")
    torn = tmp_path / "ntu" / "rgb" / f"{clip(23, 10)}_rgb.avi"
    torn.write_bytes(torn.read_bytes()[:300])
    result = evaluated(home, tmp_path / "out", "--ntu", tmp_path / "ntu")
    assert result["unseen"]["clips"] == 7 and list(result["left_out"]["unreadable"]) == [clip(23, 10)]
    for action in UNSEEN:
        for performer in (9, 10):
            (tmp_path / "ntu" / "rgb" / f"{clip(action, performer)}_rgb.avi").write_bytes(b"no video")
    with pytest.raises(ValueError, match="none of the 8 clips is a readable one"):
        evaluated(home, tmp_path / "nothing", "--ntu", tmp_path / "ntu")


def test_clips_that_a_frame_cache_lacks_are_listed(home, tmp_path):
    cache = FrameCache.create(tmp_path / "cache", num_frames=2, side=8, framing="whole")
    frames = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    for action in UNSEEN:
        cache.write(clip(action), frames)
    result = evaluated(home, tmp_path / "out", *videos(home), "--frames_cache", cache.folder)
    assert result["unseen"]["clips"] == 4
    assert result["left_out"]["without_video"] == [clip(action, 10) for action in UNSEEN]
    alone = evaluated(home, tmp_path / "alone", "--frames_cache", cache.folder)
    assert alone["unseen"] == result["unseen"] and alone["left_out"]["without_video"] == []


def test_a_skeleton_clip_is_right_as_often_as_its_own_training_says(home, tmp_path):
    result = evaluated(home, tmp_path, "--modality", "skeleton", "--prepared", home / "prepared")
    packed = PackedSkeletons.open(home / "prepared")
    model, preprocessing = load_skeleton_clip(home / "run" / "skeleton_clip")
    names = [clip(action) for action in UNSEEN]
    data = SkeletonClips(packed, names, labels=range(4), num_frames=8, preprocessing=preprocessing)
    prompts = class_prompts(SPLIT.unseen, template="a photo of {name} .")
    scores = lambda skeleton: model(skeleton, prompts).similarity  # noqa: E731
    expected = measure_accuracy(scores, data, device=torch.device("cpu"))
    assert {key: result["unseen"][key] for key in expected} == expected


def test_a_skeleton_align_run_has_its_skeleton_clip_at_the_root(home, tmp_path):
    skeleton_run(tmp_path / "run", text=str(home / "clip"))
    evaluated(tmp_path, tmp_path / "out", "--modality", "skeleton", "--prepared", home / "prepared")


def test_both_is_the_mean_on_clips_that_have_both(home, tmp_path):
    flags = ["--prepared", home / "prepared", *videos(home)]
    both = evaluated(home, tmp_path / "both", "--modality", "both", *flags)
    assert both["unseen"]["clips"] == 4
    assert both["left_out"] == {
        "without_video": [],
        "without_skeleton": [clip(a, 10) for a in (6, 23, 60, 64)],
        "unreadable": {},
    }
    alone = evaluated(home, tmp_path / "alone", "--modality", "skeleton", *flags)
    assert len(alone["left_out"]["without_skeleton"]) == 4
    evaluated(home, tmp_path / "video", "--modality", "video", *flags)
    files = [file for file in tmp_path.glob("*/similarity_*.npy") if file.parent.name != "both"]
    cosines = {file.parent.name: np.load(file) for file in files}
    means = (cosines["video"][[0, 1, 2, 3]] + cosines["alone"]) / 2
    assert np.bincount(means.argmax(1), minlength=4).tolist() == np.sum(both["confusion"]["matrix"], axis=0).tolist()


def test_a_student_is_fused_with_a_skeleton_model_of_another_folder(home, tmp_path):
    flags = ["--modality", "both", "--prepared", home / "prepared", *videos(home)]
    inside = evaluated(home, tmp_path / "inside", *flags)
    skeleton_run(tmp_path / "teacher", text=str(home / "clip"))
    shutil.copytree(home / "run", tmp_path / "run", ignore=shutil.ignore_patterns("skeleton_clip"))
    fused = evaluated(tmp_path, tmp_path / "fused", *flags, "--skeleton_model", tmp_path / "teacher")
    assert fused["confusion"] == inside["confusion"]
    with pytest.raises(ValueError, match="second model of --modality both"):
        evaluated(home, tmp_path / "video", *videos(home), "--skeleton_model", tmp_path / "teacher")


def test_two_students_are_averaged(home, tmp_path):
    other = student_run(tmp_path / "other", backbone=tiny_clip(tmp_path / "clip", seed=3))
    both = evaluated(home, tmp_path / "both", *videos(home), "--second_student", other)
    assert both["second_student"] == str(other) and set(both["sentences"]) == {"video", "second video"}
    evaluated(home, tmp_path / "one", *videos(home))
    shutil.copytree(other, tmp_path / "run")
    evaluated(tmp_path, tmp_path / "two", *videos(home))
    one, two = (np.load(next((tmp_path / name).glob("similarity_*.npy"))) for name in ("one", "two"))
    assert not np.array_equal(one, two)
    predictions = ((one + two) / 2).argmax(1)
    assert np.bincount(predictions, minlength=4).tolist() == np.sum(both["confusion"]["matrix"], axis=0).tolist()
    for flags, message in (
        (["--modality", "skeleton", "--prepared", home / "prepared"], "leave out the others"),
        (["--generalised", "--rehearsal", other], "would fuse it too"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluated(home, tmp_path / "wrong", *videos(home), "--second_student", other, *flags)


def test_a_closed_set_test_has_the_classes_of_training_on_other_clips(home, tmp_path, capsys):
    result = evaluated(home, tmp_path / "out", *videos(home), "--closed_set")
    assert "unseen" not in result and list(result["seen"]["per_class"]) == list(SPLIT.seen)
    assert (result["seen"]["clips"], result["seen"]["classes"]) == (24, 12)
    assert "seen classes by video: 24 test clips" in capsys.readouterr().out
    student_run(tmp_path / "run", backbone=str(home / "clip"), seen=SPLIT.seen[:3])
    with pytest.raises(ValueError, match="was not trained on"):
        evaluated(tmp_path, tmp_path / "few", *videos(home), "--closed_set")
    with pytest.raises(ValueError, match="a test of its own"):
        evaluated(home, tmp_path / "both", *videos(home), "--closed_set", "--generalised")


def test_generalised_chooses_among_all_classes(home, tmp_path):
    result = evaluated(home, tmp_path, *videos(home), "--generalised")
    general = result["generalised"]
    assert (general["classes"], general["seen_clips"], general["unseen_clips"]) == (16, 24, 8)
    plain = evaluated(home, tmp_path / "plain", *videos(home))
    assert result["unseen"] == plain["unseen"] and result["confusion"] == plain["confusion"]
    assert len(result["sentences"]["video"]) == 16


def test_results_do_not_depend_on_the_batch_size(home, tmp_path):
    one = evaluated(home, tmp_path / "one", *videos(home), "--batch_size", 1)
    three = evaluated(home, tmp_path / "three", *videos(home), "--batch_size", 3)
    assert one == three
    rows = [np.load(next((tmp_path / name).glob("*.npy"))) for name in ("one", "three")]
    np.testing.assert_allclose(*rows, atol=1e-6)
    assert rows[0].std(0).min() > 1e-4, "the clips look alike to the model; the test says nothing"


@pytest.mark.parametrize("modality", ["video", "both"])
def test_shards_and_the_run_that_joins_them_give_the_very_result_of_one_run(home, tmp_path, modality, capsys):
    flags = [*videos(home), "--modality", modality, "--generalised", "--batch_size", "3"]
    flags += ["--prepared", home / "prepared"] if modality == "both" else []
    whole = evaluated(home, tmp_path / "whole", *flags)
    command = ["--model", home / "run", "--out", tmp_path / "out", "--split", "synthetic", *CPU, *flags]
    for part in ("1/3", "3/3", "2/3"):
        assert main([*map(str, command), "--shard", part]) == 0
        assert not (tmp_path / "out" / "zero_shot.json").exists()
    assert "the same command without --shard writes" in capsys.readouterr().out
    before = {file: file.read_bytes() for file in (tmp_path / "out").glob("*-of-3.npy")}
    assert len(before) == 3 * (2 if modality == "both" else 1)
    assert evaluated(home, tmp_path / "out", *flags) == whole
    for file in (tmp_path / "whole").glob("*.npy"):  # a clip's company in a batch may change the last digits
        np.testing.assert_allclose(np.load(tmp_path / "out" / file.name), np.load(file), atol=1e-6)
    assert (tmp_path / "out" / "zero_shot.json").read_bytes() == (tmp_path / "whole" / "zero_shot.json").read_bytes()


def test_several_gpus_by_one_command(home, tmp_path, capfd, monkeypatch):
    """CPU processes stand for GPUs. The numbers are rounded, since cosines may differ in their last digits."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    whole = evaluated(home, tmp_path / "whole", *videos(home))
    assert (
        evaluated(home, tmp_path / "out", *videos(home), "--gpus", "2", "--batch_size", "2")["left_out"]
        == (whole["left_out"])
    )
    assert "[1/2] shard 1/2 is done" in capfd.readouterr().out
    rows = [np.load(next((tmp_path / name).glob("similarity_video_????????????????.npy"))) for name in ("whole", "out")]
    np.testing.assert_allclose(*rows, atol=1e-6)


def test_shards_name_videos_too(home, tmp_path):
    source = home / "ntu" / "rgb"
    for number, action in enumerate((6, 23, 60)):
        shutil.copy(source / f"{clip(action)}_rgb.avi", tmp_path / f"mine {number}.avi")
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    command = ["--model", str(home / "run"), "--classes", "drink water, hand waving", "--videos", str(tmp_path)]
    command += ["--batch_size", "1", *CPU]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    for part in (["--shard", "1/2"], ["--shard", "2/2"], []):
        assert not (tmp_path / "out" / "named_videos.json").exists()
        assert main([*command, "--out", str(tmp_path / "out"), *part]) == 0
    results = [json.loads((tmp_path / name / "named_videos.json").read_text()) for name in ("out", "whole")]
    assert results[0] == results[1]


def test_names_templates_and_descriptions(home, tmp_path):
    templates = ["--prompt", "{name} .", "--prompt", "a video of {name} ."]
    result = evaluated(home, tmp_path, *videos(home), "--names", "star", *templates)
    assert result["sentences"]["video"]["walking apart from each other"] == [
        "walking apart .",
        "a video of walking apart .",
    ]
    file = tmp_path / "said.json"
    descriptions = {
        "a6": "drink water",
        "hand waving": ["hand", "waving"],
        "A60": "something",
        "bounce ball": "a snack",
    }
    file.write_text(json.dumps(descriptions))
    result = evaluated(home, tmp_path, *videos(home), "--descriptions", file)
    assert result["sentences"]["video"]["hand waving"] == ["hand", "waving"]
    del descriptions["A60"]
    file.write_text(json.dumps(descriptions))
    with pytest.raises(ValueError, match="not walking apart from each other = A60; add them"):
        evaluated(home, tmp_path, *videos(home), "--descriptions", file)
    for content in ("[]", "{", '{"A6": 3, "A23": "x", "A60": "x", "A64": "x"}'):
        file.write_text(content)
        with pytest.raises(ValueError, match="expected a"):
            evaluated(home, tmp_path, *videos(home), "--descriptions", file)


def test_a_model_that_knows_an_unseen_class_is_refused(home, tmp_path):
    with pytest.raises(ValueError, match=r"was trained on drink water, jump up, .*, which synthetic/1 expects"):
        evaluated(home, tmp_path, *videos(home), split="synthetic/1")
    student_run(tmp_path / "run", backbone=str(home / "clip"), seen=("drink water", "drop"))
    with pytest.raises(ValueError, match="was not trained on clapping, .* leave out --generalised"):
        evaluated(tmp_path, tmp_path, *videos(home), "--generalised")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--split", "synthetic", "--classes", "sit,stand"], "give either --split"),
        (["--split", "synthetic", "--modality", "skeleton"], "needs --prepared DIR"),
        (["--split", "synthetic", "--modality", "video"], "needs --ntu DIR"),
        (["--split", "synthetic", "--videos", "x"], "--videos cannot be used with --split"),
        (["--split", "nowhere", "--ntu", "x"], "begins with no built-in data set"),
        (["--split", "synthetic", "--ntu", "x", "--prompt", "no name"], "no such folder of videos"),
        (["--classes", "sit,stand"], "give --videos DIR"),
        (["--classes", "sit,sit", "--videos", "x"], "at least two different names"),
        (["--classes", "sit,stand", "--videos", "x", "--generalised"], "--generalised cannot be used with --classes"),
        (["--split", "synthetic", "--prompt", "{name}", "--descriptions", "x"], "give one of the two"),
        (["--split", "synthetic", "--rehearsal", "x"], "give --generalised"),
        (["--split", "synthetic", "--calibration", "gate"], "give --generalised"),
        (["--split", "synthetic", "--generalised", "--calibration", "none", "--rehearsal", "x"], "nothing to do"),
        (["--split", "synthetic", "--generalised", "--calibration", "gate"], "train the same .* --rehearsal DIR"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(home, tmp_path, flags, says):
    with pytest.raises(ValueError, match=says):
        main(["--model", str(home / "run"), "--out", str(tmp_path), *flags])


def test_folders_that_are_no_model(home, tmp_path):
    with pytest.raises(ValueError, match="holds no finished student"):
        evaluated(tmp_path, tmp_path, *videos(home))
    with pytest.raises(ValueError, match="found no SkeletonCLIP in"):
        evaluated(tmp_path, tmp_path, "--modality", "skeleton", "--prepared", home / "prepared")
    skeleton_run(tmp_path / "run", text=str(home / "clip"))
    with pytest.raises(ValueError, match="use --modality skeleton"):
        evaluated(tmp_path, tmp_path, *videos(home))
    with pytest.raises(ValueError, match="--device nowhere cannot be used here"):
        evaluated(home, tmp_path, *videos(home), "--device", "nowhere")


def test_anyone_s_videos_are_named(home, tmp_path, capsys):
    source = home / "ntu" / "rgb"
    (tmp_path / "older").mkdir()
    for name, action in (("my holiday 0", 6), ("my holiday 1", 23), ("older/my holiday 1", 6)):
        shutil.copy(source / f"{clip(action)}_rgb.avi", tmp_path / f"{name}.avi")
    (tmp_path / "torn.mp4").write_bytes(b"no video")
    command = ["--model", str(home / "run"), "--classes", "drink water, hand waving", "--videos", str(tmp_path)]
    assert main([*command, "--out", str(tmp_path / "out"), *CPU]) == 0
    result = json.loads((tmp_path / "out" / "named_videos.json").read_text())
    assert [video["video"] for video in result["videos"]] == ["my holiday 0", "my holiday 1", "older/my holiday 1"]
    for video in result["videos"]:
        assert sum(video["probabilities"].values()) == pytest.approx(1, abs=2e-4)
        assert video["probability"] == max(video["probabilities"].values()) == video["probabilities"][video["class"]]
    assert list(result["unreadable"]) == ["torn"]
    assert result["sentences"]["hand waving"] == ["a photo of hand waving ."]
    out = capsys.readouterr().out
    assert "my holiday 1" in out and "unreadable: 1 clips" in out


NAMES = [clip(6), clip(6, 10), clip(23), clip(1), clip(5)]


def test_scores_of_known_answers():
    """A6 is once right, once taken for A23. A23 is right. A60 and A64 have no clips. Seen A1 is right, A5 is not."""
    classes = SELECTION.data.class_names
    actions = numbers(classes)
    similarity = torch.zeros(5, 16)
    for row, answer in enumerate((6, 23, 23, 1, 6)):
        similarity[row, actions.index(answer)] = 1.0
    similarity[2, actions.index(50)] = 2.0  # a seen class: only the generalised test may choose it
    unseen_columns = [classes.index(name) for name in SPLIT.unseen]
    result = split_scores(similarity[:, unseen_columns], NAMES, selection=SELECTION)
    unseen = result["unseen"]
    assert (unseen["clips"], unseen["top1"], unseen["mean_class"]) == (3, 0.6667, 0.75)
    assert unseen["per_class"] == dict(zip(SPLIT.unseen, (0.5, 1.0, None, None), strict=True))
    assert result["confusion"]["matrix"] == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    is_seen = torch.tensor([name in SPLIT.seen for name in classes])
    labels = torch.tensor(SELECTION.labels(NAMES, classes))
    scores = answer_scores(stacked(similarity, is_seen, 0.0), labels, is_seen=is_seen)
    assert scores | {"seen": 0.5, "unseen": 0.3333, "harmonic_mean": 0.4} == scores
    assert scores["seen_interval"] == [0.5, 0.5] and scores["seen_interval_over_classes"] == [0.0, 1.0]
    lowered = answer_scores(stacked(similarity, is_seen, 1.0), labels, is_seen=is_seen)
    assert (lowered["seen"], lowered["unseen"], lowered["harmonic_mean"]) == (0.0, 0.6667, 0.0)


def test_a_clip_without_similarities_is_not_scored():
    similarity = torch.eye(4)[[0, 0, 1]]
    similarity[1] = torch.nan
    result = split_scores(similarity, NAMES[:3], selection=SELECTION)
    assert result["unseen"]["clips"] == 2 and result["unseen"]["top1"] == 1.0


def test_top_5_is_there_for_more_than_five_classes():
    selection = select(split="ntu60/48-12")
    unseen = selection.split.unseen
    names = [clip(int(selection.data.action(name).id[1:])) for name in unseen]
    similarity = -(torch.arange(12.0)[None] - torch.arange(12)[:, None] - 3).abs()
    result = split_scores(similarity, names, selection=selection)["unseen"]
    assert result["top1"] < result["top5"] < 1


@pytest.mark.parametrize("classes", [2, 24])
def test_the_picture_has_room_for_all_classes(tmp_path, classes):
    from PIL import Image

    matrix = np.eye(classes, dtype=np.int64) * 3
    matrix[0] = 0  # a class without clips
    names = ["a very long name of an action that nobody can finish"] * classes
    draw_confusion(matrix, names, title="title", path=tmp_path / "confusion.png")
    width, height = Image.open(tmp_path / "confusion.png").size
    assert width > 60 * classes and height > 60 * classes
