"""Table 3 as a file: commands run and shared, and the printed page. No model is trained here."""

import json
from pathlib import Path

import pytest

from scripts.join_features import main as join_main
from scripts.table_3_captioning import main, make, parse
from scripts.tables import captioning_sources, data
from scripts.tables.captioning_table import TABLE, markdown, read_values, results_of
from scripts.tables.jobs import run_steps
from scripts.tables.methods import PublishedProjector, TrainedLvlm
from ski_lvlm.lvlm.features import FeatureFolder, FeatureWriter
from ski_lvlm.storage.files import append_jsonl, write_json
from ski_lvlm.storage.shards import only_process

CLIPS = [f"S001C001P{n:03}R001A010" for n in range(1, 9)]  # clapping
RIGHT, WRONG = "A person is clapping.", "A person is kicking."
ABOUT = {"judge": "similarity", "digest": None, "rubrics": "r"}


class FakeRunner:
    """Stand-in for the processes: writes the products of a command and records it. `grade` returns scores."""

    def __init__(self, grade=lambda folder: 3.0, right=lambda folder: 4):
        self.grade, self.right = grade, right
        self.commands = []
        self.refuses = lambda folder: False

    def __call__(self, command, *, log, threads, gpus, lock):
        script, folder = "/".join(Path(command[1]).parts[-2:]), log.parent
        self.commands.append([script, *command[2:]])
        if self.refuses(folder):
            return 2
        if script == "eval/describe.py":
            captions = [RIGHT if n < self.right(folder) else WRONG for n in range(len(CLIPS))]
            records = [{"video_name": c, "Q": "?", "A": RIGHT, "pred": p} for c, p in zip(CLIPS, captions, strict=True)]
            write_json(folder / "predictions.json", records)
        elif script == "eval/score.py":
            with only_process(out := Path(flag(command, "--out"))):  # as the command does
                self.score(out, folder.parent / "predictions.json")
        elif script == "data_curation/build.py":
            with only_process(out := Path(flag(command, "--out"))):
                write_json(out / "instructions.json", [])
        else:
            for product in ("result.json", "features.json", "report.json"):
                write_json(folder / product, {})
            (folder / "skeletons").mkdir(exist_ok=True)
        return 0

    def score(self, folder, path):
        predictions = json.loads(path.read_text())
        for number_, record in enumerate(predictions):
            fields = {name: record[name] for name in ("Q", "A", "pred")}
            grade = {
                "metric": "correctness",
                "repeat": 0,
                "key": f"{record['video_name']}_0",
                "score": self.grade(folder) - number_ % 2,
            }
            append_jsonl(folder / "judgements.jsonl", {**ABOUT, **grade, "fields": fields})
        run = {"status": "run", "n_total": len(predictions), "n_scored": len(predictions)}
        metrics = {"correctness": run, "temporal": {"status": "not run", "reason": "x"}}
        write_json(folder / "scores.json", {**ABOUT, "predictions": [str(path)], "metrics": metrics})

    def scripts(self):
        return [command[0].split("/")[-1] for command in self.commands]


@pytest.fixture(autouse=True)
def no_quickstart(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "QUICKSTART", tmp_path / "quickstart")


@pytest.fixture
def runner():
    return FakeRunner()


def made(tmp_path, runner, *flags):
    return make(parse(["--out", str(tmp_path / "out"), *flags]), runner=runner)


def flag(command, name):
    return command[command.index(name) + 1]


def of(runner, script):
    return [command for command in runner.commands if command[0].endswith(script)]


def ntu(*flags):
    inputs = ["--ntu", "n", "--prepared", "p", "--instructions", "i.json", "--questions", "q.json"]
    return ["--data", "ntu", *inputs, "--charades_videos", "charades", *flags]


def test_rows_are_the_paper_s_and_one_more():
    *papers, extra = (row.name for row in TABLE.rows)
    assert papers == ["VCGPT", "NTU-VCGPT", "SK-VCGPT", "SKI-LVLM"] and "†" in extra
    names = {row.name for row in TABLE.rows}
    assert all(set(row.against) <= names - {row.name} for row in TABLE.rows)


@pytest.mark.slow
def test_everything_that_rows_share_is_made_once(tmp_path, runner):
    assert made(tmp_path, runner, "--seeds", "2") == []
    scripts = runner.scripts()
    for script, times in {"synthesize.py": 1, "build.py": 1, "train_ski_vlm.py": 2, "join_features.py": 2}.items():
        assert scripts.count(script) == times, script
    extracted = [flag(command, "--modalities") for command in of(runner, "extract_features.py")]
    assert sorted(extracted) == ["skeleton", "skeleton", "video"]
    assert scripts.count("train_ski_lvlm.py") == scripts.count("describe.py") == scripts.count("score.py") == 4 * 2


@pytest.mark.slow
def test_the_rows_differ_in_nothing_but_their_skeletons(tmp_path, runner):
    made(tmp_path, runner, "--seeds", "1")
    rows, shared = [], set()
    for command in of(runner, "train_ski_lvlm.py"):
        words = list(command)
        differing = [flag(words, "--modalities"), Path(flag(words, "--features")).name]
        differing += [flag(words, "--skeleton_dropout")] if "--skeleton_dropout" in words else []
        for name in ("--modalities", "--features", "--output_dir", "--skeleton_dropout"):
            if name in words:
                del words[words.index(name) : words.index(name) + 2]
        rows.append(differing)
        shared.add(tuple(words))
    both = "video,skeleton"
    assert rows == [
        ["video", "video_features"],
        [both, "features_pretrained"],
        [both, "features_aligned"],
        [both, "features_aligned", "0.5"],
    ]
    assert len(shared) == 1


@pytest.mark.slow
def test_raw_skeleton_features_come_from_the_encoder_that_has_not_met_language(tmp_path, runner):
    made(tmp_path, runner, "--seeds", "1")
    encoders = {
        Path(flag(command, "--out")).name: Path(flag(command, "--skeleton_encoder")).name
        for command in of(runner, "extract_features.py")
        if "--skeleton_encoder" in command
    }
    assert encoders == {
        "skeleton_features_pretrained": "skeleton_pretrain",
        "skeleton_features_aligned": "skeleton_align",
    }


@pytest.mark.slow
def test_all_rows_and_seeds_share_the_tokens_of_the_described_videos(tmp_path, runner):
    made(tmp_path, runner, *ntu(), "--baseline_weights", "w.bin", "--seeds", "2")
    captions = of(runner, "describe.py")
    assert len(captions) == 1 + 4 * 2
    assert {flag(command, "--features") for command in captions} == {str(tmp_path / "out" / "described_features")}


@pytest.mark.slow
def test_models_of_today_get_rows_of_their_own(tmp_path, runner):
    added = ["--add", "hf:some/vlm", "openai:glm", "--add_url", "http://x/v1"]
    made(tmp_path, runner, *added, "--seeds", "2")
    describe = [command for command in of(runner, "describe.py") if ":" in flag(command, "--model")]
    assert [flag(command, "--model") for command in describe] == ["hf:some/vlm", "openai:glm"]  # once, not once a seed
    assert all("--features" not in command for command in describe)
    assert "--base_url" not in describe[0] and flag(describe[1], "--base_url") == "http://x/v1"
    questions = {flag(command, "--questions") for command in of(runner, "describe.py")}
    assert len(questions) == 1 and runner.scripts().count("score.py") == 4 * 2 + 2
    text = (tmp_path / "out" / "table_3.md").read_text()
    assert "| hf:some/vlm † ours | openai:glm † ours |" in text and "are not the paper's. Nobody trained" in text
    assert "| hf:some/vlm † | SKI-LVLM | Average |" in text
    assert json.loads((tmp_path / "out" / "table_3.json").read_text())["ours"]["hf:some/vlm †"]["correctness"]
    made(tmp_path / "only", again := FakeRunner(), *added, "--rows", "glm")
    assert again.scripts()[-2:] == ["describe.py", "score.py"] and "train_ski_lvlm.py" not in again.scripts()


def test_rows_for_models_of_no_known_kind_are_refused(tmp_path, runner):
    for names in (["some/vlm"], ["hf:x", "hf:x"]):
        with pytest.raises(ValueError, match="expected hf:ID or openai:MODEL, each once"):
            made(tmp_path, runner, "--add", *names)


@pytest.mark.slow
def test_nobody_describes_with_a_skeleton(tmp_path, runner):
    made(tmp_path, runner, "--seeds", "1")
    assert not [word for command in of(runner, "describe.py") for word in command if "skeleton" in Path(word).name]


@pytest.mark.slow
def test_a_second_run_does_nothing_and_prints_the_same(tmp_path, runner, capsys):
    made(tmp_path, runner, "--seeds", "1")
    first = (tmp_path / "out" / "table_3.md").read_text()
    again = FakeRunner()
    made(tmp_path, again, "--seeds", "1")
    assert again.commands == [] and (tmp_path / "out" / "table_3.md").read_text() == first
    assert first in capsys.readouterr().out


@pytest.mark.slow
def test_another_judge_grades_the_same_captions(tmp_path, runner):
    made(tmp_path, runner, "--seeds", "1")
    again = FakeRunner()
    made(tmp_path, again, "--seeds", "1", "--judge", "openai:a/b", "--base_url", "http://x/v1")
    assert set(again.scripts()) == {"score.py"} and len(again.commands) == 4
    assert flag(again.commands[0], "--judge") == "openai:a/b" and flag(again.commands[0], "--base_url") == "http://x/v1"


@pytest.mark.slow
def test_a_failed_training_leaves_the_other_rows(tmp_path, runner):
    runner.refuses = lambda folder: folder.name == "model" and "pretrained" in str(folder)
    failed = made(tmp_path, runner, "--seeds", "1")
    assert [step.title for step in failed] == ["video-skeletons_pretrained/seed_0/model"]
    text = (tmp_path / "out" / "table_3.md").read_text()
    assert (
        "– SK-VCGPT: not run." in text and "| SKI-LVLM | NTU-VCGPT |" in text and "| SKI-LVLM | SK-VCGPT |" not in text
    )


def test_only_rows_that_were_asked_for_are_run(tmp_path, runner):
    made(tmp_path, runner, "--rows", "ntu", "--seeds", "1")
    assert "train_ski_vlm.py" not in runner.scripts() and runner.scripts().count("train_ski_lvlm.py") == 1
    with pytest.raises(ValueError, match="in the name of no row; the rows are VCGPT; NTU-VCGPT"):
        made(tmp_path, runner, "--rows", "nothing")


@pytest.mark.slow
def test_published_numbers_and_intervals_stand_beside_ours(tmp_path):
    skeletons = FakeRunner(
        grade=lambda folder: 4.0 if "skeletons" in str(folder) else 3.0,
        right=lambda folder: 8 if "skeletons" in str(folder) else 2,
    )
    made(tmp_path, skeletons, "--seeds", "3")
    text = (tmp_path / "out" / "table_3.md").read_text()
    lines = {line.split(" | ")[0]: line for line in text.splitlines()}
    assert lines["| Correctness"].startswith("| Correctness | 24.8 | – | 25.5 | 50.0 ± 0.0 (")
    assert "| 40.6 | 70.0 ± 0.0 (" in lines["| Correctness"]
    assert lines["| Temporal Understanding"].startswith("| Temporal Understanding | 20.0 | – | 16.9 | – |")
    assert lines["| Names the right action (%)"].startswith("| Names the right action (%) |  | – |  | 25.0 ± 0.0 (")
    assert "| SKI-LVLM | NTU-VCGPT | Average | better | +20.0 | 20.0 to 20.0 | 20.0 to 20.0 | 8 | 3 |" in text
    assert "| SKI-LVLM | SK-VCGPT | Average | not significant | +0.0 |" in text
    assert "– VCGPT: not run: its weights were not given (--baseline_weights)." in text
    assert "over the 1 metrics that were run" in text and "not comparable" in text and "toy" in text
    table = json.loads((tmp_path / "out" / "table_3.json").read_text())
    assert table["ours"]["SKI-LVLM"]["correctness"]["per_training"] == [70.0] * 3
    assert {c["measure"] for c in table["comparisons"]} == {"correctness", "average", "action"}


def items(*scores):
    return {f"v{n}_0": float(score) for n, score in enumerate(scores)}


def results(trained, baseline, measure="average"):
    """Table 3 with two rows, each a sequence of trainings or seed → training."""
    by_seed = [part if isinstance(part, dict) else dict(enumerate(part)) for part in (trained, baseline)]
    return results_of({("NTU-VCGPT", measure): by_seed[0], ("VCGPT", measure): by_seed[1]}, {})


def compared(trained, baseline):
    return next(iter(results(trained, baseline).comparisons(["average"])), None)


def number(*trainings):
    return results(trainings, []).number(TABLE.row("NTU-VCGPT"), "average")


def test_one_training_allows_no_verdict():
    comparison = compared([items(9, 9, 9)], [items(1, 1, 1)])
    assert comparison.verdict == "no conclusion: one training" and comparison.points.mean == 8


def test_a_difference_counts_only_if_other_trainings_would_show_it_too():
    base = [items(0, 0, 0)] * 3
    steady = compared([items(8, 9, 10), items(9, 10, 11), items(8, 9, 10)], base)
    lucky = compared([items(25, 26, 27), items(1, 2, 3), items(0, 1, 2)], base)
    assert lucky.points.interval[0] > 0 and lucky.verdict == "not significant"
    assert steady.verdict == "better"
    assert compared(base, [items(8, 9, 10), items(9, 10, 11), items(8, 9, 10)]).verdict == "worse"


def test_differences_pair_the_same_items_of_the_same_seeds():
    trained = {0: {"a": 10.0, "b": 99.0}, 1: items(5)}
    points = compared(trained, {0: {"a": 4.0, "c": 0.0}}).points
    assert (points.mean, points.items, len(points.per_training)) == (6.0, 1, 1)
    assert compared(trained, {2: items(1)}) is None
    assert results(trained, trained).comparisons(["detail"]) == []


def test_the_interval_over_items_covers_the_truth_narrows_with_videos_and_not_with_items_of_the_same():
    wide = number({f"{n}_0": 100.0 * (n % 2) for n in range(16)}).interval
    narrow = number({f"{n}_0": 100.0 * (n % 2) for n in range(400)}).interval
    again = number({f"{n}_{k}": 100.0 * (n % 2) for n in range(16) for k in range(5)}).interval
    assert wide[0] < 50 < wide[1] and wide[1] - wide[0] > 3 * (narrow[1] - narrow[0]) and again == wide
    cell = number(items(0, 100), items(50, 100))
    assert (cell.mean, cell.per_training, cell.items) == (62.5, (50.0, 75.0), 2)
    assert number(items(1)).interval is None
    assert compared([items(1)] * 2, [items(0)] * 2).verdict == "no conclusion: one video"
    assert number() is None and number({}) is None


def test_unscored_items_are_in_no_mean(tmp_path):
    for name, metric, score in (
        ("a", "correctness", 4),
        ("a", "detail", 2),
        ("b", "correctness", 0),
        ("b", "detail", None),
    ):
        grade = {"metric": metric, "key": f"{name}_0", "repeat": 0, "fields": {}, "score": score, "reason": None}
        append_jsonl(tmp_path / "judgements.jsonl", {**ABOUT, **grade})
    run = {"status": "run", "n_total": 2, "n_scored": 2}
    write_json(tmp_path / "scores.json", {**ABOUT, "metrics": {"correctness": run, "detail": run}})
    assert read_values(tmp_path, tmp_path / "none.json", actions=False) == {
        "correctness": {"a_0": 80, "b_0": 0},
        "detail": {"a_0": 40},
        "average": {"a_0": 60},
    }


@pytest.mark.slow
def test_on_ntu_the_paper_s_settings_and_charades_are_taken(tmp_path, runner):
    made(tmp_path, runner, *ntu(), "--baseline_weights", "mm_projector.bin")
    assert not {"synthesize.py", "prepare_ntu.py", "build.py"} & set(runner.scripts())
    trainings = of(runner, "train_ski_lvlm.py")
    assert len(trainings) == 4 and not {"--batch_size", "--learning_rate", "--base_llm"} & set(sum(trainings, []))
    captions = of(runner, "describe.py")
    assert all(flag(command, "--videos") == "charades" and "--limit" not in command for command in captions)
    baselines = [command for command in captions if "--baseline" in command]
    assert [flag(command, "--projector_weights") for command in baselines] == ["mm_projector.bin"]
    assert all(flag(command, "--judge") == "llama3.1" for command in of(runner, "score.py"))
    text = (tmp_path / "out" / "table_3.md").read_text()
    assert "right action" not in text and "toy" not in text and "| NTU-VCGPT | VCGPT |" in text


def test_data_that_does_not_fit_is_refused(tmp_path, runner):
    with pytest.raises(ValueError, match="--data ntu needs --ntu, --instructions, --questions, --charades_videos"):
        made(tmp_path, runner, "--data", "ntu")
    with pytest.raises(ValueError, match="--ntu, --baseline_weights can be given with --data ntu only"):
        made(tmp_path, runner, "--ntu", "x", "--baseline_weights", "y")


@pytest.mark.slow
def test_the_quickstart_s_data_and_encoders_are_used_if_it_got_that_far(tmp_path, runner):
    for stage in captioning_sources.QUICKSTART_STAGES:
        write_json(tmp_path / "quickstart" / "done" / stage, "")
    made(tmp_path, runner, "--seeds", "1")
    assert set(runner.scripts()) == {
        "extract_features.py",
        "join_features.py",
        "train_ski_lvlm.py",
        "describe.py",
        "score.py",
    }
    assert {flag(command, "--modalities") for command in of(runner, "extract_features.py")} == {"skeleton"}
    (tmp_path / "quickstart" / "done" / "features").unlink()
    again = FakeRunner()
    made(tmp_path / "other", again, "--seeds", "1")
    assert "synthesize.py" in again.scripts()


def test_dry_run_prints_the_commands_that_are_left_and_leaves_no_trace(tmp_path, runner, capsys):
    made(tmp_path, runner, "--dry_run", "--seeds", "1", "--max_steps", "3", "--limit", "5", "--clips", "64")
    lines = capsys.readouterr().out.splitlines()
    assert runner.commands == [] and not (tmp_path / "out").exists() and len(lines) == 22
    assert all(line.startswith("python ") for line in lines)
    assert sum("--max_steps 3" in line for line in lines) == 4 and sum("--limit 5" in line for line in lines) == 4
    assert all(line.count("--limit") <= 1 for line in lines)
    assert "--clips 64" in lines[0]


@pytest.mark.slow
def test_the_exit_code_tells_of_failures(tmp_path, runner, monkeypatch):
    runner.refuses = lambda folder: folder.name == "ntu"
    monkeypatch.setattr("scripts.tables.command.run_steps", lambda steps, **_: run_steps(steps, jobs=1, runner=runner))
    assert main(["--out", str(tmp_path / "out")]) == 1
    text = (tmp_path / "out" / "table_3.md").read_text()
    assert "43.5" in text and "– NTU-VCGPT; SK-VCGPT; SKI-LVLM; " in text
    runner.refuses = lambda folder: False
    assert main(["--out", str(tmp_path / "out"), "--seeds", "1"]) == 0


@pytest.mark.slow
def test_the_commands_accept_their_flags(tmp_path):
    from eval.describe_flags import arguments as describe_arguments
    from eval.scoring.flags import arguments as score_arguments
    from scripts.extract_features import arguments as extract_arguments

    parsers = {
        "eval/describe.py": lambda words: describe_arguments(words, description=""),
        "eval/score.py": lambda words: score_arguments(words, description=""),
        "scripts/extract_features.py": extract_arguments,
    }
    parsed = set()
    for name, flags in {"toy": [], "ntu": ntu("--baseline_weights", "w.bin")}.items():
        made(tmp_path / name, runner := FakeRunner(), *flags, "--seeds", "1")
        for script, *words in runner.commands:
            if script in parsers:
                parsers[script](words)
                parsed.add(script)
    assert parsed == set(parsers)


def test_the_training_accepts_its_flags(tmp_path, runner):
    from transformers import HfArgumentParser

    from ski_lvlm.parallel.launch import adapted_flags
    from train_ski_lvlm import LvlmArguments, SkiLvlmRecipe

    made(tmp_path, runner, "--rows", "†", "--seeds", "2", "--max_steps", "3")
    words = of(runner, "train_ski_lvlm.py")[1][1:]
    recipe, args = HfArgumentParser((SkiLvlmRecipe, LvlmArguments)).parse_args_into_dataclasses(adapted_flags(words))
    assert (recipe.skeleton_dropout, recipe.modalities, recipe.standardise) == ([0.5], "video,skeleton", True)
    assert (args.seed, args.max_steps, args.batch_size, args.num_train_epochs) == (1, 3, 4, 1.25)


def features(folder, modality, value):
    import numpy as np

    FeatureWriter(folder, {modality: {"digest": value, "width": 3}}).write("c", modality, np.full((2, 3), value))
    return folder


def test_joined_features_are_both_and_take_no_space(tmp_path):
    video, first = features(tmp_path / "v", "video", 1.0), features(tmp_path / "s", "skeleton", 2.0)
    flags = ["--video", str(video), "--out", str(tmp_path / "both"), "--skeleton"]
    assert join_main([*flags, str(first)]) == 0
    both = FeatureFolder(tmp_path / "both")
    assert both.load("c", "video").max() == 1 and both.load("c", "skeleton").max() == 2
    assert set(both.manifest) == {"video", "skeleton"} and (tmp_path / "both" / "video").is_symlink()
    other = features(tmp_path / "s2", "skeleton", 3.0)
    join_main([*flags, str(other)])
    assert FeatureFolder(tmp_path / "both").load("c", "skeleton").max() == 3
    assert FeatureFolder(first).load("c", "skeleton").max() == 2, "what was linked before is untouched"


def test_features_that_are_not_there_or_would_be_lost_are_refused(tmp_path):
    video, skeleton = features(tmp_path / "v", "video", 1.0), features(tmp_path / "s", "skeleton", 2.0)
    with pytest.raises(ValueError, match="no skeleton features .* --modalities skeleton"):
        join_main(["--video", str(video), "--skeleton", str(video), "--out", str(tmp_path / "both")])
    assert not (tmp_path / "both").exists()
    with pytest.raises(ValueError, match="holds features itself"):
        join_main(["--video", str(video), "--skeleton", str(skeleton), "--out", str(skeleton)])


def test_models_without_trainings_are_in_the_table_all_the_same():
    results = results_of({}, {("VCGPT", "average"): "x", (TABLE.rows[4].name, "average"): "y"})
    text = markdown(results, judge="llama3.1", toy=False)
    assert "| Average | 30.7 | – | 25.4 | – |" in text and "– VCGPT: x." in text and "comparable" not in text
    assert "The judge is asked in our words" in text and "unless --questions named the published file" in text


def test_each_training_has_a_folder_of_its_own():
    names = [row.method.name for row in TABLE.rows if isinstance(row.method, TrainedLvlm)]
    assert len(set(names)) == len(names) == 4 and isinstance(TABLE.rows[0].method, PublishedProjector)
