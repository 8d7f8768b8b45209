"""The report of a run: whole, one file, honest about what is missing, and safe from what models write."""

import re

import pytest

from eval.items.predictions import Task
from eval.pages.figures import loss_curve, loss_points
from eval.report import CLIPS, accuracy_table, build_report, main, recipe_rows, sample_clips, stage_times
from ski_lvlm.storage.files import append_jsonl, write_json
from tests.cases.graded_case import begin_plan
from tests.cases.video_case import numbered, write_video

PREDICTION = {"video_name": "S001C001P001R001A023", "Q": "What?", "A": "He waves.", "pred": "He <script>sits</script>."}


@pytest.fixture
def folder(tmp_path):
    """A run with every part."""
    write_video(tmp_path / "ntu" / "rgb" / "S001C001P001R001A023_rgb.avi", numbered(12))
    for stage in ("skeleton_pretrain", "skeleton_align", "lvlm"):
        for step in (1, 2, 3):
            line = {"step": step, "loss": 3.0 / step, "learning_rate": 1e-3 / step, "epoch": step / 2}
            append_jsonl(tmp_path / stage / "metrics.jsonl", line)
    write_json(
        tmp_path / "lvlm" / "recipe.json", {"base_llm": "smollm2", "batch_size": 8, "modalities": "video,skeleton"}
    )
    write_json(tmp_path / "lvlm" / "run.json", {"python": "3.11", "device": "CPU", "versions": {"torch": "2"}})
    tokens = {"video": {"tower": "efficientnet-lite0", "num_frames": 16, "tokens": 65, "width": 1280}}
    write_json(tmp_path / "features" / "features.json", tokens)
    for stage, seconds in (("curate", 4), ("train", 8.0), ("curate", 2)):
        append_jsonl(tmp_path / "timings.jsonl", {"stage": stage, "seconds": seconds})
    write_json(tmp_path / "predictions.json", [PREDICTION])
    write_json(tmp_path / "accuracy.json", [{"captions": "trained", "share": 0.75}])
    run = {"status": "run", "mean": 61.25, "n_scored": 1, "n_total": 2, "unscored": {"unparsed": 1}}
    metrics = {"correctness": run, "temporal": {"status": "not run", "reason": "no order"}}
    scores = {
        "judge": "similarity",
        "note": "NOT comparable",
        "metrics": metrics,
        "average": None,
        "average_of_run": 61.25,
    }
    write_json(tmp_path / "scores" / "scores.json", {**scores, "metrics_run": 1})
    unseen = {"clips": 60, "classes": 2, "chance": 0.5, "top1": 0.625, "top1_interval": [0.5, 0.75]}
    unseen["per_class"] = {"pickup": 0.9, "hand waving": None}
    write_json(tmp_path / "zero_shot" / "zero_shot.json", {"unseen": unseen})
    return tmp_path


@pytest.mark.slow
def test_a_whole_run_is_on_one_page(folder):
    html = build_report(folder).read_text()
    for text in (
        "61.2",
        "NOT comparable",
        "1 of 2",
        "1: unparsed",
        "no order",
        "efficientnet-lite0",
        "65 × 1280",
        "0.75",
        "top-1 of 60 clips of 2 unseen actions",
        "62.5 % (50.0 to 75.0; chance 50 %)",
        "<td>pickup</td><td>90 %</td>",
        "<td>hand waving</td><td>no clips</td>",
    ):
        assert text in html, text
    assert html.count("data:image/svg+xml;base64,") == 3 and html.count("data:image/jpeg;base64,") == 1
    assert "43.5" not in html, "the paper's scores do not stand among ours"


@pytest.mark.slow
def test_the_page_is_one_file_without_scripts_or_links(folder):
    html = build_report(folder).read_text()
    assert "&lt;script&gt;sits" in html and "<script" not in html
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", html)


def test_an_empty_run_says_not_run_everywhere(tmp_path):
    html = build_report(tmp_path).read_text()
    for file in (
        "scores.json",
        "zero_shot.json",
        "accuracy.json",
        "timings.jsonl",
        "predictions.json",
        "lvlm/metrics.jsonl",
    ):
        assert re.search(rf"not run: no \S*{re.escape(file)}", html), file
    assert all(here is None for _, here, _ in recipe_rows(tmp_path))


@pytest.mark.slow
def test_grading_that_was_stopped_is_unfinished_not_absent(folder, capsys):
    begin_plan(folder / "scores", [Task("detail", f"v{n}_0", {"pred": "x"}) for n in range(3)])
    said = "unfinished: 0 of 3 grades; run the same command again to resume"
    html = build_report(folder).read_text()
    assert said in html and "61.2" not in html
    (folder / "accuracy.json").unlink()
    main(["--run", str(folder), "--summary"])
    assert "unfinished: 0 of 3 grades" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", ["", "[", "5", "[5]", "{}", "null", '{"metrics": {}}', '{"metrics": {"correctness": 5}}']
)
def test_broken_files_do_not_break_the_page(folder, content):
    for file in (
        "scores/scores.json",
        "zero_shot/zero_shot.json",
        "accuracy.json",
        "predictions.json",
        "lvlm/recipe.json",
        "features/features.json",
    ):
        (folder / file).write_text(content)
    assert "Recipe beside" in build_report(folder).read_text()


@pytest.mark.slow
def test_a_missing_or_unreadable_video_is_said(folder):
    (folder / "ntu" / "rgb" / "S001C001P001R001A023_rgb.avi").write_bytes(b"no video")
    (clip,) = sample_clips(folder)
    assert "frames" not in clip and "S001C001P001R001A023" in clip["no_frames"]
    assert clip["no_frames"] in build_report(folder).read_text().replace("&#39;", "'")


def test_clips_are_spread_over_the_predictions_and_never_twice(tmp_path):
    records = [{**PREDICTION, "video_name": f"v{n:02}"} for n in range(30) for _ in range(2)]
    write_json(tmp_path / "predictions.json", records)
    names = [clip["video_name"] for clip in sample_clips(tmp_path)]
    assert len(set(names)) == len(names) == CLIPS and names[0] == "v00" and names[-1] >= "v27"


def test_times_of_a_stage_taken_up_again_are_summed(folder):
    assert stage_times(folder) == [("curate", 6, 0.75), ("train", 8.0, 1.0)]


def test_recipe_is_what_the_files_say(folder):
    rows = {what: here for what, here, _ in recipe_rows(folder)}
    assert rows["batch size"] == 8 and rows["learning rate, highest"] == "1.0e-03" and rows["epochs"] == 1.5
    assert rows["skeleton tokens × width"] is None


@pytest.mark.slow
def test_losses_that_are_no_numbers_are_left_out_of_the_curve():
    lines = [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": 1.0}, {"loss": 3.0}, {"step": 3, "train_loss": 1.0}]
    assert loss_points(lines) == [(2.0, 1.0)]
    assert loss_curve([(2.0, 1.0)]) == loss_curve([(2.0, 1.0)]), "the same run gives the same picture"


def test_accuracy_tables_of_other_shapes():
    assert accuracy_table({"share": 0.5, "clips": 60}) == (["", "value"], [["share", "0.5"], ["clips", "60"]])
    assert accuracy_table([{"a": 1}, {"b": 2}]) == (["a", "b"], [["1", "not run"], ["not run", "2"]])
    assert accuracy_table([]) is accuracy_table({}) is accuracy_table(3) is None


@pytest.mark.slow
def test_command(folder, capsys):
    assert main(["--run", str(folder), "--out", str(folder / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out and (folder / "page.html").stat().st_size > 5000
    with pytest.raises(FileNotFoundError, match="quickstart"):
        main(["--run", str(folder / "none")])
