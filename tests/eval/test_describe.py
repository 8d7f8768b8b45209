"""A tiny SKI-LVLM that answers about tiny videos through the real command, without any skeleton."""

import hashlib
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.describe import describe, main
from eval.describing.batch_engine import BatchEngine
from eval.describing.clip_inputs import ClipInputs
from eval.describing.trained_model import model_digest
from eval.items.answers import answer_key
from eval.items.questions import evenly, read_questions
from scripts.extract_features import main as extract_main
from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.encoders.vision_tower import VisionTower
from ski_lvlm.llm.conversation import IGNORED, encode
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.inference import EndWatch, load_for_inference
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.storage.files import read_jsonl, write_json
from ski_lvlm.storage.shards import Shard, only_process
from ski_lvlm.videos.decoding import read_clip
from ski_lvlm.videos.folder import VideoFolder
from tests.cases.command_case import ROOT, kill_at, run
from tests.cases.data_set_case import write_data_set
from tests.cases.describe_case import (
    ASKED,
    VIDEOS,
    answers,
    flags,
    item,
    predictions,
    write_describe_case,
)
from tests.cases.trained_case import FRAMES, build_model
from tests.cases.video_case import write_audio, write_video, write_zero_length
from tests.cases.vision_case import tiny_tower

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_fp32")]

PUBLISHED = ["--baseline", "video-chatgpt", "--projector_weights", "w", "--base_llm", "x", "--vision_tower", "y"]


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_describe_case(tmp_path_factory.mktemp("describe"))


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(flags(case, out)) == 0
    return predictions(out)


@pytest.mark.slow
def test_a_data_set_names_the_videos_and_stretches_of_them(case, undisturbed, tmp_path):
    rows = [{"clip": name, "class": "wave", "video": f"{name}.mp4"} for name in "abcd"]
    data = write_data_set(tmp_path / "home", rows=[{**row, "start": "", "end": ""} for row in rows])
    for name in "abcd":
        shutil.copy(case / "videos" / f"{name}.mp4", data)
    command = flags(case, tmp_path / "whole", data=data)
    place = command.index("--videos")
    without_videos = command[:place] + command[place + 2 :]
    assert main(without_videos) == 0
    assert answers(predictions(tmp_path / "whole")) == answers(undisturbed)
    with pytest.raises(ValueError, match="give --videos DIR, .* or --data DIR"):
        main([part for part in without_videos if part not in ("--data", str(data))])


@pytest.fixture(scope="module")
def features(case, tmp_path_factory):
    """A feature folder after one run with it, and the run's predictions."""
    root = tmp_path_factory.mktemp("features")
    assert main(flags(case, root / "run", features=root / "features")) == 0
    return root / "features", predictions(root / "run")


def without_decoder(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("a video was decoded")

    monkeypatch.setattr("ski_lvlm.videos.decoding._read", fail)
    monkeypatch.setattr(VisionTower, "forward", fail)


@pytest.mark.slow
def test_videos_whose_tokens_are_kept_are_read_by_no_other_model_and_give_the_same_answers(
    case, features, undisturbed, tmp_path, monkeypatch
):
    folder, first = features
    assert answers(first) == answers(undisturbed)  # no near tie in this case, though tokens are rounded to float16
    stored = FeatureFolder(folder)
    lvlm = load_for_inference(case / "model")
    expected = lvlm.encode(frames_of("c", case / "videos")).half().float()
    assert torch.equal(stored.load("c", "video"), expected)
    without_decoder(monkeypatch)
    assert main(flags(case, tmp_path, features=folder)) == 0
    assert predictions(tmp_path) == first
    assert json.loads((tmp_path / "predictions.run.json").read_text())["features"] == str(folder)


@pytest.mark.slow
def test_features_of_the_extraction_are_read_however_the_questions_spell_the_videos(case, tmp_path, monkeypatch):
    extract = ["--ntu", case / "videos", "--vision_tower", case / "tower", "--num_frames", FRAMES, "--workers", 0]
    extract_main([str(word) for word in [*extract, "--modalities", "video", "--out", tmp_path / "features"]])
    write_json(tmp_path / "q.json", [item("a.mp4"), item(str(case / "videos" / "b.mp4"))])
    without_decoder(monkeypatch)
    settings = {"features": tmp_path / "features", "questions": tmp_path / "q.json"}
    assert main(flags(case, tmp_path, **settings)) == 0
    assert all(entry["pred"] is not None for entry in predictions(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"), [("digest", "f" * 16), ("num_frames", 7), ("framing", "centre"), ("stretches_of", "cuts")]
)
def test_features_of_another_tower_or_of_other_frames_are_refused(case, features, tmp_path, key, value):
    folder, _ = features
    entry = json.loads((folder / "features.json").read_text())["video"]
    write_json(tmp_path / "features" / "features.json", {"video": entry | {key: value}})
    with pytest.raises(ValueError, match=rf"the video features there were made otherwise \({key} .*another folder"):
        main(flags(case, tmp_path, features=tmp_path / "features"))
    assert not list((tmp_path / "features").rglob("*.npy"))


@pytest.mark.slow
def test_a_feature_folder_that_cannot_be_written_serves_all_the_same(case, features, tmp_path, monkeypatch):
    folder, first = features
    monkeypatch.setattr("ski_lvlm.lvlm.features.FileLock", None)
    monkeypatch.setattr("ski_lvlm.lvlm.features.atomic_path", None)
    assert main(flags(case, tmp_path, features=folder, workers=1)) == 0
    assert predictions(tmp_path) == first


@pytest.mark.slow
def test_damaged_tokens_of_one_video_leave_the_others(case, features, tmp_path):
    folder, first = features
    shutil.copytree(folder, tmp_path / "features")
    (tmp_path / "features" / "video" / "b.npy").write_bytes(b"half")
    assert main(flags(case, tmp_path, features=tmp_path / "features")) == 0
    a, b, *others = predictions(tmp_path)
    assert [a, *others] == [first[0], *first[2:]]
    assert b["pred"] is None and "b.npy: not a whole .npy array" in b["error"]


@pytest.mark.slow
def test_tokens_that_cannot_be_kept_leave_their_video_without_answers(case, tmp_path, monkeypatch):
    forward = VisionTower.forward
    huge = {"a"}
    monkeypatch.setattr(VisionTower, "forward", lambda tower, video: forward(tower, video) * (1e9 if huge else 1))
    main(flags(case, tmp_path, features=tmp_path / "features", limit=1))
    (a,) = predictions(tmp_path)
    assert a["pred"] is None and "infinite in float16" in a["error"]
    huge.clear()
    main(flags(case, tmp_path, features=tmp_path / "features", limit=1))
    assert predictions(tmp_path)[0]["pred"] is not None


@pytest.mark.slow
def test_stretches_of_videos_keep_tokens_of_their_own(case, tmp_path, monkeypatch):
    rows = [("early", "c.mp4", 0, 10), ("late", "c.mp4", 30, 40), ("c", "c.mp4", 10, 20)]
    fields = ("clip", "video", "start_frame", "end_frame")
    data = write_data_set(tmp_path / "home", rows=[dict(zip(fields, row)) | {"class": "wave"} for row in rows])
    shutil.copy(case / "videos" / "c.mp4", data)
    write_json(tmp_path / "q.json", [item(name) for name, *_ in rows])
    settings = {"data": data, "videos": data, "questions": tmp_path / "q.json", "features": tmp_path / "features"}
    main(flags(case, tmp_path / "first", **settings))
    first = predictions(tmp_path / "first")
    assert sorted(file.stem for file in (tmp_path / "features" / "video").iterdir()) == ["c", "early", "late"]
    assert len({tuple(row) for row in answers(first)}) == 3
    with pytest.raises(ValueError, match=r"made otherwise \(stretches_of 'home' → None\)"):
        main(flags(case, tmp_path / "whole", features=tmp_path / "features"))
    without_decoder(monkeypatch)
    main(flags(case, tmp_path / "second", **settings))
    assert predictions(tmp_path / "second") == first


@pytest.mark.slow
def test_shards_and_a_kill_lose_no_tokens_and_no_answers(case, features, tmp_path, monkeypatch):
    _, first = features
    settings = {"features": tmp_path / "features", "batch_size": 1}
    killed = [sys.executable, str(ROOT / "eval" / "describe.py"), *flags(case, tmp_path, shard="1/2", **settings)]
    kill_at(killed, "predictions.1-of-2.jsonl", 1, folder=tmp_path)
    assert not [file for file in (tmp_path / "features" / "video").iterdir() if len(np.load(file)) == 0]
    for part in ("1/2", "2/2"):
        main(flags(case, tmp_path, shard=part, **settings))
    without_decoder(monkeypatch)
    main(flags(case, tmp_path, **settings))
    main(flags(case, tmp_path / "again", **settings))
    assert predictions(tmp_path) == predictions(tmp_path / "again") == first


def frames_of(name, folder, framing="whole"):
    return read_clip(name, videos=VideoFolder(folder), num_frames=FRAMES, side=28, framing=framing)


def texts(lvlm, frames, question, **generation):
    return [answer.text for answer in lvlm.answer([lvlm.encode(frames)], [question], max_new_tokens=6, **generation)]


@pytest.mark.slow
def test_every_question_gets_the_answer_about_its_own_video(case, undisturbed):
    assert [entry | item(entry["video_name"]) for entry in undisturbed] == undisturbed  # the questions are kept
    lvlm = load_for_inference(case / "model")
    alone = [
        [texts(lvlm, frames, question)[0] for question in ASKED.values()]
        for frames in (frames_of(name, case / "videos") for name in VIDEOS)
    ]
    assert answers(undisturbed) == alone
    assert len({tuple(row) for row in alone}) == len(VIDEOS), "the test cannot tell the videos apart"


@pytest.mark.slow
def test_the_answers_do_not_depend_on_batches_and_workers(case, undisturbed, tmp_path):
    assert main(flags(case, tmp_path, batch_size=1, workers=1)) == 0
    assert predictions(tmp_path) == undisturbed


def record_questions(monkeypatch):
    record = []
    answer = SkiLvlm.answer

    def recorded_answer(model, tokens, questions, **settings):
        record.extend(questions)
        return answer(model, tokens, questions, **settings)

    monkeypatch.setattr(SkiLvlm, "answer", recorded_answer)
    return record


@pytest.mark.slow
def test_a_second_run_answers_nothing_again(case, undisturbed, tmp_path, monkeypatch):
    questions = record_questions(monkeypatch)
    main(flags(case, tmp_path))
    assert len(questions) == len(VIDEOS) * len(ASKED)
    main(flags(case, tmp_path))
    assert len(questions) == len(VIDEOS) * len(ASKED)
    assert predictions(tmp_path) == undisturbed


def test_a_question_asked_twice_about_a_video_is_answered_once(case, tmp_path, monkeypatch):
    write_json(tmp_path / "q.json", [item("a"), item("a", Q1="Why?")])
    questions = record_questions(monkeypatch)
    main(flags(case, tmp_path, questions=tmp_path / "q.json"))
    assert sorted(questions) == sorted(ASKED.values())
    first, second = answers(predictions(tmp_path))
    assert second == [first[0], first[2], first[2]]


@pytest.mark.slow
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
    questions = record_questions(monkeypatch)
    main(flags(case, tmp_path, videos=tmp_path / "videos"))
    assert questions == []  # another way to the same folder
    other = {
        "max_new_tokens": 3,
        "temperature": 1.5,
        "videos": tmp_path / "elsewhere",
        "model": tmp_path / "model",
    }[setting]
    main(flags(case, tmp_path, **{setting: other}))
    assert len(questions) == len(VIDEOS) * len(ASKED)


@pytest.mark.slow
def test_a_seed_makes_sampling_repeatable(case, tmp_path, undisturbed):
    runs = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        main(flags(case, tmp_path / name, temperature=2.0, seed=seed))
        runs.append(answers(predictions(tmp_path / name)))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2] and runs[0] != answers(undisturbed)


@pytest.mark.slow
def test_killed_after_its_first_answer_the_same_command_ends_as_if_undisturbed(case, tmp_path):
    long = {"batch_size": 1, "max_new_tokens": 40}
    command = [sys.executable, str(ROOT / "eval" / "describe.py")]
    killed, undisturbed = ([*command, *flags(case, tmp_path / name, **long)] for name in ("killed", "undisturbed"))
    log = tmp_path / "killed" / "predictions.jsonl"
    kill_at(killed, log.name, 2, folder=tmp_path)
    content = log.read_bytes()
    assert content.count(b"\n") == 1 and not (tmp_path / "killed" / "predictions.json").exists()
    for again in (killed, undisturbed):
        result = run(again)
        assert result.returncode == 0, result.stderr
    assert log.read_bytes().startswith(content)
    assert predictions(tmp_path / "killed") == predictions(tmp_path / "undisturbed")


def test_a_clip_goes_through_the_tower_once_for_all_its_questions(case, tmp_path, monkeypatch):
    looks = []
    forward = VisionTower.forward
    monkeypatch.setattr(VisionTower, "forward", lambda tower, video: looks.append(len(video)) or forward(tower, video))
    main(flags(case, tmp_path))
    assert looks == [1] * len(VIDEOS)


def test_the_model_is_asked_in_the_template_it_was_trained_in(case):
    lvlm = load_for_inference(case / "model")
    model = lvlm.model
    turns = [Turn("user", f"{ASKED['Q']}\n<video>"), Turn("assistant", "Drinking.")]
    trained = encode(turns, model.tokenizer, token_counts={"video": 10})
    prompt = int((trained.labels == IGNORED).sum())
    prompts = []
    embed = model.embed
    model.embed = lambda ids, *features: prompts.append(ids) or embed(ids, *features)
    engine = BatchEngine(lvlm, batch_size=1, seed=0, generation={"max_new_tokens": 2})
    clips = ClipInputs(lvlm, case / "videos", data=None, features=None)
    answer = next(iter(describe({"a": [ASKED["Q"]]}, clips, engine, workers=0)))
    assert prompts[0][0].tolist() == trained.ids[:prompt].tolist() and answer.video == "a"


@pytest.mark.slow
def test_answers_that_run_into_the_limit_are_marked_counted_and_listed(case, tmp_path, capsys):
    main(flags(case, tmp_path))
    log = read_jsonl(tmp_path / "predictions.jsonl")
    lvlm = load_for_inference(case / "model")
    end = lvlm.model.tokenizer.eos_token_id
    frames = frames_of("a", case / "videos")
    ended = {}
    for question in ASKED.values():  # generated alone, by the language model itself: is its end token there?
        ids = []
        keep = SimpleNamespace(put=lambda new, ids=ids: ids.extend(new.flatten().tolist()), end=lambda: None)
        texts(lvlm, frames, question, streamer=keep)
        ended[question] = end in ids
    for record in log:
        if record["video_name"] == "a":
            assert record.get("cut", False) == (not ended[record["question"]])
    cut = [record for record in log if record.get("cut")]
    printed = capsys.readouterr().out
    assert cut and f"{len(cut)} answers ran into --max_new_tokens 6" in printed
    assert f"cut: {cut[0]['video_name']}: {cut[0]['question']}" in printed


def test_a_long_question_is_cut_on_the_terminal(case, tmp_path, capsys):
    write_json(tmp_path / "q.json", [item("a", Q="Why \n" * 100, Q1=None, Q2=None)])
    main(flags(case, tmp_path, questions=tmp_path / "q.json", max_new_tokens=1))
    assert f"cut: a: {'Why ' * 49}Why…" in capsys.readouterr().out


def test_a_question_that_the_language_model_cannot_read_has_no_answer_and_the_others_have(case, tmp_path, capsys):
    items = [item("a", Q="Why " * 3000, Q1=None, Q2=None), item("b", Q1=None, Q2=None)]
    write_json(tmp_path / "q.json", items)
    assert main(flags(case, tmp_path, questions=tmp_path / "q.json")) == 0
    long, short = predictions(tmp_path)
    assert long["pred"] is None and "reads 2048 (max_position_embeddings)" in long["error"] and short["pred"]
    assert "no answer: a: " in capsys.readouterr().out


@pytest.mark.parametrize("ends", [None, 2, [1, 2]])
def test_an_answer_is_cut_if_no_end_token_was_generated(ends):
    watch = EndWatch(ends)
    stop = watch(torch.tensor([[7, 2, 2], [7, 7, 7]]), None)
    assert not stop.any() and watch.is_cut == [ends is None, True]


@pytest.mark.slow
def test_shards_share_the_videos_and_the_whole_writes_what_they_answered(case, undisturbed, tmp_path, monkeypatch):
    questions = record_questions(monkeypatch)
    for part in ("1/2", "2/2", "2/2"):
        assert main(flags(case, tmp_path, shard=part)) == 0
        assert not list(tmp_path.glob("predictions*.json"))
    assert len(questions) == len(VIDEOS) * len(ASKED)
    logs = [{r["video_name"] for r in read_jsonl(tmp_path / f"predictions.{k}-of-2.jsonl")} for k in (1, 2)]
    assert not logs[0] & logs[1] and sorted(logs[0] | logs[1]) == VIDEOS
    main(flags(case, tmp_path))
    assert len(questions) == len(VIDEOS) * len(ASKED) and predictions(tmp_path) == undisturbed


def test_one_shard_of_one_is_the_whole(case, tmp_path, capsys):
    main(flags(case, tmp_path, shard="1/1", limit=1))
    assert len(predictions(tmp_path)) == 1 and "when all shards are done" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_waits_for_its_shards_and_answers_what_a_lost_one_left(case, undisturbed, tmp_path):
    main(flags(case, tmp_path, shard="1/2"))
    with only_process(tmp_path / ".predictions.lock", Shard(2, 2)), pytest.raises(ValueError, match="shard 2-of-2"):
        main(flags(case, tmp_path))
    main(flags(case, tmp_path))
    assert predictions(tmp_path) == undisturbed


@pytest.mark.slow
def test_several_gpus_by_one_command(case, tmp_path, monkeypatch, capfd):
    """Processes on the CPU stand for GPUs. With another number of threads a near tie may give another answer."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    questions = record_questions(monkeypatch)
    assert main(flags(case, tmp_path, gpus=2)) == 0
    assert not questions  # the shards have answered all
    logs = [read_jsonl(tmp_path / f"predictions.{k}-of-2.jsonl") for k in (1, 2)]
    answer = {(record["video_name"], record["question"]): record["answer"] for log in logs for record in log}
    assert all(logs) and len(answer) == len(VIDEOS) * len(ASKED)
    for entry in predictions(tmp_path):
        assert [answer[entry["video_name"], ASKED[field]] for field in ASKED] == answers([entry])[0]
    assert "--gpus" not in json.loads((tmp_path / "predictions.run.json").read_text())["command"]
    assert "[2/2] when all shards are done" in capfd.readouterr().out


@pytest.mark.slow
def test_sampling_does_not_depend_on_what_was_answered_before(case, tmp_path):
    sampling = {"temperature": 2.0, "top_p": 0.9, "batch_size": 1, "seed": 5}
    main(flags(case, tmp_path / "whole", **sampling))
    for part in ("2/3", "1/3"):
        main(flags(case, tmp_path / "parts", shard=part, **sampling))
    main(flags(case, tmp_path / "parts", **sampling))
    assert predictions(tmp_path / "parts") == predictions(tmp_path / "whole")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": -1}, "expected a temperature of 0"),
        ({"top_p": 0}, "share above 0"),
        ({"max_new_tokens": 0}, "expected 1 or more"),
        ({"shard": "3/2"}, "--shard is '3/2'"),
    ],
)
def test_settings_out_of_range_are_refused(case, tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        main(flags(case, tmp_path, **setting))


@pytest.mark.parametrize("setting", [{"limit": 0}, {"limit": -1}, {"batch_size": 0}, {"workers": -1}])
def test_counts_out_of_range_are_refused_and_nothing_is_written(case, tmp_path, capsys, setting):
    (tmp_path / "predictions.json").write_text("kept")
    with pytest.raises(SystemExit) as stopped:
        main(flags(case, tmp_path, **setting))
    (name,) = setting
    assert stopped.value.code == 2 and f"--{name} {setting[name]}: expected " in capsys.readouterr().err
    assert (tmp_path / "predictions.json").read_text() == "kept"


@pytest.mark.parametrize(("questions", "out"), [("q.json", "q.json"), ("q.jsonl", "q.json"), ("q.run.json", "q.json")])
def test_the_questions_are_never_written_over(case, tmp_path, monkeypatch, questions, out):
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / questions, [item("a")])
    before = (tmp_path / questions).read_bytes()
    with pytest.raises(ValueError, match=rf"--out .*{out} would overwrite the questions in .*choose another --out"):
        main([*flags(case, tmp_path, questions=questions), "--out", str(tmp_path / out)])
    assert (tmp_path / questions).read_bytes() == before


@pytest.mark.parametrize("content", ['{"video_name": "a", "Q": "Why?"}\n', "7\n", "A note.\n", '{"key": "a"}\n'])
@pytest.mark.parametrize("name", ["predictions.jsonl", "predictions.1-of-2.jsonl"])
def test_a_file_of_others_where_answers_are_kept_is_refused_before_a_model_is_loaded(case, tmp_path, content, name):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name}, where answers are saved, holds something else: .*another --out"):
        main(flags(case, tmp_path, model=tmp_path / "none"))
    assert (tmp_path / name).read_text() == content


def test_a_log_whose_only_line_was_torn_is_gone_on_with(case, tmp_path):
    (tmp_path / "predictions.jsonl").write_text('{"key": "0123')
    assert main(flags(case, tmp_path, limit=1)) == 0


def test_a_folder_of_videos_that_does_not_exist_is_named_before_a_model_is_loaded(case, tmp_path):
    with pytest.raises(ValueError, match="--videos .*none: no such folder"):
        main(flags(case, tmp_path, videos=tmp_path / "none", model=tmp_path / "none"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--model", "m", "--base_llm", "x"], "--base_llm: only for --baseline"),
        (["--model", "m", "--num_frames", "8", "--delimiters", "none"], "--delimiters, --num_frames: only for"),
        (["--baseline", "video-chatgpt", "--base_llm", "x"], "--baseline needs --projector_weights, --vision_tower"),
        ([*PUBLISHED, "--num_frames", "0"], "--num_frames 0: expected 1 or more"),
    ],
)
def test_baseline_flags_come_together_or_not_at_all(case, tmp_path, capsys, wrong, message):
    with pytest.raises(SystemExit):
        main([*wrong, *flags(case, tmp_path)[2:]])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_published_projector_answers_like_the_trained_model_it_was_taken_from(
    case, undisturbed, tmp_path, monkeypatch
):
    """Table 3's first row: no training, only their file."""
    weights = load_file(case / "model" / "model.safetensors")
    published = {f"model.mm_projector.{n}": weights[f"projectors.video.layers.{n}"] for n in ("weight", "bias")}
    torch.save(published, tmp_path / "mm_projector.bin")
    command = flags(case, tmp_path)[2:]  # without --model
    command += ["--baseline", "video-chatgpt", "--projector_weights", str(tmp_path / "mm_projector.bin")]
    command += ["--base_llm", str(case / "llm"), "--vision_tower", str(case / "tower"), "--num_frames", str(FRAMES)]
    assert main(command) == 0
    assert predictions(tmp_path) == undisturbed
    questions = record_questions(monkeypatch)
    main([*command, "--num_frames", "3"])  # shown otherwise, it is another model
    torch.save(published | {"model.embed_tokens.weight": torch.full((2, 32), 9.0)}, tmp_path / "mm_projector.bin")
    main(command)  # so it is with start and end tokens
    assert len(questions) == 2 * len(VIDEOS) * len(ASKED)
    main([*command, "--delimiters", "none"])  # as if the file had none, answered above
    assert len(questions) == 2 * len(VIDEOS) * len(ASKED) and predictions(tmp_path) == undisturbed


@pytest.mark.slow
def test_an_answer_torn_by_a_kill_is_given_again(case, undisturbed, tmp_path):
    main(flags(case, tmp_path))
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(log.read_bytes()[:-20])
    main(flags(case, tmp_path))
    assert predictions(tmp_path) == undisturbed
    assert len(log.read_bytes().splitlines()) == len(VIDEOS) * len(ASKED) + 1


HOSTILE = {"missing": "no video of clip 'missing'", "empty": "no frames", "audio": "audio only", "junk": "be decoded"}
HOSTILE |= {"elsewhere/a": "no video of clip 'elsewhere/a'", 300 * "x": "too long"}


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
    names = ["missing", "a", "empty", "audio", "c", "junk", "elsewhere/a", 300 * "x"]
    write_json(tmp_path / "questions.json", [item(name) for name in names])
    return tmp_path


@pytest.mark.slow
def test_an_unreadable_video_gets_no_answer_and_the_reason(case, hostile, undisturbed, capsys):
    assert main(flags(case, hostile, videos=hostile / "videos", questions=hostile / "questions.json")) == 0
    entries = {entry["video_name"]: entry for entry in predictions(hostile)}
    for name, reason in HOSTILE.items():
        assert answers([entries[name]]) == [[None] * 3]
        assert reason in entries[name]["error"]
    assert [entries["a"], entries["c"]] == [undisturbed[0], undisturbed[2]]
    printed = capsys.readouterr()
    assert "2 of 8 items answered" in printed.out and "no answer: audio: " in printed.out
    assert max(map(len, printed.out.splitlines())) < 500
    assert printed.err.splitlines()[-1] == "6 of 8 items have no answer; the same command tries them again"


@pytest.mark.slow
def test_strict_is_for_pipelines_that_must_not_go_on_with_a_part(case, hostile):
    command = flags(case, hostile, videos=hostile / "videos", questions=hostile / "questions.json")
    assert main([*command, "--strict"]) == 1
    assert main([*flags(case, hostile, limit=1), "--strict"]) == 0


@pytest.mark.slow
def test_a_video_that_has_been_put_right_is_answered_by_the_next_run(case, hostile, monkeypatch):
    run = flags(case, hostile, videos=hostile / "videos", questions=hostile / "questions.json")
    main(run)
    (hostile / "videos" / "missing.mp4").symlink_to(case / "videos" / "b.mp4")
    questions = record_questions(monkeypatch)
    main(run)
    assert len(questions) == len(ASKED)
    now = predictions(hostile)[0]
    assert None not in answers([now])[0] and "error" not in now


def test_no_readable_video_at_all_is_exit_code_1(case, tmp_path, capsys):
    (tmp_path / "none").mkdir()
    assert main(flags(case, tmp_path, videos=tmp_path / "none")) == 1
    assert answers(predictions(tmp_path)) == [[None] * 3] * len(VIDEOS)
    assert "0 of 4 items answered" in capsys.readouterr().out


def test_predictions_asked_anew_keep_no_reason_of_the_run_before(case, tmp_path):
    write_json(tmp_path / "q.json", [item("a", error="no video of clip 'a'", pred=None)])
    assert main(flags(case, tmp_path, questions=tmp_path / "q.json")) == 0
    assert "error" not in predictions(tmp_path)[0] and predictions(tmp_path)[0]["pred"]


@pytest.mark.slow
def test_beside_the_predictions_stands_what_made_them(case, tmp_path):
    main(flags(case, tmp_path, temperature=0.5, seed=3, limit=2))
    run_file = json.loads((tmp_path / "predictions.run.json").read_text())
    model = load_for_inference(case / "model").model
    assert run_file["command"][:2] == ["describe.py", "--model"] and run_file["command"][-2:] == ["--limit", "2"]
    assert run_file["model"] == {"baseline": None, "source": str(case / "model")}
    assert run_file["projectors"] == {"kind": "linear", "digest": model_digest(model).split()[0]}
    assert run_file["language_model"] == {
        "id": model.config.base_llm,
        "digest": model.config.llm_digest,
        "dtype": "float32",
        "train": "projectors",
        "lora_rank": 0,
        "load_in_4bit": False,
    }
    assert run_file["video"] == model.config.manifest["video"] and run_file["video"]["num_frames"] == FRAMES
    assert run_file["sampling"]["seed"] == 3 and run_file["sampling"]["temperature"] == 0.5
    digest = hashlib.sha256((case / "questions.json").read_bytes()).hexdigest()
    assert run_file["questions"] == {"file": str(case / "questions.json"), "sha256": digest, "limit": 2}
    assert (
        run_file["delimited"] == []
        and run_file["chat_template"] == "auto"
        and "assistant" in run_file["prompt"][1]
        and run_file["versions"]["torch"]
    )


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


def test_a_question_in_llava_s_form_is_answered_and_keeps_its_text(case, undisturbed, tmp_path):
    question = f"<video>\n{ASKED['Q']}"
    write_json(tmp_path / "q.json", [item("a", Q=question), item("b")])
    assert main(flags(case, tmp_path, questions=tmp_path / "q.json")) == 0
    assert answers(predictions(tmp_path)) == answers(undisturbed[:2])
    assert predictions(tmp_path)[0]["Q"] == question


def test_llavidal_s_consistency_questions_are_read(case, undisturbed, tmp_path):
    spelled = {"video_name": "a", "Q": ASKED["Q"], "A": "x", "cons_A": "y"}
    write_json(tmp_path / "q.json", [spelled | {"cons_Q1": ASKED["Q1"], "cons_Q2": ASKED["Q2"]}])
    main(flags(case, tmp_path, questions=tmp_path / "q.json"))
    assert answers(predictions(tmp_path)) == answers(undisturbed[:1])
    assert predictions(tmp_path)[0]["cons_A"] == "y"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON"),
        ("[]", "expected a non-empty list"),
        ("7", "holds 7; expected a list of records"),
        ('{"a": "Why?"}', "item 0 is 'Why\\?'; expected an object"),
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_another_tower_s_weights_are_refused_before_anything_is_answered(case, tmp_path):
    tiny_tower(tmp_path / "tower")
    build_model(tmp_path / "model", tower=tmp_path / "tower", llm=case / "llm")
    tiny_tower(tmp_path / "tower", seed=1)
    with pytest.raises(ValueError, match="vision tower .* digest .* expected"):
        main(flags(case, tmp_path, model=tmp_path / "model"))
    assert not (tmp_path / "predictions.jsonl").exists() and not (tmp_path / "predictions.json").exists()


@pytest.mark.slow
def test_videos_are_framed_as_the_training_features_were(case, tmp_path):
    edges = np.full((4, 48, 64, 3), 40, np.uint8)
    edges[:, :, :16] = 250
    write_video(tmp_path / "videos" / "edges.mp4", edges)
    write_json(tmp_path / "q.json", [item("edges")])
    for framing in ("whole", "centre"):
        model = build_model(tmp_path / framing, tower=case / "tower", llm=case / "llm", framing=framing)
        command = flags(case, tmp_path, model=model, videos=tmp_path / "videos", questions=tmp_path / "q.json")
        main([*command, "--out", str(tmp_path / framing / "predictions.json")])
        frames = frames_of("edges", tmp_path / "videos", framing=framing)
        expected = texts(load_for_inference(model), frames, ASKED["Q"])
        assert [entry["pred"] for entry in predictions(tmp_path / framing)] == expected
    assert predictions(tmp_path / "whole") != predictions(tmp_path / "centre")


def test_an_answer_is_remembered_by_video_question_and_settings(case):
    keys = {answer_key(*key) for key in (("a", "b", "c"), ("b", "a", "c"), ("ab", "", "c"), ("a", "b", "d"))}
    assert len(keys) == 4
    digest = model_digest(load_for_inference(case / "model").model)
    assert digest.split()[1] == SkiLvlm.from_pretrained(case / "model").config.llm_digest
