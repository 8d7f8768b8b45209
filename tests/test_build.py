import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_curation import build, outcome, steps
from data_curation.kinematics import named_action
from data_curation.ledger import only_process
from ski_lvlm.files import read_jsonl
from ski_lvlm.instruction_file import read_instructions
from ski_lvlm.ntu import parse_name
from tests.curation_case import body, names, write_clip
from tests.llm_server import Answer, chat_double
from tests.test_crop import write_sound

OFFLINE = ("--captioner", "kinematics", "--qa", "template", "--split", "synthetic", "--workers", "2")
RESULTS = ("instructions.json", "questions.json", "questions_unseen.json")


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ntu")
    for name in names():
        write_clip(folder, name)
    return folder


def curate(ntu, out, *extra):
    return build.main(["--ntu", str(ntu), "--out", str(out), *OFFLINE, *extra])


def load(path):
    return json.loads(path.read_text())


def test_clips_become_pairs_and_questions_by_split_and_subject(ntu, tmp_path):
    assert curate(ntu, tmp_path) == 0
    conversations = read_instructions(tmp_path / "instructions.json")
    train = ["S001C001P001R001A001", "S001C001P001R001A010", "S001C001P002R001A001", "S001C001P002R001A010"]
    assert [talk.id for talk in conversations] == [f"{name}_{i}" for name in train for i in (0, 1)]
    for talk in conversations:
        assert talk.video == talk.skeleton
        assert named_action(talk.turns[1].text) == parse_name(talk.video).action
        assert talk.turns[0].text.endswith("?\n<video>\n<skeleton>") or ".\n<video>\n<skeleton>" in talk.turns[0].text
    seen, unseen = load(tmp_path / "questions.json"), load(tmp_path / "questions_unseen.json")
    assert [question["video_name"] for question in seen] == ["S001C001P009R001A001", "S001C001P009R001A010"]
    assert [question["video_name"] for question in unseen] == ["S001C001P009R001A006"]
    for question in seen + unseen:
        assert set(question) == {"video_name", "Q", "A", "Q1", "Q2"}
        assert named_action(question["A"]) == parse_name(question["video_name"]).action
    assert not (tmp_path / "crops" / "S001C001P001R001A006.mp4").exists()  # unseen action, training subject


def test_every_record_says_what_it_was_made_of(ntu, tmp_path):
    curate(ntu, tmp_path)
    for step in ("crops", "captions", "qa"):
        for record in read_jsonl(tmp_path / f"{step}.jsonl"):
            assert record["status"] == "done"
            assert {"name", "key", "model", "seconds", "at"} <= set(record)
            assert step == "crops" or {"prompt", "prompt_tokens", "completion_tokens"} <= set(record)


def test_a_second_run_does_nothing_and_changes_nothing(ntu, tmp_path):
    curate(ntu, tmp_path)
    before = {file: (tmp_path / file).read_bytes() for file in (*RESULTS, "crops.jsonl", "captions.jsonl", "qa.jsonl")}
    curate(ntu, tmp_path)
    assert {file: (tmp_path / file).read_bytes() for file in before} == before


def test_another_number_of_pairs_asks_again_but_crops_nothing(ntu, tmp_path):
    curate(ntu, tmp_path)
    crops = (tmp_path / "crops.jsonl").read_bytes()
    curate(ntu, tmp_path, "--pairs-per-clip", "3")
    assert (tmp_path / "crops.jsonl").read_bytes() == crops
    assert len(read_jsonl(tmp_path / "qa.jsonl")) == 8
    assert len(load(tmp_path / "instructions.json")) == 12


def test_a_changed_skeleton_and_a_lost_crop_redo_only_that(tmp_path):
    folder, out = tmp_path / "ntu", tmp_path / "out"
    first, second = names((1,), (1, 2))
    for name in (first, second):
        write_clip(folder, name)
    curate(folder, out)
    write_clip(folder, first, bodies=[body(range(20), moves=False)])
    (out / "crops" / f"{second}.mp4").unlink()
    curate(folder, out)
    assert [record["name"] for record in read_jsonl(out / "captions.jsonl")[2:]] == [first]
    assert sorted(record["name"] for record in read_jsonl(out / "crops.jsonl")[2:]) == [first, second]
    assert "hands hardly move" in load(out / "instructions.json")[1]["conversations"][1]["value"]


def test_the_parts_can_be_made_apart(ntu, tmp_path):
    curate(ntu, tmp_path / "train", "--part", "train")
    curate(ntu, tmp_path / "test", "--part", "test")
    curate(ntu, tmp_path / "all")
    assert not (tmp_path / "train" / "questions.json").exists()
    assert not (tmp_path / "test" / "instructions.json").exists()
    for part, file in (("train", RESULTS[0]), ("test", RESULTS[1]), ("test", RESULTS[2])):
        assert (tmp_path / part / file).read_bytes() == (tmp_path / "all" / file).read_bytes()


def test_without_a_split_every_action_trains_and_ntus_subjects_decide(ntu, tmp_path):
    sources = steps.find_clips(ntu)
    parts = outcome.parts(sources, split="all", part="all")
    assert len(parts["train"]) == 9  # performers 1, 2 and 9 are training subjects of NTU
    assert parts["test"] == parts["unseen"] == []
    with pytest.raises(ValueError, match="none of 9 clips belongs to part 'test' of split 'all'"):
        outcome.parts(sources, split="all", part="test")


def test_what_cannot_be_used_is_reported_and_the_rest_goes_on(tmp_path):
    folder, out = tmp_path / "ntu", tmp_path / "out"
    good, ghost, nobody, mute, empty, sound, torn, blind, off = (
        f"S001C001P001R001A{a:03}" for a in (1, 5, 7, 8, 9, 10, 27, 28, 29)
    )
    write_clip(folder, good)
    write_clip(folder, ghost, bodies=[body(range(20)), body(range(5), x=1.2)])
    write_clip(folder, nobody, bodies=[])
    write_clip(folder, mute, video=False)
    for name in (empty, sound, torn, blind):
        write_clip(folder, name)
    far = body(range(20))
    write_clip(folder, off, bodies=[far.__class__(**{**vars(far), "colour": np.full_like(far.colour, np.nan)})])
    (folder / "rgb" / f"{empty}_rgb.avi").write_bytes(b"")
    write_sound(folder / "rgb" / f"{sound}_rgb.avi")
    skeleton = folder / "skeletons" / f"{torn}.skeleton"
    skeleton.write_text(skeleton.read_text()[:5000])
    (folder / "skeletons" / f"{blind}.skeleton").unlink()
    (folder / "rgb" / "holiday.mp4").write_bytes(b"x")
    assert curate(folder, out) == 0
    crops = {record["name"]: record for record in read_jsonl(out / "crops.jsonl")}
    reasons = {name: record["reason"] for name, record in crops.items() if record["status"] == "rejected"}
    expected = {
        nobody: "no body in any",
        mute: "a skeleton but no video",
        empty: "rgb",
        sound: "no video stream",
        torn: "cut off",
        blind: "a video but no skeleton",
        off: "no joint has colour coordinates",
    }
    assert set(reasons) == set(expected)
    assert all(part in reasons[name] for name, part in expected.items())
    assert sorted(path.stem for path in (out / "crops").glob("*")) == [good, ghost]
    assert crops[ghost]["box"] == crops[good]["box"]  # a ghost of five frames widens nothing
    summary = load(out / "summary.json")
    assert summary["steps"]["crop"] == {"in": 9, "done": 2, "rejected": 7, "failed": 0}
    assert summary["steps"]["caption"]["in"] == summary["steps"]["crop"]["done"]
    assert sum(summary["reasons"]["crop"].values()) == 7
    assert summary["written"] == {"instructions.json": 4}


def test_listed_missing_skeletons_are_said_to_be_ntus_own(tmp_path):
    name = "S001C002P005R002A008"
    write_clip(tmp_path, name)
    (tmp_path / "skeletons" / f"{name}.skeleton").unlink()
    with pytest.raises(ValueError, match="nothing was written"):
        curate(tmp_path, tmp_path / "out")
    assert "NTU lists this clip" in read_jsonl(tmp_path / "out" / "crops.jsonl")[0]["reason"]


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(ValueError, match="found no NTU clips"):
        curate(tmp_path, tmp_path / "out")


def test_a_busy_folder_is_refused(ntu, tmp_path):
    with only_process(tmp_path), pytest.raises(ValueError, match="another process"):
        curate(ntu, tmp_path)


def test_joints_may_come_from_the_prepared_set(ntu, tmp_path, monkeypatch):
    from ski_lvlm.cleaning import CLEANING, clean
    from ski_lvlm.layouts import LAYOUTS
    from ski_lvlm.packed import PackedWriter
    from ski_lvlm.skeleton_file import read_skeleton

    with PackedWriter(tmp_path / "prepared", layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as packed:
        for name in names()[:-1]:
            packed.add(name, clean(read_skeleton(ntu / "skeletons" / f"{name}.skeleton")).joints)
    curate(ntu, tmp_path / "direct")
    curate(ntu, tmp_path / "out", "--prepared", str(tmp_path / "prepared"))
    assert (tmp_path / "out" / RESULTS[0]).read_bytes() == (tmp_path / "direct" / RESULTS[0]).read_bytes()
    summary = load(tmp_path / "out" / "summary.json")
    assert summary["steps"]["caption"]["rejected"] == 1
    assert "not in the prepared set" in next(iter(summary["reasons"]["caption"]))


def test_a_server_that_sulks_now_and_then_loses_no_clip(ntu, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answer = json.dumps(
        {"pairs": [{"kind": "action", "question": "What?", "answer": "A person drinks water, clapping."}]}
    )
    with chat_double(plan=lambda request: Answer("yes")) as double:
        sulks = iter([False] + [True] * 4 + [False] * 100)
        double.plan = lambda request: Answer(body=b"{") if next(sulks) else Answer(answer)
        options = (
            "--qa",
            "openai:llama3.1",
            "--base_url",
            double.url + "/v1",
            "--workers",
            "1",
            "--pairs_per_clip",
            "1",
        )
        assert curate(ntu, tmp_path, *options) == 1
        assert load(tmp_path / "summary.json")["steps"]["qa"] == {"in": 4, "done": 3, "rejected": 0, "failed": 1}
        assert curate(ntu, tmp_path, *options) == 0
    assert len(load(tmp_path / "instructions.json")) == 4
    statuses = [record["status"] for record in read_jsonl(tmp_path / "qa.jsonl")]
    assert sorted(statuses) == ["done"] * 4 + ["failed"]


def test_killed_from_outside_the_same_command_goes_on(tmp_path):
    folder, out, whole = tmp_path / "ntu", tmp_path / "out", tmp_path / "whole"
    for name in names(actions=(1, 5, 7, 8, 9, 10), performers=(1, 2, 3, 9)):
        write_clip(folder, name, frames=40, size=(480, 270))
    command = [sys.executable, str(Path(build.__file__)), "--ntu", str(folder), "--out", str(out), *OFFLINE]
    ledgers = [out / f"{step}.jsonl" for step in ("crops", "captions", "qa")]

    def lines():
        return sum(ledger.read_bytes().count(b"\n") for ledger in ledgers if ledger.exists())

    for wanted in (5, 30):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
        while lines() < wanted and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert lines() >= 30
    assert subprocess.run(command, stdout=subprocess.DEVNULL, cwd=tmp_path).returncode == 0
    assert curate(folder, whole) == 0
    for file in RESULTS[:2]:
        assert (out / file).read_bytes() == (whole / file).read_bytes()
    for ledger in ledgers:
        done = [record["name"] for record in read_jsonl(ledger)]
        assert len(done) == len(set(done)) == len(read_jsonl(whole / ledger.name))
    assert {crop.name: crop.read_bytes() for crop in (out / "crops").iterdir()} == {
        crop.name: crop.read_bytes() for crop in (whole / "crops").iterdir()
    }


def test_a_mistake_is_one_line(tmp_path):
    command = [sys.executable, str(Path(build.__file__)), "--ntu", str(tmp_path / "no"), "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *OFFLINE], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
