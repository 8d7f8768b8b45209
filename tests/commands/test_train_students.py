"""Stages 3 and 4 as commands: what a run leaves, kill and resume, torchrun and DeepSpeed."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import train_ski_vlm
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, load_student, read_card
from ski_lvlm.dual_encoders.students import build_student
from tests.cases.command_case import ROOT, kill_at, run, run_ranks, torchrun
from tests.cases.lvlm_commands import needs_compiler
from tests.cases.skeleton_case import SEEN, SPLIT, packed_set
from tests.cases.skeleton_text_case import skeleton_text_run
from tests.cases.student_case import KINDS, changed, flags, weights, write_case

pytestmark = pytest.mark.slow


SCRIPT = str(Path(train_ski_vlm.__file__))
SMALL_STEPS = {"optim": "sgd", "learning_rate": 1e-5}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("students"))


@pytest.fixture(scope="module")
def runs(case, tmp_path_factory):
    """Every student, fine-tuned and then distilled for an epoch of three steps."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        train_ski_vlm.main(finetune_flags(case, folder, kind))
        train_ski_vlm.main(distill_flags(case, folder, kind))
    return folder


def finetune_flags(case, folder, kind, **settings):
    return flags(case.finetune(student=kind), folder / f"tuned_{kind}", logging_steps=1, **settings)


def distill_flags(case, folder, kind, **settings):
    recipe = case.distill(video_student=str(folder / f"tuned_{kind}"))
    return flags(recipe, folder / f"ski_{kind}", logging_steps=1, **settings)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def losses(folder):
    return {line["step"]: line["loss"] for line in lines(folder) if "loss" in line}


def finished(command_flags, *, launcher=(sys.executable,)):
    return printed(run([*launcher, SCRIPT, *command_flags]))


def printed(process):
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


def apart(one, other):
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_a_student_is_fine_tuned(runs, case, kind):
    student, card = load_student(runs / f"tuned_{kind}")
    assert (card.stage, card.student, card.split, card.seen) == ("video_finetune", kind, "synthetic", SPLIT.seen)
    assert changed(weights(load_student(Path(case.student(kind)))[0]), student)
    recipe = json.loads((runs / f"tuned_{kind}" / "recipe.json").read_text())
    assert recipe["student"] == kind and recipe["learning_rate"] == 0.01
    logged = lines(runs / f"tuned_{kind}")[:3]
    for line in logged:
        parts = {name: line[name] for name in line if name.startswith("loss_")}
        assert set(parts) == {"loss_video", "loss_own"} if kind == "froster" else {"loss_video"}
        assert sum(parts.values()) == pytest.approx(line["loss"], rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_student_and_skeleton_clip_are_distilled_by_equation_3(runs, case, kind):
    folder = runs / f"ski_{kind}"
    student, card = load_student(folder)
    assert (card.stage, card.student) == ("distill", kind)
    assert changed(weights(load_student(runs / f"tuned_{kind}")[0]), student)
    teacher, _ = load_skeleton_clip(folder / "skeleton_clip")
    assert changed(weights(load_skeleton_clip(Path(case.aligned))[0]), teacher)
    assert read_card(folder / "skeleton_clip", SkeletonEncoderCard).stage == "distill"
    result = json.loads((folder / "result.json").read_text())
    assert (result["clips"], result["clips_without_skeleton"]) == (24, 12)
    logged = [line for line in lines(folder) if "loss" in line]
    assert len(logged) == 3
    for line in logged:
        own_loss = line.get("loss_own", 0.0)
        by_hand = line["loss_video"] + own_loss + line["loss_skeleton"] + 10 * line["loss_distance"]  # alpha is 10
        assert line["loss"] == pytest.approx(by_hand, rel=1e-4) and (own_loss > 0) == (kind == "froster")


def test_a_finished_run_is_not_repeated_and_other_settings_are_refused(runs, case, capsys):
    for flags_of in (finetune_flags, distill_flags):
        capsys.readouterr()
        train_ski_vlm.main(flags_of(case, runs, "xclip"))
        assert "is finished (result.json); delete it to train again" in capsys.readouterr().out
        with pytest.raises(ValueError, match="begun with other settings .learning_rate 0.01, now 0.5"):
            train_ski_vlm.main(flags_of(case, runs, "xclip", learning_rate=0.5))
    with pytest.raises(ValueError, match="begun with other settings .freeze 'auto', now 'none'"):
        train_ski_vlm.main(finetune_flags(case, runs, "xclip", freeze="none"))


def test_no_epoch_leaves_the_models_as_they_were(runs, case, tmp_path):
    train_ski_vlm.main(finetune_flags(case, tmp_path, "vificlip", num_train_epochs=0))
    student, _ = load_student(tmp_path / "tuned_vificlip")
    assert not changed(weights(build_student("vificlip", backbone=case.clip, num_frames=2)), student)
    train_ski_vlm.main(distill_flags(case, tmp_path, "vificlip", num_train_epochs=0))
    assert not changed(weights(student), load_student(tmp_path / "ski_vificlip")[0])
    teacher, _ = load_skeleton_clip(tmp_path / "ski_vificlip" / "skeleton_clip")
    assert not changed(weights(load_skeleton_clip(Path(case.aligned))[0]), teacher)
    assert json.loads((tmp_path / "ski_vificlip" / "result.json").read_text())["train"] == {}


def test_a_mistake_leaves_one_line_and_no_traceback(case, tmp_path):
    process = run([sys.executable, SCRIPT, *flags(case.distill(video_student=""), tmp_path / "run")])
    assert process.returncode == 1 and "Traceback" not in process.stderr
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("error: give --video_student DIR, the --output_dir of: python")
    assert not (tmp_path / "run").exists()


def test_killed_and_started_again_distillation_ends_with_the_same_weights(runs, case, tmp_path):
    """A real SIGKILL, in the middle of an epoch. The last checkpoint is in the middle of one too."""
    recipe = case.distill(video_student=str(runs / "tuned_froster"), batch_norm="trained")
    often = {"num_train_epochs": 6, "save_strategy": "steps", "save_steps": 2}
    commands = {name: flags(recipe, tmp_path / name, **often) for name in ("whole", "killed")}
    finished(commands["whole"])
    kill_at([sys.executable, SCRIPT, *commands["killed"]], "checkpoint-*", 3, folder=tmp_path)
    assert len(list((tmp_path / "killed").glob("checkpoint-*"))) == 2
    assert "resuming from" in finished(commands["killed"])
    assert len({(tmp_path / name / "README.md").read_text() for name in commands}) == 1
    for file in ("model.safetensors", "skeleton_clip/model.safetensors"):
        whole, killed = (load_file(tmp_path / name / file) for name in commands)
        assert whole.keys() == killed.keys() and all(torch.equal(whole[name], killed[name]) for name in whole)


def test_a_student_taught_by_scores_resumes_with_the_same_teacher_alone(case, tmp_path):
    """A real SIGKILL. Both teachers are read again, and SynSE fits its classifier of the seen names again."""
    synse, other = (
        str(skeleton_text_run(tmp_path / f"synse_{k}", encoder=case.aligned, text=case.clip, seed=k)) for k in (5, 6)
    )
    often = {"num_train_epochs": 4, "save_strategy": "steps", "save_steps": 2}

    def command(name, *teachers):
        recipe = case.distill(skeleton_clip=[*teachers, case.aligned], teacher="offline")
        return flags(recipe, tmp_path / name, **often)

    finished(command("whole", synse))
    kill_at([sys.executable, SCRIPT, *command("killed", synse)], "checkpoint-*", 3, folder=tmp_path)
    with pytest.raises(ValueError, match="begun with other settings .teachers .*synse .*, now .*synse"):
        train_ski_vlm.main(command("killed", other))
    assert "resuming from" in finished(command("killed", synse))
    whole, killed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert whole.keys() == killed.keys() and all(torch.equal(whole[name], killed[name]) for name in whole)
    recipe = json.loads((tmp_path / "killed" / "recipe.json").read_text())
    assert [teacher.split()[0] for teacher in recipe["teachers"]] == ["synse", "skeleton_clip"]


def test_two_processes_of_gpus_equal_one(case, tmp_path):
    trained = {}
    for per_device in (4, 2):
        batch = {"batch_size": 4, "per_device_train_batch_size": per_device, "optim": "sgd", "learning_rate": 0.1}
        command_flags = flags(case.finetune(student="xclip"), tmp_path / str(per_device), max_steps=5, **batch)
        if per_device == 4:
            train_ski_vlm.main(command_flags)
        else:
            finished([*command_flags, "--gpus", "2"])
        trained[per_device] = load_file(tmp_path / str(per_device) / "model.safetensors")
    assert apart(trained[4], trained[2]) < 1e-5
    assert apart(trained[4], load_file(Path(case.student("xclip")) / "model.safetensors")) > 1e-3


def test_torchrun_trains_where_one_process_has_no_skeleton_at_all(case, tmp_path):
    """One clip for each of two processes. Performer 2 has no skeletons. DDP must neither wait nor complain."""
    recipe = case.distill(level="feature_projected")
    batch = {"batch_size": 2, "per_device_train_batch_size": 1, "seed": 5}
    names = sorted(file.name for file in (Path(case.ntu) / "rgb").iterdir())
    order = np.random.default_rng((5, 0)).permutation(24).reshape(12, 2)
    has_skeleton = [[parse_name(names[clip][:20]).performer == 1 for clip in pair] for pair in order.tolist()]
    assert {(True, False), (False, True), (False, False)} <= {tuple(pair) for pair in has_skeleton[:11]}
    finished(flags(recipe, tmp_path / "run", **batch), launcher=torchrun(2))
    assert all(value.isfinite().all() for value in load_file(tmp_path / "run" / "model.safetensors").values())
    teacher, _ = load_skeleton_clip(tmp_path / "run" / "skeleton_clip")
    assert changed(weights(load_skeleton_clip(Path(case.aligned))[0]), teacher)


@pytest.fixture(scope="module")
def plain(case, tmp_path_factory):
    """Train a plain run that DeepSpeed repeats. All clips have skeletons, so losses are means of equals.

    SGD, because Adam makes whole steps of what rounding leaves where a gradient is 0: FROSTER's own loss at its start,
    and the keys' biases, which a softmax ignores.
    """
    folder = tmp_path_factory.mktemp("plain")
    everybody = str(packed_set(folder / "prepared", actions=SEEN, performers=(1, 2)))
    recipe = case.distill(video_student=case.student("froster"), prepared=everybody)
    train_ski_vlm.main(flags(recipe, folder / "run", logging_steps=1, **SMALL_STEPS))
    start = load_file(Path(case.student("froster")) / "model.safetensors")
    assert apart(start, load_file(folder / "run" / "model.safetensors")) > 1e-3
    return recipe, folder / "run"


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=needs_compiler)])
def test_deepspeed_distils_as_the_plain_run_does(plain, tmp_path, processes):
    recipe, expected = plain
    steps = {"logging_steps": 1, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 3, **SMALL_STEPS}
    zero2 = {"per_device_train_batch_size": 4, "deepspeed": ROOT / "zero2.json"}
    printed(run_ranks([sys.executable, SCRIPT, *flags(recipe, tmp_path, **zero2, **steps)], processes))
    optimizer = torch.load(tmp_path / "checkpoint-3" / "optimizer.pt", weights_only=True)
    assert "loss_scaler" in optimizer, "it ran without DeepSpeed"
    by_step, expected_by_step = losses(tmp_path), losses(expected)
    assert by_step.keys() == expected_by_step.keys() and len(by_step) == 3
    assert max(abs(by_step[step] - expected_by_step[step]) for step in by_step) < 1e-3
    for file in ("model.safetensors", "skeleton_clip/model.safetensors"):
        assert load_file(tmp_path / file).keys() == load_file(expected / file).keys()
    (tmp_path / "result.json").unlink()
    shutil.rmtree(tmp_path / "checkpoint-3")
    train_ski_vlm.main(flags(recipe, tmp_path, **steps))  # one process without DeepSpeed resumes at the second step
    assert abs(losses(tmp_path)[3] - expected_by_step[3]) < 1e-3
    for file in ("model.safetensors", "skeleton_clip/model.safetensors"):
        assert apart(load_file(tmp_path / file), load_file(expected / file)) < 1e-5
