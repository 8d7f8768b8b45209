"""The tables as files: commands run and skipped, and the printed page. No model is trained here."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.figure_5_alpha import TABLE as FIGURE_5
from scripts.figure_5_alpha import draw
from scripts.table_1_alignment import TABLE as TABLE_1
from scripts.table_2_zero_shot import TABLE as TABLE_2
from scripts.table_4_distillation import TABLE as TABLE_4
from scripts.table_5_distance import TABLE as TABLE_5
from scripts.table_6_text_encoder import TABLE as TABLE_6
from scripts.table_7_pretraining import TABLE as TABLE_7
from scripts.tables import data, recognition_command, recognition_table
from scripts.tables import jobs as table_jobs
from scripts.tables.command import exit_code
from scripts.tables.jobs import FINISHED, Place, Step, in_order, places, run_steps, subprocess_runner
from scripts.tables.later_systems import note
from scripts.tables.recognition_command import evaluations, flags_of, make, plan_of, table_main
from scripts.tables.recognition_plan import RecognitionPlan
from scripts.tables.recognition_table import markdown, verdict
from scripts.tables.results import Results, Training, number
from scripts.tables.rows import Row, Table
from scripts.tables.scales import PAPER, SYNTHETIC, with_backbone
from ski_lvlm.storage.shards import WHOLE, only_process
from tests.cases.command_case import HANG, ROOT
from tests.cases.data_set_case import write_data_set

pytestmark = pytest.mark.slow

TABLES = [TABLE_1, TABLE_2, TABLE_4, TABLE_5, TABLE_6, TABLE_7, FIGURE_5]
CLASSES = ("A6", "A23", "A60", "A64")


def zero_shot(accuracies, *, chance=0.25):
    shares = dict(zip(CLASSES, accuracies, strict=True))
    return {"unseen": {"top1": sum(accuracies) / len(accuracies), "chance": chance, "per_class": shares}}


class FakeRunner:
    """Stands for the processes: writes what a command would leave, and remembers the commands."""

    def __init__(self, accuracies=lambda folder: (0.5, 0.5, 0.75, 0.75)):
        self.accuracies = accuracies
        self.folders, self.commands = [], []
        self.refuses = lambda folder: False

    def __call__(self, command, *, log, threads, gpus, lock):
        folder = log.parent
        self.commands.append([*command[1:], *gpus])
        self.folders.append(folder)
        if self.refuses(folder):
            log.write_text("error: a reason\n")
            return 2
        if "eval/zero_shot.py" in command[1]:
            (folder / "zero_shot.json").write_text(json.dumps(zero_shot(self.accuracies(folder.parent.name))))
        elif "train_ski_vlm.py" in command[1]:
            (folder / "result.json").write_text("{}")
        else:
            (folder / "frames.json").write_text("{}")
        return 0

    def names(self):
        return [folder.name for folder in self.folders]


@pytest.fixture
def runner():
    return FakeRunner()


def arguments(table, tmp_path, *flags):
    data = ["--ntu", str(tmp_path / "ntu"), "--prepared", str(tmp_path / "prepared"), "--out", str(tmp_path / "out")]
    return flags_of(table, "").parse_args([*data, *flags])


def made(table, tmp_path, runner, *flags):
    return make(table, arguments(table, tmp_path, *flags), runner=runner)


def steps_of(table, *, scale, column, out=Path("/out")):
    plan = RecognitionPlan(Path("/ntu"), Path("/prepared"), None, out, scale)
    return in_order(evaluations(table.rows, plan=plan, columns=(column,), seeds={r.name: 2 for r in table.rows}))


def test_rows_look_like_the_paper_s():
    sizes = {table.name: len([r for r in table.rows if "†" not in r.name]) for table in TABLES}
    assert sizes == {
        "table_1": 10,
        "table_2": 8,
        "table_4": 4,
        "table_5": 3,
        "table_6": 2,
        "table_7": 4,
        "figure_5": 7,
    }
    for table in TABLES:
        assert len({row.name for row in table.rows}) == len(table.rows)
        for row in table.rows:
            assert len(row.cells) == len(table.labels) and len(row.published) == len(table.columns)
        assert all(a != b for a, b in table.comparisons())


def test_what_a_row_shows_at_test_is_its_modality_column():
    """V and S columns of Table 1, and --modality of the evaluation, are two spellings of one thing."""
    for row in TABLE_1.rows:
        _, video, text, skeleton = row.cells
        assert text == "✓"
        assert (video == "✓", skeleton == "✓") == (row.modality != "skeleton", row.modality != "video")


def test_each_ski_student_is_compared_with_its_student_and_with_longer_training():
    pairs = [(row.name, other.name) for row, other in TABLE_1.comparisons() if row.name.startswith("SKI-")]
    assert len(pairs) == 6
    for row, other in pairs:
        assert other.startswith(row.removeprefix("SKI-"))


@pytest.mark.slow
def test_everything_runs_once_and_in_the_order_of_its_needs(tmp_path, runner):
    result = made(TABLE_4, tmp_path, runner)
    assert not result.failed
    names = runner.names()
    trained = [name for name in names if not name.startswith("zero_shot")]
    assert len(trained) == len(set(trained)) == 1 + 3 + 4  # frames; student, skeletons twice; the rows
    for before, after in [("frames", "vificlip"), ("skeleton_pretrain", "skeleton_align")]:
        assert names.index(before) < names.index(after)
    assert names.index("skeleton_align") < names.index("ski_vificlip")
    assert names.count("zero_shot_video") == 4


@pytest.mark.slow
def test_a_second_run_does_nothing_and_prints_the_same(tmp_path, runner, capsys):
    made(TABLE_4, tmp_path, runner)
    first = (tmp_path / "out" / "table_4.md").read_text()
    again = FakeRunner()
    made(TABLE_4, tmp_path, again)
    assert again.folders == []
    assert (tmp_path / "out" / "table_4.md").read_text() == first
    assert first in capsys.readouterr().out


@pytest.mark.slow
def test_tables_share_what_they_have_in_common(tmp_path, runner):
    made(TABLE_4, tmp_path, runner)
    second = FakeRunner()
    made(TABLE_5, tmp_path, second)
    assert second.names() == [
        *("ski_vificlip-distance_contrastive", "zero_shot_video"),
        *("ski_vificlip-distance_kl", "zero_shot_video"),
    ]


def test_the_alpha_of_the_split_is_no_other_run():
    folders = {
        column: [step.folder.name for step in steps_of(FIGURE_5, scale=SYNTHETIC, column=column)]
        for column in ("synthetic", "ntu60/48-12")
    }
    for column, usual in [("synthetic", "alpha_10"), ("ntu60/48-12", "alpha_0.01")]:
        assert "ski_vificlip" in folders[column]
        assert f"ski_vificlip-{usual}" not in folders[column]
    assert "ski_vificlip-alpha_0" in folders["synthetic"]


@pytest.mark.slow
def test_a_run_killed_between_rows_goes_on_there(tmp_path, runner):
    class Killed(Exception):
        pass

    def die(folder):
        if folder.name == "ski_vificlip-teacher_offline":
            raise Killed
        return False

    runner.refuses = die
    with pytest.raises(Killed):
        made(TABLE_4, tmp_path, runner)
    before = set(runner.folders) - {tmp_path / "out" / "synthetic" / "seed_0" / "ski_vificlip-teacher_offline"}
    resumed = FakeRunner()
    made(TABLE_4, tmp_path, resumed)
    assert resumed.folders and not before & set(resumed.folders)


@pytest.mark.slow
def test_a_failed_row_leaves_the_others(tmp_path, runner, capsys):
    runner.refuses = lambda folder: "distance_kl" in folder.name
    result = made(TABLE_5, tmp_path, runner)
    assert [step.title for step in result.failed] == ["synthetic/seed_0/ski_vificlip-distance_kl"]
    printed = capsys.readouterr().out
    assert "error: a reason" in printed and "log.txt" in printed
    assert "| Contrastive Loss | 46.9 | 70.0 | 62.5 (1) |" in printed
    assert "| KL Divergence Loss | 48.5 | 73.1 | – |" in printed
    assert "– KL Divergence Loss: not run." in printed
    assert exit_code(result.failed) == 1


def test_a_command_that_leaves_nothing_behind_has_failed(tmp_path):
    result = made(TABLE_6, tmp_path, lambda command, **_: 0)
    assert [step.title for step in result.failed] == ["frames"]


def test_rows_of_other_names_are_not_run(tmp_path, runner):
    made(TABLE_1, tmp_path, runner, "--rows", "skeletonclip", "--seeds", "1")
    assert set(runner.names()) == {
        *("frames", "skeleton_pretrain", "skeleton_align", "vificlip"),  # of SkeletonCLIP, and ViFiCLIP + SkeletonCLIP
        *("ski_vificlip-alignment_fusion", "zero_shot_skeleton", "zero_shot_both"),
    }
    with pytest.raises(ValueError, match=r"'nothing'[^$]* no row; the rows are Contrastive Loss; KL"):
        made(TABLE_5, tmp_path, runner, "--rows", "kl", "nothing")


def test_rows_are_picked_by_several_texts_in_the_table_s_order():
    picked = TABLE_2.matching(["floor", "SynSE", "synse (gupta"])
    assert [row.method.method for row in picked] == ["synse", "ridge"]


def test_a_folder_with_the_result_of_other_settings_is_refused(tmp_path, runner, monkeypatch):
    made(TABLE_6, tmp_path, runner)
    changed = replace(SYNTHETIC, skeleton_pretrain="--num_train_epochs 7")
    monkeypatch.setattr(recognition_command, "SYNTHETIC", changed)
    again = FakeRunner()
    with pytest.raises(ValueError, match=r"skeleton_pretrain holds the result of another command[^$]*--out"):
        made(TABLE_6, tmp_path, again)
    assert not again.folders


@pytest.mark.slow
def test_finished_runs_may_be_moved(tmp_path, runner):
    made(TABLE_6, tmp_path, runner)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    again = FakeRunner()
    args = arguments(TABLE_6, tmp_path)
    args.out = tmp_path / "elsewhere"
    make(TABLE_6, args, runner=again)
    assert again.folders == []


def test_dry_run_prints_the_commands_that_are_left_and_leaves_no_trace(tmp_path, runner, capsys):
    made(TABLE_6, tmp_path, runner, "--dry_run")
    lines = capsys.readouterr().out.splitlines()
    assert runner.folders == [] and not (tmp_path / "out").exists()
    assert all(line.startswith("python ") for line in lines) and len(lines) == 1 + 1 + 3 + 4
    assert any("train_ski_vlm.py --stage distill" in line and "--teacher_text trainable" in line for line in lines)
    made(TABLE_6, tmp_path, runner)
    capsys.readouterr()
    made(TABLE_6, tmp_path, runner, "--dry_run")
    assert capsys.readouterr().out.strip() == ""


def test_commands_are_shown_as_one_types_them_where_one_stands(tmp_path, monkeypatch):
    step = Step(("eval/zero_shot.py", "--out", tmp_path / "a b"), "x", tmp_path, tmp_path / "a b")
    monkeypatch.chdir(tmp_path)
    assert step.command_line() == f"python {ROOT / 'eval/zero_shot.py'} --out 'a b'"
    monkeypatch.chdir(ROOT)
    assert step.command_line() == f"python eval/zero_shot.py --out '{tmp_path / 'a b'}'"


def test_rows_run_at_the_same_time_and_share_the_processors(tmp_path, monkeypatch):
    monkeypatch.setattr(table_jobs.os, "cpu_count", lambda: 6)
    together, maximum, thread_counts, lock_ = [0], [0], set(), threading.Lock()
    three = threading.Barrier(3, timeout=HANG)

    def runner(command, *, log, threads, gpus, lock):
        thread_counts.add(threads)
        with lock_:
            together[0] += 1
            maximum[0] = max(maximum[0], together[0])
        three.wait()
        with lock_:
            together[0] -= 1
        (log.parent / "done").touch()
        return 0

    steps = [Step(("train.py", str(i)), "done", tmp_path, tmp_path / str(i)) for i in range(6)]
    assert run_steps(steps, jobs=3, runner=runner) == []
    assert maximum == [3] and thread_counts == {2}


def test_what_needs_a_failed_step_is_not_run(tmp_path):
    first = Step(("a.py",), "done", tmp_path, tmp_path / "a")
    second = Step(("b.py",), "done", tmp_path, tmp_path / "b", (first,))
    ran = []
    assert run_steps([second], jobs=2, runner=lambda command, **_: ran.append(command) or 1) == [first]
    assert len(ran) == 1 and not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_real_process_logs_and_reports_its_exit_code(tmp_path, monkeypatch):
    with (tmp_path / "lock").open("w") as lock:
        code = "import os, sys; print(*map(os.environ.get, ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES'))); sys.exit(3)"
        log, command = tmp_path / "log.txt", [sys.executable, "-c", code]
        assert subprocess_runner(command, log=log, threads=2, gpus=["3", "GPU-5f"], lock=lock.fileno()) == 3
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
        assert subprocess_runner(command, log=log, threads=1, gpus=[], lock=lock.fileno()) == 3
    assert log.read_text() == "2 3,GPU-5f\n1 7\n"


@pytest.mark.parametrize(
    ("names", "jobs", "gpus", "expected"),
    [
        ("01234567", 2, "4", [(4, "0123"), (4, "4567")]),
        ("01234567", 8, None, [(1, name) for name in "01234567"]),
        ("01234567", 3, "all", [(2, "01"), (2, "23"), (2, "45")]),
        ("01", 3, None, [(1, "0"), (1, "1"), (1, "0")]),  # as before, where jobs share what there is
        ("01", 1, None, [(1, "0")]),
        ("", 2, None, [(1, ""), (1, "")]),
        ("", 2, "3", [(3, ""), (3, "")]),  # processes on the CPU
    ],
)
def test_each_job_has_gpus_of_its_own(monkeypatch, names, jobs, gpus, expected):
    monkeypatch.setattr(table_jobs, "visible_gpus", lambda: list(names))
    assert [(place.processes, "".join(place.gpus)) for place in places(jobs=jobs, gpus=gpus)] == expected


@pytest.mark.parametrize(
    ("jobs", "gpus", "message"),
    [
        (3, "2", "--jobs 3 and --gpus 2: found 4 GPUs, expected 6"),
        (1, "5", "--gpus 5: found 4 on this machine"),
        (5, "all", "found 4 GPUs, expected 5"),
        (1, "many", "expected a whole number from 1 or 'all'"),
    ],
)
def test_more_gpus_than_there_are_are_refused_before_anything_is_run(tmp_path, monkeypatch, jobs, gpus, message):
    monkeypatch.setattr(table_jobs, "visible_gpus", lambda: list("0123"))
    step = Step(("train_ski_vlm.py",), "done", tmp_path, tmp_path / "a")
    with pytest.raises(ValueError, match=message):
        run_steps([step], jobs=jobs, gpus=gpus, runner=lambda command, **_: 1 / 0)


def test_jobs_at_the_same_time_never_share_a_gpu_and_stages_are_started_on_all_of_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(table_jobs, "visible_gpus", lambda: list("abcd"))
    busy, maximum, used, commands, guard = set(), [0], set(), [], threading.Lock()
    both = threading.Barrier(2, timeout=HANG)

    def runner(command, *, log, threads, gpus, lock):
        with guard:
            assert not busy & {*gpus}
            busy.update(gpus)
            used.add(tuple(gpus))
            commands.append(command)
            maximum[0] = max(maximum[0], len(busy))
        both.wait()
        (log.parent / "done").touch()
        with guard:
            busy.difference_update(gpus)
        return 0

    scripts = ["train_ski_vlm.py", "eval/zero_shot.py", "scripts/prepare_ntu.py"] * 4
    steps = [Step((script, str(i)), "done", tmp_path, tmp_path / str(i)) for i, script in enumerate(scripts)]
    assert run_steps(steps, jobs=2, gpus="2", runner=runner) == []
    assert used == {("a", "b"), ("c", "d")} and maximum == [4]
    for command in commands:
        assert (command[-2:] == ["--gpus", "2"]) == ("prepare_ntu" not in command[1])
    assert '--gpus 2"' in (tmp_path / "0" / FINISHED).read_text()


@pytest.mark.slow
def test_another_number_of_gpus_runs_nothing_again(tmp_path, runner, monkeypatch, capsys):
    monkeypatch.setattr(table_jobs, "visible_gpus", lambda: list("0123"))
    made(TABLE_6, tmp_path, runner, "--gpus", "2", "--dry_run")
    for line in capsys.readouterr().out.splitlines():
        assert line.endswith(" --gpus 2") == ("cache_frames" not in line)
    made(TABLE_6, tmp_path, runner, "--gpus", "2", "--jobs", "2")
    assert all(command[-1] in "13" for command in runner.commands)
    again = FakeRunner()
    made(TABLE_6, tmp_path, again)
    assert again.folders == []


@pytest.mark.slow
def test_a_second_table_waits_for_the_child_of_a_killed_one(tmp_path):
    """Else two trainers would write into one folder."""
    step = Step(("train.py",), "done", tmp_path, tmp_path / "run")
    children = []

    def dies(command, *, log, threads, gpus, lock):
        child = ["sh", "-c", 'sleep 0.6; touch "$0"', str(tmp_path / "child_ended")]
        children.append(subprocess.Popen(child, pass_fds=(lock,)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        table_jobs.run_step(step, runner=dies, place=Place(1))

    def second(command, *, log, threads, gpus, lock):
        assert (tmp_path / "child_ended").exists() and children[0].wait() == 0
        (log.parent / "done").touch()
        return 0

    assert table_jobs.run_step(step, runner=second, place=Place(1))
    assert (step.folder / FINISHED).exists()


def test_a_step_s_lock_is_not_that_of_its_command(tmp_path):
    def locks_too(command, *, log, threads, gpus, lock):
        with only_process(log.parent / ".lock", WHOLE):
            (log.parent / "done").touch()
        return 0

    assert table_jobs.run_step(
        Step(("train.py",), "done", tmp_path, tmp_path / "run"), runner=locks_too, place=Place(1)
    )


def test_three_seeds_rotate_the_unseen_classes(tmp_path, runner):
    made(TABLE_1, tmp_path, runner, "--rows", "SKI-XCLIP")
    trained = {str(f.relative_to(tmp_path / "out")) for f in runner.folders if f.name == "ski_xclip"}
    assert trained == {
        f"{split}/seed_{k}/ski_xclip" for k, split in enumerate(["synthetic", "synthetic_1", "synthetic_2"])
    }


def test_on_ntu_a_seed_changes_and_the_split_stays():
    folders = {step.title for step in steps_of(TABLE_5, scale=PAPER, column="ntu60/48-12")}
    assert {"ntu60_48-12/seed_0/ski_vificlip", "ntu60_48-12/seed_1/ski_vificlip"} <= folders
    seeded = [step for step in steps_of(TABLE_5, scale=PAPER, column="ntu60/48-12") if "--seed" in step.command]
    assert seeded and all("seed_1" in step.title for step in seeded)


def test_students_are_tested_without_any_skeleton_and_trained_without_one():
    for step in steps_of(TABLE_1, scale=SYNTHETIC, column="synthetic"):
        if step.folder.name in ("zero_shot_video", "vificlip", "xclip", "froster"):
            assert "--prepared" not in step.command


def starts(command):
    """Return the folders of the student and the SkeletonCLIP that a distillation starts from."""
    return [command[command.index(flag) + 1].name for flag in ("--video_student", "--skeleton_clip")]


def test_table_7_says_what_each_side_starts_from():
    commands = {s.folder.name: s.command for s in steps_of(TABLE_7, scale=SYNTHETIC, column="synthetic")}
    untrained = "ski_vificlip-video_finetuned_False-skeletons_untrained"
    assert starts(commands[untrained]) == ["vificlip-untrained", "skeleton_pretrain-untrained"]
    assert starts(commands["ski_vificlip-video_finetuned_False"]) == ["vificlip-untrained", "skeleton_align"]
    assert starts(commands["ski_vificlip-skeletons_untrained"]) == ["vificlip", "skeleton_pretrain-untrained"]
    assert starts(commands["ski_vificlip"]) == ["vificlip", "skeleton_align"]
    trained = [name for name, command in commands.items() if "--batch_norm" in command]
    assert sorted(trained) == ["ski_vificlip-skeletons_untrained", untrained]  # statistics never pretrained
    for name in ("vificlip-untrained", "skeleton_pretrain-untrained"):
        command = commands[name]
        assert command.count("--num_train_epochs") == 1 and command[command.index("--num_train_epochs") + 1] == "0"


def test_ntu_is_run_with_the_paper_s_own_settings():
    flags = {
        word
        for table in TABLES
        for split in table.columns
        for step in steps_of(table, scale=PAPER, column=split)
        for word in step.command
        if str(word).startswith("--")
    }
    assert not flags & {"--batch_size", "--learning_rate", "--num_heads", "--side", "--frames_cache", "--backbone"}


def test_another_backbone_brings_its_own_text_tower_and_resolution():
    scale = with_backbone(SYNTHETIC, "openai/clip-vit-base-patch32")
    assert "--side" not in scale.student and scale.frames.endswith("--side 224")
    by_name = {s.folder.name: list(s.command) for s in steps_of(TABLE_2, scale=scale, column="synthetic")}
    assert "--text_encoder" not in by_name["vificlip"] and "openai/clip-vit-base-patch32" in by_name["vificlip"]
    aligned = by_name["skeleton_align"]
    assert aligned[aligned.index("--text_encoder") + 1] == "openai/clip-vit-base-patch32"
    assert "vificlip-untrained" in by_name  # vanilla CLIP can then be tested as it is


def test_the_zero_training_row_says_why_it_is_empty(tmp_path, runner):
    result = made(TABLE_2, tmp_path, runner, "--rows", "CLIP (Radford", "--seeds", "1")
    assert runner.folders == []
    text = (result.out / "table_2.md").read_text()
    assert "– CLIP (Radford et al. 2021): efficientnet-lite0 was not pretrained together with a text tower." in text
    assert "; STAR (Chen et al. 2024); MSF (MSF-GZSSAR 2023) †; " in text and text.count("not run.") == 1
    assert "SynSE on our Hyperformer" in text and text.endswith(f"{note()}\n")
    assert "| CLIP (Radford et al. 2021) | ✓ | ✓ | ✗ | 54.5 | 20.2 | 35.0 | 15.2 | – |  |" in text


@pytest.mark.slow
def test_published_numbers_stand_beside_ours(tmp_path, runner):
    made(TABLE_4, tmp_path, runner, "--data", "ntu")
    text = (tmp_path / "out" / "table_4.md").read_text()
    head = (
        "| Method | NTU60 48/12 paper | NTU60 48/12 ours | 95 % | NTU120 110/10 paper | NTU120 110/10 ours | 95 % "
        "| Harmonic Mean paper | ours |"
    )
    assert head in text
    row = "| Offline KD | 53.3 | 62.5 (1) | 50.0 to 75.0 | 70.8 | 62.5 (1) | 50.0 to 75.0 | 60.8 | 62.5 |"
    assert row in text
    assert "toy" not in text


@pytest.mark.slow
def test_the_json_has_every_number(tmp_path, runner):
    made(TABLE_4, tmp_path, runner)
    table = json.loads((tmp_path / "out" / "table_4.json").read_text())
    online = table["rows"][-1]
    assert online["published"] == {"ntu60/48-12": 52.0, "ntu120/110-10": 77.5}
    assert online["ours"]["synthetic"]["per_seed"] == [62.5] and online["ours"]["synthetic"]["chance"] == 25.0
    assert online["ours"]["synthetic"]["spread"] is None
    assert online["ours"]["synthetic"]["per_class"] == {"A23": 50.0, "A6": 50.0, "A60": 75.0, "A64": 75.0}
    assert table["scale"]["backbone"] == "efficientnet-lite0" and len(table["comparisons"]) == 3


def training(*accuracies):
    return Training(sum(accuracies) / 4, dict(zip(CLASSES, accuracies, strict=True)), 25.0)


def test_several_trainings_give_mean_spread_and_an_interval_over_classes():
    cell = number([training(*[50.0] * 4), training(*[51.0] * 4)])
    assert (cell.mean, cell.chance, cell.per_training) == (50.5, 25.0, (50.0, 51.0))
    assert cell.spread == pytest.approx(0.5**0.5)
    assert cell.interval == pytest.approx((50.5, 50.5))  # all classes have the same two accuracies
    assert (cell.groups, cell.items, cell.values) == (4, 4, 8)


def compared(row, baseline):
    """Compare two rows, each seed → training. Return None where no seed has both."""
    rows = (Row(("row",), (), None, against=("baseline",)), Row(("baseline",), (), None))
    table = Table("table", "", (), (), rows)
    cells = {("row", "synthetic"): row, ("baseline", "synthetic"): baseline}
    return next(iter(Results(table, ("synthetic",), cells, verdict).comparisons()), None)


@pytest.mark.parametrize(
    ("row", "baseline", "expected"),
    [
        ((60.0, 70.0, 80.0, 90.0), (50.0, 60.0, 70.0, 80.0), "better"),
        ((40.0, 50.0, 60.0, 70.0), (50.0, 60.0, 70.0, 80.0), "worse"),
        ((60.0, 50.0, 80.0, 70.0), (50.0, 60.0, 70.0, 80.0), "not significant"),
        ((90.0, 90.0, 90.0, 90.0), (25.0, 25.0, 25.0, 25.0), "no conclusion: baseline 25.0, from 25.0; chance 25.0"),
    ],
)
def test_a_difference_counts_only_over_a_baseline_above_chance(row, baseline, expected, monkeypatch):
    monkeypatch.setattr(recognition_table, "ENOUGH_CLASSES", 4)
    comparison = compared({0: training(*row)}, {0: training(*baseline)})
    assert comparison.verdict == expected and comparison.points.values == 4


def test_few_classes_allow_no_verdict():
    comparison = compared({0: training(*[90.0] * 4)}, {0: training(*[50.0] * 4)})
    assert comparison.verdict == "no conclusion: 4 classes" and comparison.points.mean == 40.0


def test_differences_pair_the_same_classes_of_the_same_seeds():
    row = {0: training(60.0, 70.0, 80.0, 90.0), 1: training(*[0.0] * 4)}
    baseline = {0: training(50.0, 60.0, 70.0, 80.0), 2: training(*[0.0] * 4)}
    points = compared(row, baseline).points
    assert (points.mean, points.interval) == (10.0, (10.0, 10.0))
    assert compared({1: training(*[1.0] * 4)}, baseline) is None


@pytest.mark.slow
def test_differences_stand_below_table_1(tmp_path, monkeypatch):
    monkeypatch.setattr(recognition_table, "ENOUGH_CLASSES", 4)
    accuracies = {"vificlip": (0.5, 0.5, 0.5, 0.5), "ski_vificlip": (0.6, 0.6, 0.6, 0.6)}
    runner = FakeRunner(lambda folder: accuracies.get(folder, (0.25, 0.25, 0.25, 0.25)))
    result = made(TABLE_1, tmp_path, runner, "--seeds", "1")
    text = markdown(result.results, toy=True)
    assert "| SKI-ViFiCLIP | ViFiCLIP (Rasheed et al. 2023) | synthetic | better | +10.0 | 10.0 to 10.0 | 4 |" in text
    assert "| SKI-XCLIP | XCLIP (Ni et al. 2022) | synthetic | no conclusion: baseline 25.0" in text


def test_a_data_set_of_ones_own_has_its_splits_as_columns(tmp_path):
    folder = str(write_data_set(tmp_path / "home"))
    args = flags_of(TABLE_1, "").parse_args(["--data", folder, "--scale", "miniature", "--out", str(tmp_path / "out")])
    assert recognition_command.columns_of(TABLE_1, args) == ("home/A",)
    plan = plan_of(args)
    steps = in_order(evaluations(TABLE_1.rows, plan=plan, columns=("home/A",), seeds={r.name: 1 for r in TABLE_1.rows}))
    for step in steps:
        words = list(map(str, step.command))
        assert words[words.index("--data") + 1] == folder
        assert not {"--ntu", "--prepared"} & set(words)
        assert "--split" not in words or words[words.index("--split") + 1] == "home/A"
    assert {step.command[0] for step in steps} == {"scripts/cache_frames.py", "train_ski_vlm.py", "eval/zero_shot.py"}
    with pytest.raises(ValueError, match="--prepared cannot be used with --data"):
        plan_of(flags_of(TABLE_1, "").parse_args(["--data", folder, "--prepared", "x"]))
    with pytest.raises(ValueError, match="--columns home/B is no column; expected some of home/A"):
        args = flags_of(TABLE_1, "").parse_args(["--data", folder, "--columns", "home/B"])
        recognition_command.columns_of(TABLE_1, args)


def test_several_splits_of_ones_own_stand_together_too(tmp_path):
    splits = {"A": {"unseen": ["wave", "fold"]}, "B": {"unseen": ["sweep", "pour tea"]}}
    folder = write_data_set(tmp_path / "home", splits=splits)
    args = ["--data", str(folder), "--scale", "small", "--out", str(tmp_path / "out"), "--seeds", "2"]
    by_split = {"home_A": (0.25, 0.25, 0.75, 0.75), "home_B": (1.0, 1.0, 1.0, 1.0)}
    runner = FakeRunner()
    runner.accuracies = lambda _: by_split[runner.folders[-1].parents[2].name]
    flags = flags_of(TABLE_2, "").parse_args([*args, "--rows", "SynSE", "Floor"])
    results = make(TABLE_2, flags, runner=runner).results
    cell = results.number(TABLE_2.matching(["SynSE"])[0], "all splits")
    assert (cell.mean, cell.groups, cell.values, cell.per_training) == (75.0, 8, 16, (75.0, 75.0))
    assert [c.column for c in results.comparisons()] == ["home/A", "home/B", "all splits"]


def test_data_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--data ntu without --ntu"):
        plan_of(flags_of(TABLE_1, "").parse_args(["--data", "ntu"]))
    with pytest.raises(ValueError, match="leave the flag out"):
        plan_of(flags_of(TABLE_1, "").parse_args(["--columns", "ntu60/48-12"]))


@pytest.mark.parametrize("finished", [False, True])
def test_the_quickstart_s_data_is_used_if_it_is_whole_and_made_otherwise(tmp_path, monkeypatch, finished):
    monkeypatch.setattr(data, "QUICKSTART", tmp_path)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "synthesize").touch()
    if finished:
        (tmp_path / "done" / "prepare").touch()
    plan = plan_of(flags_of(TABLE_1, "").parse_args(["--out", str(tmp_path / "out")]))
    made_by = [step.command[0] for step in plan.data_steps]
    if finished:
        assert plan.ntu == tmp_path / "ntu" and made_by == ["scripts/cache_frames.py"]
    else:
        assert plan.ntu == tmp_path / "out" / "ntu"
        assert made_by == ["data_curation/synthesize.py", "scripts/prepare_ntu.py", "scripts/cache_frames.py"]


def test_ntu_is_prepared_if_need_be_and_its_videos_are_not_copied():
    plan = plan_of(flags_of(TABLE_1, "").parse_args(["--data", "ntu", "--ntu", "/data/ntu"]))
    assert [step.command[0] for step in plan.data_steps] == ["scripts/prepare_ntu.py"]
    assert plan.frames is None


@pytest.mark.slow
def test_figure_5_draws_what_there_is(tmp_path):
    cells = {(row.name, "synthetic"): {0: training(40.0, 50.0, 60.0, 70.0)} for row in FIGURE_5.rows[1:]}
    draw(Results(FIGURE_5, ("synthetic",), cells, verdict), path=tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_table_s_exit_code_tells_of_failures(tmp_path, monkeypatch):
    runner = FakeRunner()
    runner.refuses = lambda folder: folder.name == "skeleton_align"
    monkeypatch.setattr("scripts.tables.command.run_steps", lambda steps, **_: run_steps(steps, jobs=1, runner=runner))
    flags = ["--out", str(tmp_path / "out"), "--ntu", str(tmp_path), "--prepared", str(tmp_path)]
    assert table_main(TABLE_6, "", flags) == 1
    runner.refuses = lambda folder: False
    assert table_main(TABLE_6, "", flags) == 0


def all_commands():
    columns = [(table, SYNTHETIC, "synthetic") for table in TABLES]
    columns += [(table, PAPER, split) for table in TABLES for split in table.columns]
    return {s for table, scale, column in columns for s in steps_of(table, scale=scale, column=column)}


@pytest.mark.slow
def test_train_ski_vlm_accepts_the_flags_of_every_row():
    from train_ski_vlm import parse

    trainings = {step.command for step in all_commands() if step.command[0] == "train_ski_vlm.py"}
    assert len(trainings) > 100
    parsed = {}
    for command in trainings:
        flags = [str(word) for word in command[1:]]
        shape = tuple(word for word in command[1:] if isinstance(word, str) and "/" not in word)
        if shape not in parsed:  # the parser is slow; commands that differ in paths and splits alone are parsed once
            parsed[shape] = parse(flags)
            stage, recipe, args = parsed[shape]
            assert stage == flags[1] and recipe.split == flags[3] and str(args.output_dir) in flags
    assert {stage for stage, _, _ in parsed.values()} == {
        *("skeleton_pretrain", "skeleton_align", "skeleton_text", "video_finetune", "distill")
    }


@pytest.mark.slow
def test_eval_accepts_the_flags_of_every_row():
    from eval.zero_shot import parse

    evaluations_ = {step.command for step in all_commands() if step.command[0] == "eval/zero_shot.py"}
    assert {parse([str(word) for word in command[1:]]).modality for command in evaluations_} == {
        *("video", "skeleton", "both")
    }
