"""The whole offline pipeline on data sets that are not NTU's."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from data_curation import build, validate
from data_curation.captioning.action_names import action_finder
from data_curation.sources import find_clips
from eval import accuracy
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer
from ski_lvlm.storage.files import read_jsonl, write_json
from ski_lvlm.videos.decoding import probe, read_video
from tests.cases import data_set_case
from tests.cases.video_case import write_drawing

pytestmark = pytest.mark.slow
OFFLINE = ("--captioner", "kinematics", "--qa", "template", "--workers", "1", "--pairs_per_clip", "2")
WHOLE = ("--detector", "none", "--nobody", "keep_whole")  # nobody is in these videos
CLASSES = [
    {"name": "pour tea", "sentences": ["Somebody pours tea."]},
    {"name": "sweep"},
    {"id": "W03", "name": "wave"},
    {"name": "fold"},  # without a clip
]
ROWS = [
    {"clip": f"müller {subject} ({room}) {number}", "class": text, "subject": f"{subject:02}", "room": room}
    for subject in (1, 2, 3)
    for room in ("küche", "flur")
    for number, text in enumerate(("pour tea", "2", "W003"))
]
NAMES = [row["clip"] for row in ROWS]


def write_data_set(folder, **changes):
    """Write a data set of 18 clips."""
    settings = {"rows": ROWS, "classes": CLASSES, "splits": {"A": {"unseen": ["wave", "fold"]}}}
    return data_set_case.write_data_set(folder, **settings | changes)


def curate(data, out, *flags):
    return build.main(["--data", str(data), "--out", str(out), *OFFLINE, *WHOLE, *flags])


def brighter(picture, index):
    picture[...] = 4 * index


@pytest.fixture(scope="module")
def phone(tmp_path_factory):
    """Videos that are called as their clips, without skeletons."""
    folder = write_data_set(tmp_path_factory.mktemp("daten sätze") / "home")
    for name in NAMES:
        write_drawing(folder / f"{name}.mp4", width=96, height=54, frames=8, draw=brighter)
    return folder


def crops(out):
    return {record["name"]: record for record in read_jsonl(out / "crops.jsonl")}


def talks(out, file="instructions.json"):
    return read_instructions(out / file)


def test_videos_with_odd_names_and_no_skeletons_become_pairs(phone, tmp_path):
    assert curate(phone, tmp_path, "--split", "A") == 0
    find = action_finder(open_data_set(phone).description.classes)
    trained = [row for row in ROWS if row["room"] == "küche" and row["class"] != "W003"]
    assert {talk.video for talk in talks(tmp_path)} == {row["clip"] for row in trained}
    assert all(talk.skeleton is None for talk in talks(tmp_path))
    classes = {row["clip"]: {"2": "sweep", "W003": "wave"}.get(row["class"], row["class"]) for row in ROWS}
    assert all(find(talk.turns[1].text) == classes[talk.video] for talk in talks(tmp_path))
    assert {talk.turns[1].text for talk in talks(tmp_path)} == {"Somebody pours tea.", 'The action is "sweep".'}
    for file, chosen in (("questions.json", trained), ("questions_unseen.json", [])):
        questions = json.loads((tmp_path / file).read_text())
        assert all(find(question["A"]) == classes[question["video_name"]] for question in questions)
        assert {q["video_name"] for q in questions}.isdisjoint(row["clip"] for row in chosen)
        assert len(questions) == (6 if chosen else 3)
    assert (tmp_path / "crops" / "müller 1 (küche) 0.mp4").is_file()
    assert not (tmp_path / "crops" / "müller 1 (küche) 2.mp4").exists()  # unseen class, training room


def test_crops_of_a_webcam_keep_its_aspect(tmp_path):
    folder = write_data_set(tmp_path / "home")
    for name in NAMES:
        write_drawing(folder / f"{name}.mp4", width=96, height=72, frames=4, draw=brighter)
    assert curate(folder, tmp_path / "out", "--shape", "aspect") == 0
    assert {probe(tmp_path / "out" / "crops" / f"{name}.mp4")[:2] for name in NAMES} == {(224, 168)}


def test_the_files_are_valid_and_hold_the_table_s_columns(phone, tmp_path):
    protocol = ("--protocol", "xsub", "--validation_share", "0.4", "--validation_by", "subject")
    assert curate(phone, tmp_path, *protocol) == 0
    files = [str(tmp_path / file) for file in ("instructions.json", "instructions_validation.json", "questions.json")]
    assert validate.main([*files, "--by", "subject", "--data", str(phone), "--videos", str(phone)]) == 0
    table = pq.read_table(tmp_path / "dataset" / "test.parquet")
    assert set(table["subject"].to_pylist()) == {3} and set(table["room"].to_pylist()) == {"küche", "flur"}
    assert set(zip(table["action"].to_pylist(), table["action_name"].to_pylist())) == {
        (1, "pour tea"), (2, "sweep"), (3, "wave"),
    }  # fmt: skip


def test_captions_are_counted_by_the_data_set_s_own_classes(phone, tmp_path, capsys):
    curate(phone, tmp_path)
    questions = json.loads((tmp_path / "questions.json").read_text())
    predictions = [{**question, "pred": question["A"]} for question in questions]
    predictions[0]["pred"] = "A person dances."
    write_json(tmp_path / "p.json", predictions)
    flags = ["--predictions", str(tmp_path / "p.json"), "--instructions", str(tmp_path / "instructions.json")]
    assert accuracy.main([*flags, "--data", str(phone), "--out", str(tmp_path / "a.json")]) == 0
    model, guess = json.loads((tmp_path / "a.json").read_text())
    assert (model["clips"], model["share"], model["same_object_clips"]) == (9, 88.9, 0)
    assert guess["share"] == 33.3 and list(model["per_action"]) == ["1", "2", "W3"]
    with pytest.raises(ValueError, match=r"9 clips are not of ntu120, such as 'müller .*--data"):
        accuracy.main(flags)


def test_without_a_protocol_all_clips_train_and_other_classes_do_not(phone, tmp_path):
    folder = write_data_set(tmp_path / "home", protocols={}, splits={})
    assert curate(folder, tmp_path / "out", "--ntu", str(phone), "--split", "pour tea,wave") == 0
    assert {talk.video for talk in talks(tmp_path / "out")} == {row["clip"] for row in ROWS if row["class"] == "2"}
    assert not (tmp_path / "out" / "questions.json").exists()
    assert len(json.loads((tmp_path / "out" / "questions_unseen.json").read_text())) == 12


def packed_bodies(folder, names):
    """Somebody who lifts the right hand, in the layout of Kinect v1; the last clip has none."""
    layout = LAYOUTS["kinect-20"]
    at = {"hip centre": (0, 0), "shoulder centre": (0, 0.45), "head": (0, 0.6), "left wrist": (-0.3, 0)}
    at |= {"right wrist": (0.3, 0), "left ankle": (-0.1, -0.9), "right ankle": (0.1, -0.9)}
    body = np.zeros((40, 1, 20, 3), np.float32)
    for name, place in at.items():
        body[:, 0, layout.joints.index(name), :2] = place
    body[:, 0, layout.joints.index("right wrist"), 1] += np.linspace(0, 0.5, 40)
    body[..., 0] += np.linspace(0, 0.02, 40)[:, None, None]  # nobody's hips are quite still
    with packed_writer(folder, layout=layout, cleaning="centred-1", source="test") as packed:
        for name in names[:-1]:
            packed.add(name, body)


def test_joints_of_another_layout_are_measured(phone, tmp_path):
    folder = write_data_set(tmp_path / "home")
    packed_bodies(folder, NAMES)
    assert curate(folder, tmp_path / "out", "--ntu", str(phone), "--protocol", "rooms") == 0
    captions = {record["name"]: record["caption"] for record in read_jsonl(tmp_path / "out" / "captions.jsonl")}
    assert captions[NAMES[0]] == "Somebody pours tea. The right hand rises to the head; the legs hardly move."
    assert captions[NAMES[-1]] == 'The action is "wave".'
    trained = talks(tmp_path / "out")
    assert {talk.skeleton == talk.video for talk in trained} == {True}
    swept = [entry | ({"sentences": ["It is swept."]} if entry["name"] == "sweep" else {}) for entry in CLASSES]
    write_data_set(folder, classes=swept)
    curate(folder, tmp_path / "out", "--ntu", str(phone), "--protocol", "rooms")
    again = read_jsonl(tmp_path / "out" / "captions.jsonl")[len(captions) :]
    assert {record["caption"].split(".")[0] for record in again} == {"It is swept"} and len(again) == 6
    assert len(read_jsonl(tmp_path / "out" / "crops.jsonl")) == len(NAMES)


@pytest.fixture
def untrimmed(tmp_path):
    """One recording of two seconds with two clips, in folders of their own."""
    rows = [
        {"clip": "cam 1/ä (1)", "class": "sweep", "video": "rec ü.mp4", "start": 0.5, "end": 1.0},
        {"clip": "cam 1/v_1.5", "class": "wave", "video": "rec ü.mp4", "start": 1.2, "end": 1.9},
    ]
    folder = write_data_set(tmp_path / "home", rows=rows, protocols={})
    write_drawing(folder / "rec ü.mp4", width=96, height=54, frames=60, draw=brighter)
    return folder, rows


def test_clips_of_an_untrimmed_recording_are_its_stretches(untrimmed, tmp_path):
    folder, rows = untrimmed
    out = tmp_path / "out"
    assert curate(folder, out) == 0
    first, second = (out / "crops" / f"{row['clip']}.mp4" for row in rows)
    assert (probe(first).num_frames, probe(second).num_frames) == (15, 21)
    grey = read_video(first, num_frames=15).float().amax(dim=(1, 2, 3)).numpy()
    assert np.allclose(grey, 4 * np.arange(15, 30), atol=6)
    assert {talk.video for talk in talks(out)} == {row["clip"] for row in rows}
    write_data_set(folder, rows=[rows[0] | {"end": 0.8}, rows[1]], protocols={})
    curate(folder, out)
    assert probe(first).num_frames == 9 and len(read_jsonl(out / "crops.jsonl")) == 3


def test_a_detector_looks_at_the_clip_s_stretch_only(untrimmed, tmp_path, monkeypatch):
    from ski_lvlm.estimation import detector
    from ski_lvlm.estimation.association import Detections

    class Finder:
        model = "bright"

        def __call__(self, frames):
            boxes = [np.array([[10.0, 10, 90, 90]]) if 70 < frame.max() < 130 else np.zeros((0, 4)) for frame in frames]
            return [Detections(box, np.ones(len(box))) for box in boxes]

    monkeypatch.setattr(detector, "load_detector", lambda name: Finder())
    assert curate(untrimmed[0], tmp_path / "out", "--detector", "bright", "--nobody", "leave_out") == 0
    first, second = (crops(tmp_path / "out")[row["clip"]] for row in untrimmed[1])
    assert first["found_by"] == "bright" and second["status"] == "rejected"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": 3.0, "end": 4.0}, "the clip is 3 to 4 seconds of a recording of 2.00 seconds"),
        ({"video": ""}, "there is no video"),
    ],
)
def test_a_clip_that_is_not_in_its_video_is_reported_and_the_rest_goes_on(untrimmed, tmp_path, changes, message):
    folder, rows = untrimmed
    write_data_set(folder, rows=[rows[0] | changes, rows[1]], protocols={})
    assert curate(folder, tmp_path / "out") == 0
    assert message in crops(tmp_path / "out")[rows[0]["clip"]]["reason"]
    assert {talk.video for talk in talks(tmp_path / "out")} == {rows[1]["clip"]}


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/../../x"])
def test_a_clip_whose_name_leads_out_of_the_folder_is_refused(untrimmed, name):
    folder, rows = untrimmed
    write_data_set(folder, rows=[rows[0] | {"clip": name}], protocols={})
    with pytest.raises(ValueError, match="would lie outside of a folder; rename it"):
        find_clips(open_data_set(folder))


def test_a_skeleton_file_that_is_not_there_is_named_with_its_line(untrimmed):
    folder, rows = untrimmed
    write_data_set(folder, rows=[rows[0] | {"skeleton": ""}, rows[1] | {"skeleton": "no.skeleton"}], protocols={})
    with pytest.raises(ValueError, match=r"clips\.csv: line 3 names the skeleton .*no\.skeleton, which is not there"):
        find_clips(open_data_set(folder))
