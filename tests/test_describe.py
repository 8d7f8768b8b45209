"""A tiny SKI-LVLM that answers about tiny videos through the real command; no skeleton exists anywhere."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from video_case import numbered, quarters, write_audio, write_video, write_zero_length
from vision_case import tiny_tower

from eval.clips import DecodedClips
from eval.describe import answer_key, evenly, load, main, model_digest, read_questions
from ski_lvlm.files import write_json
from ski_lvlm.llm import native_bf16
from ski_lvlm.lvlm import SkiLvlm
from ski_lvlm.tiny import tiny_llm
from ski_lvlm.vision import load_vision_tower

VIDEOS = ["a", "b", "c", "d"]
ASKED = {"Q": "What is the person doing?", "Q1": "Which action is it?", "Q2": "Why?"}
PREDICTED = ("pred", "pred1", "pred2")
FRAMES = 6


def item(video, **fields):
    return {"video_name": video, "A": "Drinking.", **ASKED} | fields


def build_model(folder, *, tower, llm, modalities=("video", "skeleton"), framing="whole"):
    """As train_ski_lvlm.py leaves it; the skeleton encoder it was trained with is long gone."""
    loaded = load_vision_tower(str(tower), num_frames=FRAMES, device="cpu")
    manifest = {
        "video": {"tower": str(tower), "digest": loaded.digest, "num_frames": FRAMES, "framing": framing},
        "skeleton": {"encoder": "gone", "digest": "0" * 16, "num_frames": 32},
    }
    torch.manual_seed(0)
    widths = {name: {"video": loaded.width, "skeleton": 8}[name] for name in modalities}
    model = SkiLvlm.build(base_llm=str(llm), token_widths=widths, manifest=manifest)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def in_fp32():
    """In bf16 the company in a batch may turn a near tie of a random model's next tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ski_lvlm.llm.native_bf16", lambda: False)
        yield


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("describe")
    tiny_tower(root / "tower")
    tiny_llm(root / "llm")
    build_model(root / "model", tower=root / "tower", llm=root / "llm")
    clips = {"a": numbered(8), "b": quarters(), "c": numbered(40)[::-1], "d": numbered(60)[40:]}
    for name, frames in clips.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    write_json(root / "questions.json", [item(video) for video in VIDEOS])
    return root


def flags(case, out, **settings):
    chosen = {
        "model": case / "model",
        "videos": case / "videos",
        "questions": case / "questions.json",
        "out": out / "predictions.json",
        "workers": 0,
        "batch_size": 3,
        "max_new_tokens": 6,
    }
    return [part for name, value in (chosen | settings).items() for part in (f"--{name}", str(value))]


def predictions(out):
    return json.loads((out / "predictions.json").read_text())


def answers(items):
    return [[entry.get(field) for field in PREDICTED] for entry in items]


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(flags(case, out)) == 0
    return predictions(out)


def test_every_question_gets_the_answer_about_its_own_video(case, undisturbed):
    assert [entry | item(entry["video_name"]) for entry in undisturbed] == undisturbed  # the questions are kept
    model = load(case / "model")
    clips = DecodedClips(VIDEOS, case / "videos", num_frames=FRAMES, side=28, framing="whole")
    alone = [
        [model.generate([clip.frames], [question], max_new_tokens=6)[0] for question in ASKED.values()]
        for clip in (clips[k] for k in range(len(clips)))
    ]
    assert answers(undisturbed) == alone
    assert len({tuple(row) for row in alone}) == len(VIDEOS), "the test cannot tell the videos apart"


def test_the_answers_do_not_depend_on_batches_and_workers(case, undisturbed, tmp_path):
    assert main(flags(case, tmp_path, batch_size=1, workers=1)) == 0
    assert predictions(tmp_path) == undisturbed


def count_questions(monkeypatch):
    asked = []
    generate = SkiLvlm.generate

    def counting(model, video, question, **settings):
        asked.extend(question)
        return generate(model, video, question, **settings)

    monkeypatch.setattr(SkiLvlm, "generate", counting)
    return asked


def test_a_second_run_answers_nothing_again(case, undisturbed, tmp_path, monkeypatch):
    asked = count_questions(monkeypatch)
    main(flags(case, tmp_path))
    assert len(asked) == len(VIDEOS) * len(ASKED)
    main(flags(case, tmp_path))
    assert len(asked) == len(VIDEOS) * len(ASKED)
    assert predictions(tmp_path) == undisturbed


def test_a_question_asked_twice_about_a_video_is_answered_once(case, tmp_path, monkeypatch):
    write_json(tmp_path / "q.json", [item("a"), item("a", Q1="Why?")])
    asked = count_questions(monkeypatch)
    main(flags(case, tmp_path, questions=tmp_path / "q.json"))
    assert sorted(asked) == sorted(ASKED.values())
    first, second = answers(predictions(tmp_path))
    assert second == [first[0], first[2], first[2]]


@pytest.mark.parametrize("setting", ["max_new_tokens", "temperature", "videos", "model"])
def test_under_other_settings_everything_is_answered_anew(case, tmp_path, monkeypatch, setting):
    main(flags(case, tmp_path))
    (tmp_path / "videos").symlink_to(case / "videos")
    (tmp_path / "elsewhere").mkdir()
    for file in (case / "videos").iterdir():
        (tmp_path / "elsewhere" / file.name).symlink_to(file)
    build_model(tmp_path / "model", tower=case / "tower", llm=case / "llm")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    save_file({name: 2 * tensor for name, tensor in weights.items()}, tmp_path / "model" / "model.safetensors")
    asked = count_questions(monkeypatch)
    main(flags(case, tmp_path, videos=tmp_path / "videos"))
    assert asked == []  # another way to the same folder
    other = {
        "max_new_tokens": 3,
        "temperature": 1.5,
        "videos": tmp_path / "elsewhere",
        "model": tmp_path / "model",
    }[setting]
    main(flags(case, tmp_path, **{setting: other}))
    assert len(asked) == len(VIDEOS) * len(ASKED)


def test_a_seed_makes_sampling_repeatable(case, tmp_path, undisturbed):
    runs = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        main(flags(case, tmp_path / name, temperature=2.0, seed=seed))
        runs.append(answers(predictions(tmp_path / name)))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2] and runs[0] != answers(undisturbed)


def test_killed_after_its_first_answer_the_same_command_ends_as_if_undisturbed(case, tmp_path, monkeypatch):
    monkeypatch.setattr("ski_lvlm.llm.native_bf16", native_bf16)  # as the processes below
    main(flags(case, tmp_path / "undisturbed", batch_size=1))
    script = Path(__file__).resolve().parents[1] / "eval" / "describe.py"
    command = [sys.executable, str(script), *flags(case, tmp_path, batch_size=1)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log, deadline = tmp_path / "predictions.jsonl", time.monotonic() + 120
    while not (log.exists() and b"\n" in log.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it could be killed"
    kept = log.read_bytes()
    assert 0 < kept.count(b"\n") < len(VIDEOS) * len(ASKED) and not (tmp_path / "predictions.json").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert log.read_bytes().startswith(kept)
    assert predictions(tmp_path) == predictions(tmp_path / "undisturbed")


def test_an_answer_torn_by_a_kill_is_given_again(case, undisturbed, tmp_path):
    main(flags(case, tmp_path))
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    main(flags(case, tmp_path))
    assert predictions(tmp_path) == undisturbed
    assert len(log.read_bytes().splitlines()) == len(VIDEOS) * len(ASKED) + 1


HOSTILE = {"missing": "no video of clip 'missing'", "empty": "no frames", "audio": "audio only", "junk": "be decoded"}


@pytest.fixture
def hostile(case, tmp_path):
    """Two good videos among bad ones."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "c"):
        (folder / f"{name}.mp4").symlink_to(case / "videos" / f"{name}.mp4")
    write_zero_length(folder / "empty.avi")
    write_audio(folder / "audio.mp4")
    (folder / "junk.mkv").write_bytes(bytes(range(256)) * 40)
    names = ["missing", "a", "empty", "audio", "c", "junk"]
    write_json(tmp_path / "questions.json", [item(name) for name in names])
    return tmp_path


def test_an_unreadable_video_gets_no_answer_and_the_reason(case, hostile, undisturbed, capsys):
    assert main(flags(case, hostile, videos=hostile / "videos", questions=hostile / "questions.json")) == 0
    found = {entry["video_name"]: entry for entry in predictions(hostile)}
    for name, reason in HOSTILE.items():
        assert answers([found[name]]) == [[None] * 3]
        assert reason in found[name]["error"]
    assert [found["a"], found["c"]] == [undisturbed[0], undisturbed[2]]
    printed = capsys.readouterr().out
    assert "2 of 6 items answered" in printed and "no answer: audio: " in printed


def test_a_video_that_has_been_put_right_is_answered_by_the_next_run(case, hostile, monkeypatch):
    run = flags(case, hostile, videos=hostile / "videos", questions=hostile / "questions.json")
    main(run)
    (hostile / "videos" / "missing.mp4").symlink_to(case / "videos" / "b.mp4")
    asked = count_questions(monkeypatch)
    main(run)
    assert len(asked) == len(ASKED)
    now = predictions(hostile)[0]
    assert None not in answers([now])[0] and "error" not in now


def test_no_readable_video_at_all_is_exit_code_1(case, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(flags(case, tmp_path, videos=tmp_path / "none")) == 1
    assert answers(predictions(tmp_path)) == [[None] * 3] * len(VIDEOS)
    assert "0 of 4 items answered" in capsys.readouterr().out


def test_limit_takes_items_evenly_spaced(case, undisturbed, tmp_path):
    main(flags(case, tmp_path, limit=2))
    assert predictions(tmp_path) == [undisturbed[0], undisturbed[2]]
    assert [entry["n"] for entry in evenly([{"n": n} for n in range(7)], 5)] == [0, 1, 2, 4, 5]
    assert evenly([{"n": 1}], 9) == [{"n": 1}]


def test_an_item_is_asked_only_what_it_has(case, undisturbed, tmp_path):
    write_json(tmp_path / "q.json", [{"video_name": "a", "Q": ASKED["Q"], "A": "x"}, item("b", Q=None)])
    main(flags(case, tmp_path, questions=tmp_path / "q.json"))
    first, second = predictions(tmp_path)
    assert set(first) == {"video_name", "Q", "A", "pred"} and first["pred"] == undisturbed[0]["pred"]
    assert "pred" not in second and second["pred1"] == undisturbed[1]["pred1"]


def test_llavidal_s_consistency_questions_are_read(case, undisturbed, tmp_path):
    spelled = {"video_name": "a", "Q": ASKED["Q"], "A": "x", "cons_A": "y"}
    write_json(tmp_path / "q.json", [spelled | {"cons_Q1": ASKED["Q1"], "cons_Q2": ASKED["Q2"]}])
    main(flags(case, tmp_path, questions=tmp_path / "q.json"))
    assert answers(predictions(tmp_path)) == answers(undisturbed[:1])
    assert predictions(tmp_path)[0]["cons_A"] == "y"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected a non-empty list"),
        ('{"a": {"Q": "Why?"}}', "expected a non-empty list"),
        ('["a"]', "item 0 is 'a'; expected an object"),
        ('[{"Q": "Why?"}]', "item 0 has no video_name"),
        ('[{"video_name": "a", "Q": "Why?"}, {"video_name": "b", "A": "So."}]', "item 1 has no .* found .*'A'"),
        ('[{"video_name": "a", "Q": ["Why?"]}]', r"item 0: Q is \['Why\?'\]; expected a text"),
        ('[{"video_name": 7, "Q": "Why?"}]', "item 0: video_name is 7; expected a text"),
    ],
)
def test_a_malformed_questions_file_is_named_with_its_fault(tmp_path, content, message):
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(ValueError, match=rf"q\.json.*{message}"):
        read_questions(tmp_path / "q.json")


def test_answers_and_their_log_may_not_share_a_name(case, tmp_path):
    with pytest.raises(ValueError, match=r"--out .*\.jsonl.*give a \.json"):
        main([*flags(case, tmp_path), "--out", str(tmp_path / "p.jsonl")])


def test_no_skeleton_is_needed_not_even_the_projector(case, undisturbed, tmp_path):
    assert not [file for file in case.rglob("*") if "skeleton" in file.name]
    build_model(tmp_path / "model", tower=case / "tower", llm=case / "llm")
    file = tmp_path / "model" / "model.safetensors"
    weights = load_file(file)
    assert any("skeleton" in name for name in weights)
    save_file({name: tensor for name, tensor in weights.items() if "skeleton" not in name}, file)
    assert main(flags(case, tmp_path, model=tmp_path / "model")) == 0
    assert predictions(tmp_path) == undisturbed


def test_a_model_trained_without_video_says_so(case, tmp_path):
    build_model(tmp_path / "model", tower=case / "tower", llm=case / "llm", modalities=("skeleton",))
    with pytest.raises(ValueError, match=r"trained on \['skeleton'\] alone.*\['video'\]"):
        main(flags(case, tmp_path, model=tmp_path / "model"))


def test_another_tower_s_weights_are_refused_before_anything_is_answered(case, tmp_path):
    tiny_tower(tmp_path / "tower")
    build_model(tmp_path / "model", tower=tmp_path / "tower", llm=case / "llm")
    tiny_tower(tmp_path / "tower", seed=1)
    with pytest.raises(ValueError, match="vision tower .* digest .* expected"):
        main(flags(case, tmp_path, model=tmp_path / "model"))
    assert not (tmp_path / "predictions.jsonl").exists() and not (tmp_path / "predictions.json").exists()


def test_videos_are_framed_as_the_training_features_were(case, tmp_path):
    edges = np.full((4, 48, 64, 3), 40, np.uint8)
    edges[:, :, :16] = 250
    write_video(tmp_path / "videos" / "edges.mp4", edges)
    write_json(tmp_path / "q.json", [item("edges")])
    for framing in ("whole", "centre"):
        model = build_model(tmp_path / framing, tower=case / "tower", llm=case / "llm", framing=framing)
        shown = flags(case, tmp_path, model=model, videos=tmp_path / "videos", questions=tmp_path / "q.json")
        main([*shown, "--out", str(tmp_path / framing / "predictions.json")])
        clip = DecodedClips(["edges"], tmp_path / "videos", num_frames=FRAMES, side=28, framing=framing)[0]
        expected = load(model).generate([clip.frames], [ASKED["Q"]], max_new_tokens=6)
        assert [entry["pred"] for entry in predictions(tmp_path / framing)] == expected
    assert predictions(tmp_path / "whole") != predictions(tmp_path / "centre")


def test_an_answer_is_remembered_by_video_question_and_settings(case):
    keys = {answer_key(*key) for key in (("a", "b", "c"), ("b", "a", "c"), ("ab", "", "c"), ("a", "b", "d"))}
    assert len(keys) == 4
    digest = model_digest(load(case / "model"))
    assert digest.split()[1] == SkiLvlm.from_pretrained(case / "model").config.llm_digest
