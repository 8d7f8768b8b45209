"""The testbed's runs, numbers and verdicts. No model is trained here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import train_ski_vlm
from eval import zero_shot
from scripts import evidence
from scripts.tables.jobs import Step, in_order
from scripts.tables.results import Results, Training
from scripts.tables.rows import Row, Table
from scripts.tables.scales import with_value
from scripts.testbed.cost import cost_table, hours_of_parts
from scripts.testbed.effects import TOP1, collect, difference_of_gains, rank_correlation, verdict
from scripts.testbed.hypotheses import outcomes
from scripts.testbed.people import PROTOCOLS, people_series
from scripts.testbed.pictures import draw_classes, draw_curves, draw_gains
from scripts.testbed.power import noise, smallest_gain
from scripts.testbed.recognition import SKI, STUDENT, TEACHER, TWIN, main_series
from scripts.testbed.sizes import FULL, QUICK
from ski_lvlm.storage.files import write_json

OUT = Path("/out")
SERIES = [one for make in evidence.SERIES.values() for one in make(OUT, QUICK)]
PEOPLE = people_series(Path("/gestures"), OUT, QUICK)


def steps_of(series):
    return in_order(step for one in series for step in one.evaluations().values())


def results(values):
    """Return results of {row: [{class: value} of each training]}."""
    rows = tuple(Row((name,), (), None) for name in values)
    trainings = {
        (name, TOP1): {i: Training(sum(v.values()) / len(v), v) for i, v in enumerate(runs)}
        for name, runs in values.items()
    }
    return Results(Table("t", "", ("",), (), rows), (TOP1,), trainings, verdict)


def test_every_series_has_a_name_and_every_run_a_folder_of_its_own():
    names = [one.name for one in [*SERIES, *PEOPLE]]
    assert len(set(names)) == len(names)
    by_folder = {}
    for step in steps_of([*SERIES, *PEOPLE]):
        assert by_folder.setdefault(step.folder, step) == step, "two commands in one folder"
    assert {other for one in SERIES for other in one.row.against} <= set(names)


def test_twins_and_ski_students_differ_in_alpha_alone():
    twin, ski = (
        next(step for step in steps_of([one]) if "distill" in step.command) for one in SERIES if one.name in (TWIN, SKI)
    )
    words = [word for word in twin.command if word not in ("--alpha", "0")]
    assert [str(w) for w in words[:-1]] == [str(w) for w in ski.command[:-1]]


@pytest.mark.slow
def test_the_commands_know_their_flags():
    parsers = {"train_ski_vlm.py": train_ski_vlm.parse, "eval/zero_shot.py": zero_shot.parse}
    commands = [s.command for s in steps_of([*SERIES, *PEOPLE]) if s.command[0] in parsers]
    shapes = {}
    for command in commands:
        shapes.setdefault(tuple(w for w in command if isinstance(w, str) and "synthetic48" not in w), command)
    for command in shapes.values():
        parsers[command[0]]([str(word) for word in command[1:]])
    protocols = {c[c.index("--protocol") + 1] for c in commands if "--protocol" in c}
    assert protocols == set(PROTOCOLS) and len(shapes) > 20


def test_models_of_fewer_skeletons_share_the_student_and_nothing_else():
    few = next(one for one in SERIES if one.name == "skeletons for 10% of the clips")
    trained = {s.folder.name for s in steps_of([few]) if s.command[0] == "train_ski_vlm.py"}
    ends = "-share_0.1"
    assert trained == {"vificlip", f"skeleton_pretrain{ends}", f"skeleton_align{ends}", f"ski_vificlip{ends}"}


def test_a_teacher_of_few_skeletons_is_tested_on_those_of_all_clips():
    few = next(one for one in SERIES if one.name == f"{TEACHER}, skeletons for 10% of the clips")
    for step in few.evaluations().values():
        assert step.command[step.command.index("--model") + 1].name == "skeleton_align-share_0.1"
        assert step.command[step.command.index("--prepared") + 1].name == "prepared"


def test_estimated_skeletons_are_made_of_the_videos_and_used_by_all_that_look_at_them():
    estimated = next(one for one in PEOPLE if one.name.startswith(f"{SKI}, estimated"))
    commands = [step.command for step in steps_of([estimated])]
    assert any(command[0] == "scripts/estimate_skeletons.py" for command in commands)
    looking = [c for c in commands if c[0] == "train_ski_vlm.py" and "video_finetune" not in c]
    assert len(looking) > 2 and all(Path("/out/people/skeletons") in c and "--data" in c for c in looking)


def test_students_of_real_people_see_the_person_alone():
    student = next(one for one in PEOPLE if one.name.startswith(STUDENT))
    crop, cache, *_ = steps_of([student])
    assert cache.command[cache.command.index("--ntu") + 1] == crop.folder / "crops" and cache.needs == (crop,)


def test_results_are_read_by_rotation_and_seed(tmp_path):
    series = main_series(tmp_path, QUICK)
    student = next(one for one in series if one.name == STUDENT)
    for number, step in enumerate(student.evaluations().values()):
        step.folder.mkdir(parents=True)
        scores = {"top1": 0.25, "chance": 1 / 12, "per_class": {f"class {number}": 0.25, "none": None}}
        general = {"harmonic_mean": 0.5, "seen": 0.5, "unseen": 0.5}
        result = {"split": f"s{number}", "unseen": scores, "generalised": general}
        (step.folder / step.product).write_text(json.dumps(result))
        (step.folder / "finished.json").write_text(json.dumps({"digest": step.digest}))
    read = collect(series)
    cell = read.number(student.row, TOP1)
    assert (cell.mean, cell.groups, len(cell.per_training)) == (25, 2, QUICK.rotations)
    assert read.reasons[SKI, TOP1] == "not run"


def test_a_hypothesis_is_shown_only_by_both_intervals():
    base = [{"a": 10.0, "b": 20.0, "c": 30.0}, {"a": 12.0, "b": 18.0, "c": 31.0}]
    better = [{name: value + 10 + i for name, value in run.items()} for i, run in enumerate(base)]
    mixed = [{name: value + (30 if i else -10) for name, value in run.items()} for i, run in enumerate(base)]
    verdicts = {}
    for name, ski in (("better", better), ("mixed", mixed)):
        judged = outcomes(results({STUDENT: base, TWIN: base, SKI: ski, TEACHER: base}))
        verdicts[name] = {one.key: one.verdict for one in judged}
    assert verdicts["better"]["R1"] == "shown"
    assert verdicts["mixed"]["R1"] == "not significant", "trainings disagree"


def test_gains_are_compared_by_class_and_training():
    base = [{"a": 0.0, "b": 10.0}] * 3
    values = {"twin": base, "hard": [{"a": 8.0, "b": 19.0}] * 3, "easy": [{"a": 1.0, "b": 10.0}] * 3}
    gain = difference_of_gains(results(values), ("hard", "twin"), ("easy", "twin"))
    assert gain.points.mean == 8 and gain.points.interval == (7, 9)


def test_a_rank_correlation_knows_order():
    x = {f"class {i}": float(i) for i in range(12)}
    value, (low, high) = rank_correlation(x, {name: v**3 for name, v in x.items()})
    assert value == pytest.approx(1) and low == pytest.approx(1) and high == pytest.approx(1)
    assert rank_correlation(x, {name: -v for name, v in x.items()})[0] == pytest.approx(-1)
    assert rank_correlation({"a": 1.0}, {"a": 1.0}) is None


def test_more_trainings_show_smaller_gains():
    first = Training(20.0, {"a": 10.0, "b": 30.0})
    pairs = [(first, Training(24.0, {"a": 20.0, "b": 28.0})), (first, Training(17.0, {"a": 4.0, "b": 30.0}))]
    measured = noise(pairs)
    assert measured.over_trainings == pytest.approx((25 / 2) ** 0.5)
    assert measured.over_classes == pytest.approx(((100 + 4 + 36 + 0) / 4) ** 0.5)
    gains = [smallest_gain(measured, rotations=4, seeds=seeds, classes=48) for seeds in (1, 3)]
    assert all(gains[1][over] < gains[0][over] for over in gains[0])
    with pytest.raises(ValueError, match="found 1 pairs"):
        noise(pairs[:1])


@pytest.mark.slow
def test_pictures_are_drawn_of_what_there_is(tmp_path):
    base = [{"a": 10.0, "b": 20.0, "c": 30.0}, {"a": 12.0, "b": 18.0, "c": 31.0}]
    more = [{name: value + 5 for name, value in run.items()} for run in base]
    main = results({STUDENT: base, TWIN: base, SKI: more, TEACHER: more, "α = 0.1": base})
    rows = tuple(one.row for one in SERIES if one.name in (TWIN, SKI, STUDENT, TEACHER, "α = 0.1"))
    main = replace(main, table=replace(main.table, rows=rows))
    for draw in (draw_gains, draw_curves, draw_classes):
        draw(main, path=tmp_path / f"{draw.__name__}.png")
    assert len(list(tmp_path.glob("*.png"))) == 3
    nothing = replace(main, trainings={})
    for draw in (draw_gains, draw_curves, draw_classes):
        draw(nothing, path=tmp_path / "nothing" / f"{draw.__name__}.png")


def test_the_small_version_is_a_small_part():
    assert len(steps_of(main_series(OUT, QUICK))) < len(steps_of(main_series(OUT, FULL))) / 3


def test_a_flag_that_a_scale_lacks_is_not_changed_in_silence():
    with pytest.raises(ValueError, match="has no --num_frames, which was to become 24"):
        with_value("--side 96", "--num_frames", 24)


def test_a_step_that_two_parts_need_costs_the_first_alone(tmp_path):
    folders = [tmp_path / name for name in ("shared", "own", "waiting")]
    shared, own, waiting = (Step((folder.name,), "result.json", tmp_path, folder) for folder in folders)
    own, waiting = replace(own, needs=(shared,)), replace(waiting, needs=(shared,))
    for step, seconds, digest in ((shared, 3600.0, shared.digest), (own, 900.0, own.digest), (waiting, 9.0, "older")):
        write_json(step.folder / "finished.json", {"digest": digest, "seconds": seconds})
    hours = hours_of_parts({"main": [shared], "curve": [own, waiting], "nothing": [waiting]})
    assert hours == {"main": 1, "curve": 0.25, "nothing": 0}
    assert cost_table(hours).endswith("| main | 1.0 |\n| curve | 0.2 |\n")


def test_the_default_parts_are_those_of_two_hours(tmp_path, capsys):
    evidence.main(["--out", str(tmp_path), "--dry_run"])
    printed = capsys.readouterr().out
    assert "ski_vificlip-alpha_0" in printed and "train_ski_lvlm.py" in printed
    assert not any(name in printed for name in ("view_hard", "alpha_100", "share_0.1", "froster"))


def test_people_need_their_folder():
    with pytest.raises(ValueError, match="without --people"):
        evidence.main(["--parts", "people"])


def test_the_power_is_a_part_beside_others(tmp_path, capsys):
    flags = ["--quick", "--out", str(tmp_path), "--dry_run", "--parts"]
    lines = {}
    for parts in (["power"], ["main"], ["power", "main"]):
        evidence.main([*flags, *parts])
        lines[" ".join(parts)] = set(capsys.readouterr().out.splitlines())
    assert lines["power main"] == lines["power"] | lines["main"] and lines["power"] - lines["main"]


def test_a_dry_run_prints_commands(tmp_path, capsys):
    assert evidence.main(["--quick", "--parts", "main", "--out", str(tmp_path), "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "--stage distill" in printed and str(tmp_path / "quick") in printed
