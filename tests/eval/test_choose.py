"""Multiple choice through the command: planted models with known accuracies, and a real tiny SKI-LVLM."""

import json
import shutil
import sys

import pytest
from scipy.stats import binom

from eval.choose import main
from eval.choosing.compare import compare_choices
from eval.pages.choice_figures import position_bars
from ski_lvlm.lvlm.inference import load_for_inference
from ski_lvlm.lvlm.likelihood import answer_likelihoods
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.storage.files import read_jsonl, write_json
from tests.cases.choice_case import PlantedModel, llavidal_record
from tests.cases.command_case import ROOT, kill_at, run
from tests.cases.tiny_llm import tiny_llm
from tests.cases.trained_case import FRAMES, build_model
from tests.cases.video_case import numbered, quarters, write_video
from tests.cases.vision_case import tiny_tower

METHODS = ["likelihood", "whole_likelihood", "letter_likelihood", "letter"]
QUESTIONS = 120
ORIGIN = {"model": {"source": "planted"}, "questions": {"file": "q.json"}}
NEVER = 1e-9  # probability of an accuracy that the bounds leave out


def flags(out, questions, **settings):
    values = {"out": out, "questions": questions, "model": "planted", "workers": 0} | settings
    parts = [(f"--{name}", value) for name, value in values.items()]
    return [str(word) for name, value in parts for word in ([name] if value is True else [name, value])]


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    file = tmp_path_factory.mktemp("questions") / "Charades-AR.json"
    write_json(file, [llavidal_record(number) for number in range(QUESTIONS)])
    return file


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Draw few intervals and no figures."""
    monkeypatch.setattr("ski_lvlm.recognition.intervals.DRAWS", 100)
    monkeypatch.setattr("eval.pages.choice_report.position_bars", lambda positions: "data:image/png;base64,")


def plant(monkeypatch, kind, **settings):
    model = PlantedModel(kind, **settings)
    monkeypatch.setattr("eval.choose._load", lambda args, shard: model)
    monkeypatch.setattr("eval.choose.provenance", lambda *_, **__: ORIGIN)
    return model


def results(out, *, text_only=False):
    return json.loads((out / ("text_only" if text_only else "") / "accuracy.json").read_text())


def choose(monkeypatch, kind, out, questions, *, reply=None, **settings):
    plant(monkeypatch, kind, reply=reply)
    settings = {"videos": questions.parent} | settings
    assert main(flags(out, questions, **settings)) == 0
    return results(out)


@pytest.mark.slow
def test_a_model_that_knows_has_every_answer_right(monkeypatch, questions, tmp_path):
    result = choose(monkeypatch, "right", tmp_path, questions)
    assert (result["items"], result["videos"], result["chance"]) == (QUESTIONS, QUESTIONS, 0.25)
    for row in (result["methods"][method] for method in METHODS):
        assert (row["accuracy"], row["accuracy_answered"], row["answered"]) == (1, 1, QUESTIONS)
        assert row["interval"] == [1, 1] and row["imbalance"] == 0 and row["unparsed"] == row["failed"] == 0


@pytest.mark.slow
def test_a_model_that_guesses_is_at_chance(monkeypatch, questions, tmp_path):
    result = choose(monkeypatch, "random", tmp_path, questions)
    low, high = binom.ppf([NEVER, 1 - NEVER], QUESTIONS, 0.25)
    for row in (result["methods"][method] for method in METHODS):
        assert low <= row["accuracy"] * QUESTIONS <= high
        assert row["interval"][0] < row["accuracy"] < row["interval"][1]
        assert row["p_uniform"] > 0.001, "it takes no notice of positions"


@pytest.mark.slow
def test_a_model_that_always_says_a_is_caught_whatever_the_file(monkeypatch, tmp_path):
    write_json(tmp_path / "q.json", [llavidal_record(4 * number) for number in range(80)])  # A is right in all
    biased = choose(monkeypatch, "first", tmp_path / "file", tmp_path / "q.json", file_order=True)
    assert biased["methods"]["letter"]["accuracy"] == 1 and biased["methods"]["letter"]["p_uniform"] is None
    result = choose(monkeypatch, "first", tmp_path / "shuffled", tmp_path / "q.json")
    row = result["methods"]["letter"]
    low, high = binom.ppf([NEVER, 1 - NEVER], 80, 0.25)
    assert low <= row["accuracy"] * 80 <= high
    assert [position["chosen"] for position in row["positions"]] == [1, 0, 0, 0]
    assert row["p_uniform"] < 1e-9 and row["imbalance"] == pytest.approx(1 - row["positions"][0]["right"])
    assert position_bars(row["positions"]).startswith("data:image/svg+xml")
    page = (tmp_path / "shuffled" / "report.html").read_text()
    assert "data:image" in page and "<script" not in page


@pytest.mark.slow
def test_kinds_of_questions_are_counted_apart_and_compared_apart(monkeypatch, tmp_path, capsys):
    records = [llavidal_record(k) | {"kind": ("action", "colour")[k % 2]} for k in range(40)]
    write_json(tmp_path / "q.json", records)
    right = choose(monkeypatch, "right", tmp_path / "right", tmp_path / "q.json")
    assert list(right["kinds"]) == ["action", "colour"] and "colour" in capsys.readouterr().out
    first = choose(monkeypatch, "first", tmp_path / "first", tmp_path / "q.json", orders=4)
    for result, accuracy in ((right, 1), (first, 0.25)):
        for row in result["kinds"].values():
            assert (row["items"], row["chance"], row["methods"]["likelihood"]["accuracy"]) == (20, 0.25, accuracy)
    same = compare_choices(tmp_path / "right", tmp_path / "right")
    assert {kind: row["likelihood"]["difference"] for kind, row in same["kinds"].items()} == {"action": 0, "colour": 0}
    assert main(["--compare", str(tmp_path / "right"), str(tmp_path / "right")]) == 0
    assert "colour" in capsys.readouterr().out


@pytest.mark.slow
def test_every_position_once_takes_the_gain_from_a_preferred_position(monkeypatch, questions, tmp_path):
    result = choose(monkeypatch, "first", tmp_path, questions, orders=4)
    row = result["methods"]["letter"]
    assert row["accuracy"] == 0.25 and row["answers"] == 4 * QUESTIONS
    assert [position["right"] for position in row["positions"]] == [0.25] * 4


@pytest.mark.slow
def test_answers_that_name_no_option_are_counted_and_never_guessed(monkeypatch, questions, tmp_path):
    result = choose(monkeypatch, "right", tmp_path, questions, reply="A person walks.")
    row = result["methods"]["letter"]
    assert (row["accuracy"], row["accuracy_answered"], row["answered"]) == (0, None, 0)
    assert row["unparsed"] == QUESTIONS and row["failed"] == 0 and row["positions"] == []
    assert result["methods"]["likelihood"]["accuracy"] == 1
    page = (tmp_path / "report.html").read_text()
    assert f"{QUESTIONS} of {QUESTIONS} answers name no option (written answer)" in page


@pytest.mark.slow
def test_the_floor_stands_beside_the_run_and_below_it(monkeypatch, questions, tmp_path, capsys):
    choose(monkeypatch, "right", tmp_path, questions)
    assert "--text_only adds it" in (tmp_path / "report.html").read_text()
    plant(monkeypatch, "first")
    assert main(flags(tmp_path, questions, text_only=True)) == 0
    assert results(tmp_path, text_only=True)["text_only"] and not results(tmp_path)["text_only"]
    gain = compare_choices(tmp_path / "text_only", tmp_path)["methods"]["likelihood"]
    assert gain["b"] == 100 and gain["difference"] == pytest.approx(100 - gain["a"]) and gain["p"] < 0.001
    assert gain["interval"][0] > 0
    assert "--text_only adds it" not in (tmp_path / "report.html").read_text()
    assert "The model saw no video" in (tmp_path / "text_only" / "report.html").read_text()


@pytest.mark.slow
def test_a_model_compared_with_itself_differs_by_nothing(monkeypatch, questions, tmp_path, capsys):
    for name in "ab":
        choose(monkeypatch, "random", tmp_path / name, questions)
    assert main(["--compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "compare.json").read_text())["methods"]
    assert all(row["difference"] == 0 and row["p"] == 1 for row in rows.values())
    printed = capsys.readouterr().out
    assert "option, per token" in printed and "…" not in printed


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"limit": 20}, {"orders": 2}, {"file_order": True}, {"prompt": "p.txt"}]
)
@pytest.mark.slow
def test_runs_that_asked_differently_are_not_compared(monkeypatch, questions, tmp_path, other):
    (tmp_path / "p.txt").write_text("{question} {options}")
    other = {name: tmp_path / value if name == "prompt" else value for name, value in other.items()}
    for name, settings in (("a", {}), ("b", other)):
        choose(monkeypatch, "right", tmp_path / name, questions, **{"limit": 30} | settings)
    with pytest.raises(ValueError, match="run one of them again|give both runs the same"):
        compare_choices(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_folders_of_something_else_are_not_compared(monkeypatch, questions, tmp_path):
    choose(monkeypatch, "right", tmp_path / "a", questions, limit=3)
    for content in ("[]", '{"methods": 3}', None):
        shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
        file = tmp_path / "b" / "accuracy.json"
        file.write_text(content) if content else file.unlink()
        with pytest.raises(ValueError, match=r"expected the --out of a finished eval/choose\.py"):
            compare_choices(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_a_second_run_asks_nothing_again_and_other_orders_only_what_is_new(monkeypatch, questions, tmp_path):
    choose(monkeypatch, "right", tmp_path, questions, limit=10)
    model = plant(monkeypatch, "first")
    assert main(flags(tmp_path, questions, videos=questions.parent, limit=10)) == 0
    assert model.asked == [] and results(tmp_path)["methods"]["letter"]["accuracy"] == 1
    assert main(flags(tmp_path, questions, videos=questions.parent, limit=10, orders=2)) == 0
    assert len(model.asked) == 10
    assert main(flags(tmp_path, questions, videos=questions.parent, limit=10, max_new_tokens=5)) == 0
    assert len(model.asked) == 20, "other settings ask anew"


@pytest.mark.slow
def test_shards_together_are_the_whole(monkeypatch, questions, tmp_path, capsys):
    plant(monkeypatch, "right")
    for part in ("1/2", "2/2"):
        assert main(flags(tmp_path, questions, videos=questions.parent, shard=part)) == 0
    assert not (tmp_path / "accuracy.json").exists()
    model = plant(monkeypatch, "first")
    assert main(flags(tmp_path, questions, videos=questions.parent)) == 0
    assert model.asked == [] and results(tmp_path)["methods"]["letter"]["accuracy"] == 1


WRONG = {
    "no model": (["--questions", "q.json"], "give --model DIR"),
    "no questions": (["--model", "m"], "give --questions FILE"),
    "orders of the file": (
        ["--model", "m", "--questions", "q", "--file_order", "--orders", "2"],
        "one order of the file",
    ),
    "features of nothing": (
        ["--model", "m", "--questions", "q", "--text_only", "--features", "f"],
        "no tokens to keep",
    ),
    "no order": (["--model", "m", "--questions", "q", "--orders", "0"], "expected 1 or more"),
    "a flag of the baseline": (["--model", "m", "--questions", "q", "--base_llm", "x"], "only for --baseline"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_flags_are_refused(case, capsys):
    words, message = WRONG[case]
    with pytest.raises(SystemExit):
        main(words)
    assert message in capsys.readouterr().err


def test_files_that_would_be_overwritten_or_are_missing_are_refused(questions, tmp_path):
    write_json(tmp_path / "choices.json", [llavidal_record(0)])
    for settings, message in [
        ({"questions": tmp_path / "choices.json"}, "would overwrite the questions"),
        ({"out": questions}, "is a file, expected a folder"),
        ({"videos": tmp_path / "none"}, "no such folder"),
        ({"questions": tmp_path / "none.json"}, "does not exist"),
    ]:
        with pytest.raises(ValueError, match=message):
            main(flags(**{"out": tmp_path, "questions": questions, "videos": tmp_path} | settings))
    with pytest.raises(ValueError, match="give --videos DIR"):
        main(flags(tmp_path, questions))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("choose")
    tiny_tower(root / "tower")
    tiny_llm(root / "llm")
    build_model(root / "model", tower=root / "tower", llm=root / "llm")
    for name, frames in {"clip_0": numbered(8), "clip_1": quarters(), "clip_2": numbered(40)[::-1]}.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    write_json(root / "q.json", [llavidal_record(number) for number in range(3)] + [llavidal_record(5, video="clip_1")])
    return root


@pytest.fixture
def in_fp32(monkeypatch):
    monkeypatch.setattr("ski_lvlm.lvlm.inference.native_bf16", lambda: False)


def tiny_flags(case, out, **settings):
    values = {"model": case / "model", "videos": case / "videos", "max_new_tokens": 6, "batch_size": 3}
    return flags(out, case / "q.json", **values | settings)


def choices(out):
    return json.loads((out / "choices.json").read_text())


@pytest.mark.slow
def test_a_tiny_model_is_asked_about_each_video(case, tmp_path, in_fp32, monkeypatch):
    assert main(tiny_flags(case, tmp_path)) == 0
    entries = choices(tmp_path)
    lvlm = load_for_inference(case / "model")
    for entry in entries:
        (answer,) = entry["answers"]
        options = [entry["options"][option] for option in answer["order"]]
        listed = "\n".join(f"({letter}) {option}" for letter, option in zip("ABCD", options, strict=True))
        prompt = f"{entry['question']}\n{listed}\nAnswer with the letter of the right option alone."
        tokens = lvlm.encode(lvlm.read(case / "videos" / entry["video_name"]))
        expected = answer_likelihoods(lvlm.model, tokens, prompt, options)
        assert [total for total, _ in answer["likelihoods"]] == pytest.approx([row.total for row in expected], rel=1e-4)
        assert answer["answer"] == lvlm.answer([tokens], [prompt], max_new_tokens=6)[0].text
        best = max(range(4), key=lambda position: expected[position].mean)
        assert answer["choices"]["likelihood"] == answer["order"][best]
    monkeypatch.setattr(SkiLvlm, "answer", None)  # the log has all
    assert main(tiny_flags(case, tmp_path, batch_size=1)) == 0
    assert choices(tmp_path) == entries


@pytest.mark.slow
def test_without_the_video_every_video_is_alike(case, tmp_path, in_fp32):
    write_json(tmp_path / "q.json", [llavidal_record(0, video=name) for name in ("clip_0", "clip_1", "never_read")])
    words = [part for part in tiny_flags(case, tmp_path, text_only=True, file_order=True) if "videos" not in part]
    words[words.index("--questions") + 1] = str(tmp_path / "q.json")
    assert main(words) == 0
    answers = [entry["answers"] for entry in choices(tmp_path / "text_only")]
    totals = [[total for total, _ in answer["likelihoods"]] for (answer,) in answers]
    assert totals[1] == pytest.approx(totals[0], rel=1e-4) and totals[2] == pytest.approx(totals[0], rel=1e-4)
    assert len({answer["answer"] for (answer,) in answers}) == 1


@pytest.mark.slow
def test_a_video_that_cannot_be_read_has_no_answer_and_is_tried_again(case, tmp_path, in_fp32, capsys):
    shutil.copytree(case / "videos", tmp_path / "videos")
    (tmp_path / "videos" / "clip_1.mp4").write_bytes(b"no video")
    words = tiny_flags(case, tmp_path / "out", videos=tmp_path / "videos")
    assert main([*words, "--strict"]) == 1
    row = results(tmp_path / "out")["methods"]["likelihood"]
    assert (row["answers"], row["answered"], row["failed"], row["unparsed"]) == (4, 2, 2, 0)
    assert "2 of 4 have no answer" in capsys.readouterr().err
    assert "clip_1" in (tmp_path / "out" / "report.html").read_text()
    shutil.copy(case / "videos" / "clip_1.mp4", tmp_path / "videos")
    assert main([*words, "--strict"]) == 0
    assert results(tmp_path / "out")["methods"]["likelihood"]["failed"] == 0


@pytest.mark.slow
def test_tokens_in_a_feature_folder_give_the_same_choices(case, tmp_path, in_fp32):
    """They are kept in half precision."""
    assert main(tiny_flags(case, tmp_path / "a", features=tmp_path / "features")) == 0
    assert len(list((tmp_path / "features" / "video").iterdir())) == 3
    assert main(tiny_flags(case, tmp_path / "b", features=tmp_path / "features")) == 0
    assert choices(tmp_path / "a") == choices(tmp_path / "b")


@pytest.mark.slow
def test_a_question_beyond_the_context_has_a_reason(case, tmp_path, in_fp32):
    write_json(tmp_path / "q.json", [llavidal_record(0), llavidal_record(1) | {"question": "so " * 4000}])
    words = tiny_flags(case, tmp_path / "out")
    words[words.index("--questions") + 1] = str(tmp_path / "q.json")
    assert main(words) == 0
    answers = [entry["answers"][0] for entry in choices(tmp_path / "out")]
    assert answers[0]["error"] is None and "the language model reads" in answers[1]["error"]


@pytest.mark.slow
def test_a_kill_loses_no_answer(case, tmp_path):
    command = [sys.executable, str(ROOT / "eval" / "choose.py")]
    words = tiny_flags(case, tmp_path / "killed", batch_size=1)
    kill_at([*command, *words], "choices.jsonl", 3, folder=tmp_path)
    before = read_jsonl(tmp_path / "killed" / "choices.jsonl")
    assert len(before) == 2
    result = run([*command, *words])
    assert result.returncode == 0, result.stderr
    after = read_jsonl(tmp_path / "killed" / "choices.jsonl")
    assert after[:2] == before and len(after) == 4
    assert "chance: 25.0 %" in result.stdout and "…" not in result.stdout


def test_frames_of_the_case_are_those_of_its_model(case):
    assert load_for_inference(case / "model").tower.num_frames == FRAMES
