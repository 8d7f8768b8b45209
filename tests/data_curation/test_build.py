import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from data_curation import build, validate
from data_curation.ledger import read_manifest
from data_curation.parts import captioned_clips, divide, selection_of, training
from data_curation.questions.pair_shares import planned_pairs
from data_curation.sources import find_clips
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.datasets.ntu import names_with_skeleton
from ski_lvlm.datasets.selection import select
from ski_lvlm.storage.files import read_jsonl
from ski_lvlm.storage.shards import only_process
from tests.cases.batch_double import Batches, batch_double
from tests.cases.command_case import kill_at, run
from tests.cases.curation_case import NTU, body, named_action, names, number_of, write_clip
from tests.cases.llm_server import Answer, chat_double
from tests.cases.video_case import write_audio

pytestmark = pytest.mark.slow


OFFLINE = (
    "--captioner",
    "kinematics",
    "--qa",
    "template",
    "--split",
    "synthetic",
    "--workers",
    "2",
    "--detector",
    "none",
)
RESULTS = ("instructions.json", "questions.json", "questions_unseen.json")


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ntu")
    for name in names():
        write_clip(folder, name)
    return folder


def curate(ntu, out, *extra, pairs=2):
    number = () if pairs is None else ("--pairs_per_clip", str(pairs))
    return build.main(["--ntu", str(ntu), "--out", str(out), *OFFLINE, *number, *extra])


def load(path):
    return json.loads(path.read_text())


def counts(summary, step):
    return tuple(summary["steps"][step][column] for column in ("entered", "done", "rejected", "failed"))


def test_clips_become_pairs_and_questions_by_split_and_subject(ntu, tmp_path):
    assert curate(ntu, tmp_path) == 0
    conversations = read_instructions(tmp_path / "instructions.json")
    train = ["S001C001P001R001A001", "S001C001P001R001A010", "S001C001P002R001A001", "S001C001P002R001A010"]
    assert [talk.id for talk in conversations] == [f"{name}_{i}" for name in train for i in (0, 1)]
    for talk in conversations:
        assert talk.video == talk.skeleton
        assert named_action(talk.turns[1].text) == NTU.class_of(talk.video)
        assert talk.turns[0].text.endswith("?\n<video>\n<skeleton>") or ".\n<video>\n<skeleton>" in talk.turns[0].text
    seen, unseen = load(tmp_path / "questions.json"), load(tmp_path / "questions_unseen.json")
    assert [question["video_name"] for question in seen] == ["S001C001P009R001A001", "S001C001P009R001A010"]
    assert [question["video_name"] for question in unseen] == ["S001C001P009R001A006"]
    for question in seen + unseen:
        assert set(question) == {"video_name", "Q", "A", "Q1", "Q2"}
        assert named_action(question["A"]) == NTU.class_of(question["video_name"])
    assert not (tmp_path / "crops" / "S001C001P001R001A006.mp4").exists()  # unseen action, training subject


def test_the_files_pass_the_check_of_anybodys_files(ntu, tmp_path):
    curate(ntu, tmp_path, "--validation_share", "0.5", "--validation_by", "subject")
    written = ("instructions.json", "instructions_validation.json")
    for tested in ("questions.json", "questions_unseen.json"):  # the two are of the same subjects, but of other actions
        assert validate.main([*(str(tmp_path / file) for file in (*written, tested)), "--by", "subject"]) == 0
    parquet = [
        str(tmp_path / "dataset" / f"{split}.parquet") for split in ("train", "validation", "test", "test_unseen")
    ]
    assert validate.main(parquet) == 0


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
    curate(ntu, tmp_path, pairs=3)
    assert (tmp_path / "crops.jsonl").read_bytes() == crops
    assert len(read_jsonl(tmp_path / "qa.jsonl")) == 8
    assert len(load(tmp_path / "instructions.json")) == 12
    curate(ntu, tmp_path, pairs=1)  # fewer: nothing is asked, what is there is used
    assert len(read_jsonl(tmp_path / "qa.jsonl")) == 8
    assert len(load(tmp_path / "instructions.json")) == 4


def test_a_number_in_all_is_drawn_evenly_over_classes(ntu, tmp_path):
    curate(ntu, tmp_path, "--pairs", "6", pairs=None)
    made = [number_of(talk.video) for talk in read_instructions(tmp_path / "instructions.json")]
    assert sorted(made) == [1, 1, 1, 10, 10, 10]
    curate(ntu, tmp_path / "default", pairs=None)  # the paper's 100,000, of which four clips give six each at most
    shares = [record["asked"] for record in read_manifest(tmp_path / "default", "qa")]
    assert shares == [6, 6, 6, 6]


def test_validation_clips_are_in_files_of_their_own(ntu, tmp_path):
    curate(ntu, tmp_path, "--validation_share", "0.5", "--validation_by", "subject")
    train, held_out = (
        {talk.video[8:12] for talk in read_instructions(tmp_path / file)}
        for file in ("instructions.json", "instructions_validation.json")
    )
    assert train and held_out and not train & held_out
    assert {file.stem for file in (tmp_path / "dataset").glob("*.parquet")} == {
        "train",
        "validation",
        "test",
        "test_unseen",
    }


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


def test_a_captioner_that_costs_is_asked_for_training_clips_alone(ntu, tmp_path, server, capsys):
    captions = (*server.flags, "--captioner", "openai:llama3.1", "--qa", "template")
    assert curate(ntu, tmp_path, *captions, pairs=1) == 0
    said = capsys.readouterr().out
    assert "captions: 4 of 9 clips, those for training. --part all adds those held out for" in said
    assert len(asked(server)) == 4 and len(load(tmp_path / "instructions.json")) == 4
    assert not (tmp_path / "questions.json").exists()
    assert len(list((tmp_path / "crops").iterdir())) == 4
    assert curate(ntu, tmp_path, *captions, "--part", "all", pairs=1) == 0
    assert len(asked(server)) == 7 and len(load(tmp_path / "questions.json")) == 2
    assert "captions: 7 of 9 clips, those for training and those held out" in capsys.readouterr().out


def test_clips_that_get_no_pairs_are_not_captioned(ntu, tmp_path, server, capsys):
    captions = (*server.flags, "--captioner", "openai:llama3.1", "--qa", "template")
    assert curate(ntu, tmp_path / "two", *captions, "--pairs", "2", pairs=None) == 0
    assert "captions: 2 of 9 clips, those for training that get pairs." in capsys.readouterr().out
    assert len(asked(server)) == 2 and len(load(tmp_path / "two" / "instructions.json")) == 2
    assert curate(ntu, tmp_path / "two", *captions, "--pairs", "3", pairs=None) == 0
    assert len(asked(server)) == 3 and len(load(tmp_path / "two" / "instructions.json")) == 3
    assert curate(ntu, tmp_path / "four", *captions, "--pairs", "4", pairs=None) == 0
    assert len(load(tmp_path / "four" / "instructions.json")) == 4


def test_the_pairs_of_a_clip_that_cannot_be_used_go_to_one_that_is_captioned_then(tmp_path, server):
    first = names((1, 10), (1, 2, 3))
    for name in first:
        write_clip(tmp_path / "ntu", name)
    captions = (*server.flags, "--captioner", "openai:llama3.1", "--qa", "template", "--pairs", "2")
    assert curate(tmp_path / "ntu", tmp_path / "all", *captions, pairs=None) == 0
    used = sorted(record["name"] for record in read_jsonl(tmp_path / "all" / "captions.jsonl"))
    assert sorted(map(number_of, used)) == [1, 10]
    (tmp_path / "ntu" / "rgb" / f"{used[0]}_rgb.avi").write_bytes(b"")
    good = server.answer
    pictures = []

    def sulks_at_the_first(request):
        pictures.append(request)
        return Answer("") if len(pictures) == 1 else good(request)

    server.answer = sulks_at_the_first
    assert curate(tmp_path / "ntu", tmp_path / "out", *captions, pairs=None) == 0
    made = [talk.video for talk in read_instructions(tmp_path / "out" / "instructions.json")]
    assert len(made) == 2 and used[0] not in made
    assert len(read_jsonl(tmp_path / "out" / "captions.jsonl")) <= 3  # one was rejected, and of all others two used


def test_the_parts_of_full_size_and_what_is_saved():
    """README: 113,945 clips of NTU RGB+D 120 have a skeleton; the captions of test subjects are in no pair."""
    clips = names_with_skeleton("ntu120")
    captioned = {}
    for split in ("all", "ntu120/110-10"):
        for part in ("train", "all"):
            parts = divide(clips, select(["ntu120"], split=split), part=part)
            shares = planned_pairs(training(parts), data=NTU, pairs=None, per_clip=None)
            captioned[split, part] = len(captioned_clips(parts, shares))
    assert captioned == {
        ("all", "train"): 63_026,
        ("all", "all"): 113_945,
        ("ntu120/110-10", "train"): 57_767,
        ("ntu120/110-10", "all"): 108_686,
    }
    few = divide(clips, select(split="ntu120/110-10"), part="train")
    assert len(captioned_clips(few, planned_pairs(training(few), data=NTU, pairs=1_000, per_clip=None))) == 1_000


def test_without_a_split_every_action_trains_and_ntus_subjects_decide(ntu, tmp_path):
    sources = find_clips(NTU, ntu)
    selection = selection_of(data=None, ntu=ntu, split="all")
    parts = divide(sources, selection, part="all")
    assert len(parts["train"]) == 9  # performers 1, 2 and 9 are training subjects of NTU
    assert parts["test"] == parts["unseen"] == []
    with pytest.raises(ValueError, match="none of 9 clips belongs to part 'test' of split 'all'"):
        divide(sources, selection, part="test")


@pytest.mark.parametrize(
    ("split", "data", "protocol"),
    [("all", "ntu120", "xsub"), ("ntu60/48-12", "ntu60", "xsub"), ("synthetic/1", "synthetic", "synthetic")],
)
def test_the_split_names_the_data_set_of_an_ntu_folder(ntu, split, data, protocol):
    selection = selection_of(data=None, ntu=ntu, split=split)
    assert (selection.data.name, selection.protocol_name) == (data, protocol)


def test_a_folder_of_synthetic_clips_says_so_itself(tmp_path):
    (tmp_path / "synthesis.json").write_text("{}")
    assert selection_of(data=None, ntu=tmp_path, split="all").data.name == "synthetic"
    with pytest.raises(ValueError, match="nothing to curate; give --data DIR"):
        build.main(["--out", str(tmp_path / "out")])


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
    write_audio(folder / "rgb" / f"{sound}_rgb.avi")
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
        off: "no joint has usable colour coordinates",
    }
    assert set(reasons) == set(expected)
    assert all(part in reasons[name] for name, part in expected.items())
    assert sorted(path.stem for path in (out / "crops").glob("*")) == [good, ghost]
    assert crops[ghost]["box"] == crops[good]["box"]  # a ghost of five frames widens nothing
    summary = load(out / "summary.json")
    assert counts(summary, "crop") == (9, 2, 7, 0)
    assert counts(summary, "caption")[0] == 2
    assert sum(summary["reasons"]["crop: rejected"].values()) == 7
    assert summary["written"] == {"instructions.json": 4}


def test_listed_missing_skeletons_are_said_to_be_ntus_own(tmp_path):
    name = "S001C002P005R002A008"
    write_clip(tmp_path, name)
    (tmp_path / "skeletons" / f"{name}.skeleton").unlink()
    with pytest.raises(ValueError, match="nothing was written"):
        curate(tmp_path, tmp_path / "out", "--split", "all")
    assert "ntu120 lists this clip" in read_jsonl(tmp_path / "out" / "crops.jsonl")[0]["reason"]


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "rgb").mkdir()
    with pytest.raises(ValueError, match="found no clips of synthetic; expected rgb/S001C001"):
        curate(tmp_path, tmp_path / "out")


def test_a_busy_folder_is_refused(ntu, tmp_path):
    with only_process(tmp_path), pytest.raises(ValueError, match="another process"):
        curate(ntu, tmp_path)


def prepare(ntu, folder, clips):
    from ski_lvlm.skeletons.cleaning import CLEANING, clean
    from ski_lvlm.skeletons.layouts import LAYOUTS
    from ski_lvlm.skeletons.ntu_file import read_skeleton
    from ski_lvlm.skeletons.packed import packed_writer

    with packed_writer(folder, layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as packed:
        for name in clips:
            packed.add(name, clean(read_skeleton(ntu / "skeletons" / f"{name}.skeleton")).joints)


def test_joints_may_come_from_the_prepared_set(ntu, tmp_path):
    prepare(ntu, tmp_path / "prepared", names()[:-1])
    curate(ntu, tmp_path / "direct")
    assert curate(ntu, tmp_path / "out", "--prepared", str(tmp_path / "prepared")) == 1
    assert (tmp_path / "out" / RESULTS[0]).read_bytes() == (tmp_path / "direct" / RESULTS[0]).read_bytes()
    summary = load(tmp_path / "out" / "summary.json")
    assert counts(summary, "caption")[3] == 1
    assert "not in the prepared set" in next(iter(summary["reasons"]["caption: failed"]))


PAIR = {"kind": "action", "question": "What?", "answer": "A person drinks water, clapping."}


@pytest.fixture
def server(monkeypatch):
    """A server that answers `ping` and then as `plan` says; gives the flags to ask it one pair a clip."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    polite = Answer(json.dumps({"pairs": [PAIR]}))

    def plan(request):
        return Answer("yes") if "Say yes." in str(request["messages"]) else double.answer(request)

    with chat_double(plan=plan) as double:
        double.answer = lambda request: Answer(polite.text)
        double.flags = (
            "--qa",
            "openai:llama3.1",
            "--base_url",
            double.url + "/v1",
            "--workers",
            "1",
            "--attempts",
            "2",
        )
        yield double


def asked(double):
    return [request for request in double.requests if "Say yes." not in str(request["messages"])]


def test_a_server_that_sulks_now_and_then_loses_no_clip(ntu, tmp_path, server):
    good = server.answer
    sulks = iter([True] * 2 + [False] * 100)
    server.answer = lambda request: Answer(body=b"{") if next(sulks) else good(request)
    assert curate(ntu, tmp_path, *server.flags, pairs=1) == 1
    assert counts(load(tmp_path / "summary.json"), "qa") == (4, 3, 0, 1)
    assert curate(ntu, tmp_path, *server.flags, pairs=1) == 0
    assert len(load(tmp_path / "instructions.json")) == 4
    statuses = [record["status"] for record in read_jsonl(tmp_path / "qa.jsonl")]
    assert sorted(statuses) == ["done"] * 4 + ["failed"]
    assert len(read_jsonl(tmp_path / "replies.jsonl")) == 4


def test_a_ping_has_the_shape_of_the_questions_to_come(ntu, tmp_path, server):
    flags = ("--captioner", "openai:llama3.1", *server.flags)
    assert curate(ntu, tmp_path, *flags, pairs=1) == 0
    writer, captioner = (request for request in server.requests if "Say yes." in str(request["messages"]))
    assert [m["role"] for m in writer["messages"]] == ["system", "user"] and "response_format" in writer
    assert [part["type"] for part in captioner["messages"][0]["content"]] == ["text", "image_url"]
    assert "response_format" not in captioner and captioner["max_tokens"] == 256


def test_a_question_writer_without_a_system_role_is_asked_with_the_rules_before_the_question(ntu, tmp_path, server):
    plan = server.plan
    refusal = Answer(status=400, body=b'{"error": {"message": "System role not supported"}}')
    server.plan = lambda request: refusal if request["messages"][0]["role"] == "system" else plan(request)
    assert curate(ntu, tmp_path, *server.flags, pairs=1) == 0
    assert counts(load(tmp_path / "summary.json"), "qa") == (4, 4, 0, 0)
    assert all(request["messages"][0]["content"].startswith("You write training data") for request in asked(server))


def test_a_budget_stops_the_run_and_a_larger_one_goes_on_without_paying_twice(ntu, tmp_path, server, capsys):
    price = ("--price", "0,1000000")  # a dollar a token out: a reply may take 200, and takes 2
    assert curate(ntu, tmp_path, *server.flags, *price, "--budget", "203", pairs=1) == 1
    assert "of --budget $203 are spent" in capsys.readouterr().err
    assert len(load(tmp_path / "instructions.json")) == 2
    assert len(asked(server)) == 2
    assert curate(ntu, tmp_path, *server.flags, *price, "--budget", "500", pairs=1) == 0
    assert len(asked(server)) == 4
    (spent,) = load(tmp_path / "summary.json")["spent"]
    assert (spent["requests"], spent["dollars"]) == (4, 8.0)


def test_a_budget_without_a_price_is_refused(ntu, tmp_path, server):
    with pytest.raises(ValueError, match="--budget needs to know what openai:llama3.1 costs"):
        curate(ntu, tmp_path, *server.flags, "--budget", "1")
    assert not (tmp_path / "crops.jsonl").exists()


def test_an_estimate_asks_nothing_and_leaves_what_is_there(ntu, tmp_path, server, capsys):
    curate(ntu, tmp_path)
    before = (tmp_path / "instructions.json").read_bytes()
    assert curate(ntu, tmp_path, *server.flags, "--price", "1,2", "--estimate", pairs=1) == 0
    assert "qa by openai:llama3.1: 4 clips, about 4 requests" in capsys.readouterr().out
    assert server.requests == []
    assert (tmp_path / "instructions.json").read_bytes() == before


def write_many(folder):
    """48 clips, enough for a sample before the rest."""
    for room in (1, 2, 3):
        for name in names((1, 10), range(1, 9)):
            write_clip(folder, name.replace("S001", f"S00{room}"), frames=12, size=(96, 54))
    return folder


def test_clips_of_the_sample_that_fail_are_left_to_the_next_run(tmp_path, server):
    server.answer = lambda request: Answer(body=b"{")
    assert curate(write_many(tmp_path / "ntu"), tmp_path / "out", *server.flags, pairs=1) == 1
    assert counts(load(tmp_path / "out" / "summary.json"), "qa") == (48, 0, 0, 48)
    assert len(asked(server)) == 2 * 48  # --attempts of each, the sample's too


def test_many_clips_are_estimated_again_from_the_first_replies(tmp_path, server, capsys):
    folder = write_many(tmp_path / "ntu")
    assert curate(folder, tmp_path / "out", *server.flags, "--price", "1000000,0", pairs=1) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("qa by")]
    assert "48 clips" in said[0] and "the lengths of 48 requests" in said[0]
    assert said[1:] == [
        "qa by openai:llama3.1: 28 clips, about 28 requests, 84 tokens in and 56 out, about $84.00 "
        "(measured on 20 clips)"
    ]
    assert len(asked(server)) == 48


def test_shards_share_a_folder_and_the_whole_writes_the_same_files(ntu, tmp_path, capsys):
    curate(ntu, tmp_path / "whole")
    for shard in ("1/3", "3/3", "2/3"):
        assert curate(ntu, tmp_path / "out", "--shard", shard) == 0
    assert "when all shards have run" in capsys.readouterr().out
    assert not (tmp_path / "out" / "instructions.json").exists()
    lines = {file: file.read_bytes() for file in (tmp_path / "out").glob("*.jsonl")}
    assert curate(ntu, tmp_path / "out") == 0
    assert {file: file.read_bytes() for file in (tmp_path / "out").glob("*.jsonl")} == lines  # nothing was left to do
    for file in RESULTS:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    crops = sorted(record["name"] for record in read_manifest(tmp_path / "out", "crops"))
    assert crops == sorted(record["name"] for record in read_manifest(tmp_path / "whole", "crops"))


def test_what_to_do_without_a_skeleton_touches_no_other_clip(ntu, tmp_path):
    folder, blind = tmp_path / "ntu", "S001C001P001R001A001"
    shutil.copytree(ntu, folder)
    (folder / "skeletons" / f"{blind}.skeleton").unlink()
    curate(folder, tmp_path / "out")
    assert curate(folder, tmp_path / "out", "--nobody", "keep_whole") == 0
    crops = read_jsonl(tmp_path / "out" / "crops.jsonl")
    assert [record["name"] for record in crops[len(names()) - 2 :]] == [blind]
    assert (crops[-1]["found_by"], crops[-1]["status"]) == ("nobody", "done")
    curate(folder, tmp_path / "out")  # and back: rejected again
    assert read_jsonl(tmp_path / "out" / "crops.jsonl")[-1]["status"] == "rejected"
    captions = read_jsonl(tmp_path / "out" / "captions.jsonl")
    assert len(captions) == len({record["name"] for record in captions})


def test_a_clip_that_is_yet_to_be_prepared_is_tried_again(ntu, tmp_path):
    prepare(ntu, tmp_path / "some", names()[:-1])
    assert curate(ntu, tmp_path / "out", "--prepared", str(tmp_path / "some")) == 1
    prepare(ntu, tmp_path / "all", names())
    assert curate(ntu, tmp_path / "out", "--prepared", str(tmp_path / "all")) == 0
    assert len({r["key"] for r in read_jsonl(tmp_path / "out" / "captions.jsonl") if r["name"] == names()[0]}) == 2


def test_where_joints_come_from_touches_no_caption_that_does_not_measure_them(ntu, tmp_path, server):
    prepare(ntu, tmp_path / "prepared", names())
    captions = (*server.flags, "--captioner", "openai:llama3.1", "--qa", "template")
    curate(ntu, tmp_path / "out", *captions)
    asked_before = len(asked(server))
    curate(ntu, tmp_path / "out", *captions, "--prepared", str(tmp_path / "prepared"))
    assert len(asked(server)) == asked_before == 4


def test_files_of_a_split_that_is_no_more_go_and_those_of_the_other_part_stay(ntu, tmp_path):
    curate(ntu, tmp_path, "--validation_share", "0.5", "--validation_by", "subject")
    assert (tmp_path / "instructions_validation.json").exists()
    curate(ntu, tmp_path, "--part", "train")
    assert not (tmp_path / "instructions_validation.json").exists()
    assert (tmp_path / "questions.json").exists()


def test_a_crop_that_a_killed_run_made_with_other_settings_does_not_count(ntu, tmp_path):
    curate(ntu, tmp_path)
    crop = next((tmp_path / "crops").glob("*.mp4"))
    right = crop.read_bytes()
    crop.write_bytes(right + b"of another size")
    curate(ntu, tmp_path)
    assert crop.read_bytes() == right


def test_links_to_nowhere_are_no_clips(ntu, tmp_path):
    folder = tmp_path / "ntu"
    shutil.copytree(ntu, folder)
    (folder / "skeletons" / "S001C001P003R001A001.skeleton").symlink_to(tmp_path / "nowhere")
    assert len(find_clips(NTU, folder)) == len(names())


def test_a_server_that_goes_away_stops_the_asking_and_the_rest_is_written(ntu, tmp_path, server, capsys):
    good = server.answer

    def answer(request):
        if len(asked(server)) < 3:
            return good(request)
        server.stop()
        return Answer(hangs_up=True)

    server.answer = answer
    assert curate(ntu, tmp_path, *server.flags, pairs=1) == 1
    assert "cannot be reached" in capsys.readouterr().err
    assert len(load(tmp_path / "instructions.json")) == 2
    assert load(tmp_path / "questions.json")


def test_batches_that_wait_are_not_paid_for_again_at_once(ntu, tmp_path):
    store = Batches(patience=9)
    with batch_double(store, plan=lambda request: Answer(json.dumps({"pairs": [PAIR]}))) as double:
        flags = ("--qa", "openai:llama3.1", "--base_url", double.url + "/v1")
        assert curate(ntu, tmp_path, *flags, "--batch", "submit", pairs=1) == 1
        with pytest.raises(ValueError, match="1 batches of openai:llama3.1 are not collected yet"):
            curate(ntu, tmp_path, *flags, pairs=1)


def test_an_estimate_covers_pairs_of_captions_that_are_yet_to_be_written(ntu, tmp_path, server, capsys):
    captions = ("--captioner", "openai:llama3.1", "--caption_price", "1,1", "--price", "1,1")
    assert curate(ntu, tmp_path, *server.flags, *captions, "--estimate", pairs=1) == 0
    said = capsys.readouterr().out
    assert "caption by openai:llama3.1: 4 clips" in said and "qa by openai:llama3.1: 4 clips" in said
    assert server.requests == []


def test_pairs_may_speak_of_the_measured_motion(ntu, tmp_path, server):
    assert curate(ntu, tmp_path, *server.flags, "--motion", "--kinds", "motion", pairs=1) == 0
    (_, told) = asked(server)[0]["messages"]
    assert "Measured on the body's joints:" in told["content"]
    assert "of these kinds: motion." in told["content"]
    with pytest.raises(ValueError, match="--kinds is 'poems'"):
        curate(ntu, tmp_path, *server.flags, "--kinds", "poems")


def test_other_settings_of_the_crop_redo_the_crops_and_no_question(ntu, tmp_path):
    curate(ntu, tmp_path)
    curate(ntu, tmp_path, "--size", "64", "--shape", "aspect", "--crop", "tracking")
    assert len(read_jsonl(tmp_path / "crops.jsonl")) == 2 * len(read_jsonl(tmp_path / "crops.jsonl")[:7])
    models = {record["model"] for record in read_jsonl(tmp_path / "crops.jsonl")}
    assert len(models) == 2
    assert len(read_jsonl(tmp_path / "qa.jsonl")) == 4  # the captions say the same as before


def test_a_clip_without_skeleton_is_found_by_a_detector_or_kept_whole_and_its_pairs_have_none(ntu, tmp_path, server):
    from ski_lvlm.videos.decoding import probe

    folder, blind = tmp_path / "ntu", "S001C001P001R001A001"
    shutil.copytree(ntu, folder)
    (folder / "skeletons" / f"{blind}.skeleton").unlink()
    captions = ("--captioner", "openai:llama3.1", "--nobody", "keep_whole")
    assert curate(folder, tmp_path / "out", *server.flags, *captions, pairs=1) == 0
    crops = {record["name"]: record for record in read_jsonl(tmp_path / "out" / "crops.jsonl")}
    assert crops[blind]["found_by"] == "nobody" and crops[blind]["box"] == [0, 0, 192, 108]
    talks = {talk.video: talk for talk in read_instructions(tmp_path / "out" / "instructions.json")}
    assert talks[blind].skeleton is None and "<skeleton>" not in talks[blind].turns[0].text
    assert talks["S001C001P002R001A001"].skeleton == "S001C001P002R001A001"
    assert probe(tmp_path / "out" / "crops" / f"{blind}.mp4").width == 224


def test_killed_from_outside_the_same_command_goes_on(tmp_path):
    folder, out, whole = tmp_path / "ntu", tmp_path / "out", tmp_path / "whole"
    for name in names(actions=(1, 5, 7), performers=(1, 2, 9)):
        write_clip(folder, name, frames=40, size=(480, 270))
    command = [sys.executable, str(Path(build.__file__)), "--ntu", str(folder), "--out", str(out), *OFFLINE]
    ledgers = [out / f"{step}.jsonl" for step in ("crops", "captions", "qa")]

    for step, times in (("crops", 4), ("captions", 3), ("qa", 5)):
        kill_at(command, f"{step}.jsonl", times, folder=tmp_path)
    assert run(command).returncode == 0
    assert curate(folder, whole, pairs=None) == 0
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
    done = run([*command, *OFFLINE])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_a_batch_is_submitted_today_and_collected_tomorrow(ntu, tmp_path, capsys):
    store = Batches(patience=2)
    with batch_double(store, plan=lambda request: Answer(json.dumps({"pairs": [PAIR]}))) as double:
        flags = ("--qa", "openai:llama3.1", "--base_url", double.url + "/v1", "--batch", "submit")
        assert curate(ntu, tmp_path, *flags, pairs=1) == 1
        assert "run the same command again to collect it" in capsys.readouterr().err
        assert not (tmp_path / "instructions.json").exists()
        assert load(tmp_path / "questions.json")
        assert curate(ntu, tmp_path, *flags, pairs=1) == 0
    assert len(store.batches) == 1
    assert len(load(tmp_path / "instructions.json")) == 4


def test_two_workers_of_ray_make_the_same_files(ntu, tmp_path):
    curate(ntu, tmp_path / "whole")
    ray = ("--engine", "ray", "--shards", "2", "--workers", "1")
    assert curate(ntu, tmp_path / "out", *ray) == 0
    assert {file.name for file in (tmp_path / "out").glob("qa*.jsonl")} == {"qa.1-of-2.jsonl", "qa.2-of-2.jsonl"}
    for file in RESULTS:
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_shard_that_no_machine_has_room_for_is_refused(ntu, tmp_path):
    with pytest.raises(ValueError, match="a shard needs --workers 4096 CPUs"):
        curate(ntu, tmp_path, "--engine", "ray", "--workers", "4096")


def test_a_mistake_in_a_shard_is_told(ntu, tmp_path):
    with pytest.raises(ValueError, match="shard 1/2 ended with code 2: error: unknown captioner 'nobody'"):
        curate(ntu, tmp_path, "--engine", "ray", "--workers", "1", "--captioner", "nobody")
