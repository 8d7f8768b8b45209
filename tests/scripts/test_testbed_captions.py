"""The captions part of the testbed: its commands, its readings and its verdicts. No model is trained here."""

import json
from pathlib import Path

import numpy as np
import pytest

import train_ski_lvlm
import train_ski_vlm
from data_curation import build, synthesize
from data_curation.fact_texts.clip_facts import read_facts
from eval import describe_flags, facts
from eval.choosing import flags as choosing_flags
from scripts import evidence, extract_features, projector_drift, testbed_language_model, testbed_test_set
from scripts.tables.jobs import in_order
from scripts.tables.results import Results, Training
from scripts.tables.rows import Table
from scripts.testbed import captions as ways
from scripts.testbed.caption_facts import KINDS, RIGHT, clip_of, collect, drifts, read_foils, read_values
from scripts.testbed.caption_hypotheses import outcomes
from scripts.testbed.caption_power import power, power_text
from scripts.testbed.caption_sizes import QUICK, with_llm
from scripts.testbed.captions import NOISE, REPEATED, SHUFFLED, SKELETONS, START, VIDEO, WAYS, CaptionPlan
from scripts.testbed.captions_part import points
from scripts.testbed.effects import verdict
from ski_lvlm.lvlm.features import FeatureFolder, FeatureWriter
from ski_lvlm.storage.files import write_json
from tests.cases.facts_case import drawn_records

PLAN = CaptionPlan(Path("/out"), QUICK)
PLANS = (PLAN, CaptionPlan(Path("/out"), with_llm(QUICK, "smollm2")))
RIGHT_NARROW, RIGHT_THIRD = f"{RIGHT}, narrow", f"{RIGHT}, third"


def of(plan, script):
    steps = in_order(plan.targets())
    return [[str(word) for word in step.command[1:]] for step in steps if step.command[0] == script]


def value(command, flag):
    return command[command.index(flag) + 1]


def test_every_run_has_a_folder_of_its_own():
    by_folder = {}
    for step in [step for plan in PLANS for step in in_order(plan.targets())]:
        assert by_folder.setdefault(step.folder, step) == step, "two commands in one folder"
        assert step.folder.is_relative_to("/out")
    names = {row.name for row in PLAN.rows}
    assert names == set(WAYS) and {other for row in PLAN.rows for other in row.against} <= names


def test_no_two_worlds_are_the_same_and_the_language_model_reads_about_others():
    commands = of(PLAN, "data_curation/synthesize.py")
    assert len(commands) == len({value(command, "--seed") for command in commands}) == 6
    assert sum("--text_only" in command for command in commands) == 3


@pytest.mark.slow
def test_the_commands_know_their_flags():
    parsers = {
        "train_ski_lvlm.py": lambda words: train_ski_lvlm.flag_parser().parse_args_into_dataclasses(
            [*words, "--use_cpu", "True"]  # as the command adds where there is no GPU
        ),
        "train_ski_vlm.py": train_ski_vlm.parse,
        "data_curation/synthesize.py": lambda words: synthesize.arguments().parse_args(words),
        "data_curation/build.py": build.arguments,
        "scripts/extract_features.py": extract_features.arguments,
        "eval/choose.py": lambda words: choosing_flags.arguments(words, description=""),
        "eval/facts.py": facts.arguments,
        "eval/describe.py": lambda words: describe_flags.arguments(words, description=""),
        "scripts/projector_drift.py": projector_drift.arguments,
        "scripts/testbed_language_model.py": testbed_language_model.arguments,
        "scripts/testbed_test_set.py": testbed_test_set.arguments,
    }
    for script, parse in parsers.items():
        for command in {tuple(command) for plan in PLANS for command in of(plan, script)}:
            parse(list(command))


def test_ways_differ_in_their_flags_alone_and_begin_with_the_same_start():
    trainings = [c for c in of(PLAN, "train_ski_lvlm.py") if value(c, "--output_dir").endswith("seed_0/model")]
    starts = {value(command, "--init_from") for command in trainings if "--init_from" in command}
    assert starts == {"/out/start/seed_0/model", "/out/skeletons_first/seed_0/stage_0"}
    video, skeletons = (
        next(c for c in trainings if f"/{way}/" in value(c, "--output_dir")) for way in (VIDEO, SKELETONS)
    )
    assert [(a, b) for a, b in zip(video, skeletons, strict=True) if a != b] == [
        ("video", "video,skeleton"),
        ("/out/video/seed_0/model", "/out/skeletons/seed_0/model"),
    ]
    steps = [int(value(command, "--max_steps")) for command in trainings]
    assert steps.count(QUICK.steps) == len(WAYS) - 2 and steps.count(QUICK.steps // 2) == 1


def test_all_models_answer_the_same_questions_from_video_alone():
    commands = of(PLAN, "eval/describe.py")
    assert len({tuple(c[2:-2]) for c in commands}) == 1 and all(
        "skeleton" not in value(c, "--features") for c in commands
    )


def test_a_larger_language_model_repeats_the_main_ways_alone():
    small, large = PLANS
    assert [row.name for row in large.rows] == [START, VIDEO, SKELETONS, SHUFFLED]
    assert not of(large, "scripts/testbed_language_model.py") and of(small, "scripts/testbed_language_model.py")
    assert {value(command, "--base_llm") for command in of(large, "train_ski_lvlm.py")} == {"smollm2"}


@pytest.fixture
def domains(tmp_path):
    """Return two domains whose clips have the same names, with facts, videos and tokens."""
    for name in ("narrow", "third"):
        folder = tmp_path / name
        (folder / "rgb").mkdir(parents=True)
        clips = [f"S301C001P017R001A{number:03}" for number in (10, 23, 26)]
        writer = FeatureWriter(folder / "tokens", {"video": {"tower": "t", "digest": "d", "width": 2}})
        for clip in clips:
            (folder / "rgb" / f"{clip}_rgb.avi").write_bytes(name.encode())
            writer.write(clip, "video", np.full((1, 2), len(name), np.float32))
        records = [drawn_records(1)[0] | {"clip": clip} for clip in clips]
        (folder / "facts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        write_json(folder / "questions.json", [{"video_name": clip, "Q": "?", "A": "x"} for clip in clips])
    return tmp_path


def collected(domains, *flags):
    names = ("narrow", "third")
    places = [[str(domains / name / end) for name in names] for end in ("questions.json", "", "tokens")]
    words = ["--domains", *names, "--questions", *places[0], "--videos", *places[1], "--features", *places[2]]
    assert testbed_test_set.main([*words, "--out", str(domains / "out"), *flags]) == 0
    return domains / "out"


def test_clips_of_equal_names_stay_apart(domains):
    out = collected(domains, "--clips", "2")
    collected(domains, "--clips", "2")  # again, as after a crash
    features, all_facts = FeatureFolder(out), read_facts(out)
    assert len(all_facts) == 4 and features.load("narrow-S301C001P017R001A010", "video")[0, 0] == 6
    assert features.load("third-S301C001P017R001A010", "video")[0, 0] == 5
    assert (out / "rgb" / "third-S301C001P017R001A010.avi").read_bytes() == b"third"
    questions = json.loads((out / "questions.json").read_text())
    assert {q["video_name"] for q in questions} == all_facts.keys() and len(questions) == 2 + 2 * 2


def test_tokens_of_another_tower_are_refused(domains):
    manifest = domains / "third" / "tokens" / "features.json"
    manifest.write_text(manifest.read_text().replace('"t"', '"u"'))
    with pytest.raises(ValueError, match="expected video tokens of one tower"):
        collected(domains)


def results(values):
    """Return results of {way: [{clip: right facts} of each training]}, the same in both domains."""
    rows = tuple(row for row in PLAN.rows if row.name in values)
    trainings = {
        (name, measure): {i: Training(sum(v.values()) / len(v), v) for i, v in enumerate(runs)}
        for name, runs in values.items()
        for measure in (RIGHT_NARROW, RIGHT_THIRD)
    }
    return Results(Table("t", "", ("",), (), rows), (RIGHT_NARROW, RIGHT_THIRD), trainings, verdict)


def plus(points, *, noise=0.5):
    """Return three trainings of four clips with so many points more than 20."""
    return [{f"clip {i}": 20 + points + noise * (run + i % 2) for i in range(4)} for run in (-1, 0, 1)]


def verdicts(values, drift=None):
    return {one.key: one.verdict for one in outcomes(results(values), drift or {})}


def test_hypotheses_follow_the_points():
    values = {VIDEO: plus(0), SKELETONS: plus(10), SHUFFLED: plus(10), NOISE: plus(-5), ways.HALF: plus(4)}
    judged = verdicts(values)
    assert (judged["L1"], judged["L2"], judged["L5"]) == ("shown", "shown", "not significant")
    assert judged["L6"] == "the opposite", "skeletons differ from noise"
    halves = [one for one in outcomes(results(values), {}) if one.key == "L7 half"]
    assert sorted(one.verdict for one in halves) == ["shown", "shown", "the opposite", "the opposite"]


def test_noise_explains_skeletons_where_both_are_equally_below_video():
    assert verdicts({VIDEO: plus(10), SKELETONS: plus(0), NOISE: plus(0)})["L6"] == "shown"
    assert verdicts({VIDEO: plus(0), SKELETONS: plus(0), NOISE: plus(0)})["L6"] == "not significant"


def test_drift_is_judged_over_trainings_and_against_facts():
    values = {VIDEO: plus(0), SKELETONS: plus(10)}
    drift = {VIDEO: {0: 30.2, 1: 30.1, 2: 30.0}, SKELETONS: {0: 10.2, 1: 10.1, 2: 10.0}}
    judged = verdicts(values, drift)
    assert (judged["L3"], judged["L4"]) == ("shown", "shown")
    opposite = {VIDEO: {0: 10.0, 1: 10.1, 2: 10.2}, SKELETONS: {0: 30.0, 1: 30.1, 2: 30.2}}
    judged = verdicts(values, opposite)
    assert (judged["L3"], judged["L4"]) == ("the opposite", "the opposite")
    assert len(points(results(values), drift)) == 2 * 6


def test_power_needs_three_trainings_and_grows_with_seeds():
    three, two = plus(0, noise=2), plus(0, noise=2)[:2]
    assert power(results({VIDEO: two})) == {}
    by_seeds = power(results({VIDEO: three}))["narrow"]
    assert by_seeds[12]["over trainings"] < by_seeds[3]["over trainings"]
    assert "- narrow: " in power_text(power(results({VIDEO: three})))


def test_answers_are_read_by_clip_and_domain(domains):
    out = collected(domains)
    all_facts = read_facts(out)
    names = sorted(all_facts)
    predictions = [{"video_name": name, "Q": "?", "pred": None} for name in names]
    write_json(out / "predictions.json", predictions)
    silent = read_values(out / "predictions.json", all_facts)
    assert set(silent[RIGHT_NARROW].values()) == set(silent[RIGHT_THIRD].values()) == {0.0}
    assert len(silent[RIGHT_THIRD]) == 3 and all(f"{kind}, narrow" in silent for kind in KINDS["narrow"][:2])


def test_foils_are_read_by_clip_and_kind(tmp_path):
    entries = [
        {"video_name": clip, "kind": kind, "right": 0, "answers": [{"choices": {"likelihood": choice}}]}
        for clip, kind, choice in (("narrow-a", "action", 0), ("narrow-a", "room", 1), ("third-a", "order", 0))
    ]
    write_json(tmp_path / "choices.json", entries)
    read = read_foils(tmp_path / "choices.json")
    assert read["foils, narrow"] == {"narrow-a/action": 100, "narrow-a/room": 0}
    assert read["foils of order, third"] == {"third-a/order": 100} and "foils of room, narrow" not in read
    assert clip_of("narrow-a/room") == clip_of("narrow-a") == "narrow-a"


def test_runs_that_are_not_there_are_named(tmp_path):
    plan = CaptionPlan(tmp_path, QUICK)
    assert set(collect(plan).reasons.values()) == {"not run"} and drifts(plan) == {}


def test_a_dry_run_prints_commands(tmp_path, capsys):
    assert evidence.main(["--parts", "captions", "--out", str(tmp_path), "--dry_run"]) == 0
    assert capsys.readouterr().out.count("train_ski_lvlm.py") > 30


def test_the_small_version_trains_the_main_ways_once(tmp_path, capsys):
    assert evidence.main(["--quick", "--out", str(tmp_path), "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("train_ski_lvlm.py") == len(REPEATED)
    assert printed.count("--stage distill") == 4 and "alpha_100" not in printed
