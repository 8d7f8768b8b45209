import json

import pytest

from data_curation.checking.file_formats import QuestionPair, read_table
from data_curation.results.dataset import write_dataset
from ski_lvlm.datasets.instruction_file import instruction_record
from tests.cases.dataset_rows import SPLITS

CLIP = "S001C002P003R001A005"
ASKED = QuestionPair("What is done?", "A cup falls.")


def talk(question, **keys):
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": ASKED.answer}]
    return {"id": CLIP, **keys, "conversations": said}


def ours(with_skeleton=True):
    return instruction_record(
        CLIP, clip=CLIP, question=ASKED.question, answer=ASKED.answer, with_skeleton=with_skeleton
    )


SKI = {"video": f"{CLIP}.pkl", "pose": f"{CLIP}_pose.pkl"}
OBJECT = {"object": f"{CLIP}_object.pkl"}
Q, A = ASKED
CONSISTENCY = {"Q1": "Which action?", "Q2": "What goes on?"}
THREE = [ASKED, QuestionPair("Which action?", A), QuestionPair("What goes on?", A)]
RAW = [{"Q": Q, "A": A}, {"Q": "Who?", "A": "A man."}]
FORMATS = {
    "SKI-LVLM conversations": ([ours()], [ASKED]),
    "SKI-Models conversations": ([talk(f"<video>\n<pose>\n{Q}", **SKI)], [ASKED]),
    "LLAVIDAL conversations": ([talk(f"{Q}\n<video><object><human_pose>", **SKI, **OBJECT)], [ASKED]),
    "LLaVA/Video-ChatGPT conversations": ([talk(f"{Q}\n<video>", video=f"{CLIP}.pkl")], [ASKED]),
    "questions": ([{"video_name": CLIP, "Q": Q, "A": A, **CONSISTENCY}], THREE),
    "questions, keyed by video": ({CLIP: {"A": A, **CONSISTENCY}}, THREE[1:]),
    "predictions": ([{"video_name": f"{CLIP}.mp4", "Q": Q, "A": A, "pred": "Nothing.", "pred1": None}], [ASKED]),
    "LLAVIDAL descriptions": (
        [{"video_name": CLIP, "Q": Q, "A": A, "cons_Q1": "Which action?", "cons_Q2": "What goes on?", "cons_A": "It."}],
        [ASKED, QuestionPair("Which action?", "It."), QuestionPair("What goes on?", "It.")],
    ),
    "Video-ChatGPT raw pairs": ([{"q": Q, "a": A, "video_id": CLIP}], [ASKED]),
    "raw pairs, keyed by video": ({CLIP: RAW}, [ASKED, QuestionPair("Who?", "A man.")]),
    "LLAVIDAL/SKI-Models raw pairs": ([[*RAW, {"id": CLIP}]], [ASKED, QuestionPair("Who?", "A man.")]),
}


@pytest.fixture
def read(tmp_path):
    def read_content(content, **options):
        (tmp_path / "file.json").write_text(json.dumps(content))
        return read_table(tmp_path / "file.json", **options)

    return read_content


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_and_read(read, name):
    content, pairs = FORMATS[name]
    table = read(content, drop={"object"})
    assert (table.format, table.faults) == (name, [])
    assert [pair for entry in table.entries for pair in entry.pairs] == pairs
    assert {entry.video for entry in table.entries} == {CLIP}
    assert not any(entry.problems for entry in table.entries)


@pytest.mark.parametrize("name", ["SKI-LVLM", "SKI-Models", "LLAVIDAL"])
def test_skeletons_are_those_that_records_name(read, name):
    (entry,) = read(FORMATS[f"{name} conversations"][0], drop={"object"}).entries
    assert entry.skeleton == CLIP
    assert read([ours(with_skeleton=False)]).entries[0].skeleton is None


def test_objects_are_a_problem_unless_dropped(read):
    (entry,) = read(FORMATS["LLAVIDAL conversations"][0]).entries
    assert ["unknown placeholder <object>" in problem for problem in entry.problems] == [True]


def test_parquet_is_read_like_the_rest(tmp_path):
    write_dataset(tmp_path, SPLITS, facts={})
    table = read_table(tmp_path / "train.parquet")
    assert table.format == "Parquet"
    assert [entry.skeleton is None for entry in table.entries] == [False, True]
    assert table.entries[0].pairs == (QuestionPair("What is the person doing?", "Drinking water."),)
    asked = read_table(tmp_path / "test.parquet").entries[0].pairs
    assert [pair.question for pair in asked] == ["What is the person doing?", "Which action?", "What is done?"]


def test_records_are_named_by_where_they_stand(read):
    assert [entry.record for entry in read({CLIP: RAW}).entries] == [f"{CLIP}[0]", f"{CLIP}[1]"]
    assert [entry.record for entry in read([RAW, [*RAW, {"id": "b"}]]).entries] == ["0[0]", "0[1]", "b[0]", "b[1]"]
    assert [entry.record for entry in read([ours()] * 2).entries] == [0, 1]


def test_one_record_without_a_list_is_read_with_a_fault(read):
    table = read(ours())
    assert len(table.entries) == 1 and table.faults == ["holds one record; expected a list of records"]


def question(**changes):
    return {"video_name": CLIP, "Q": Q, "A": A} | changes


RECORDS = {  # content, what is wrong with its last record
    "number": ([question(), 3], ["found 3; expected an object"]),
    "null": ([question(), None], ["found None; expected an object"]),
    "no video": ([question(), question(video_name=None)], ["the video is None; expected a clip's name"]),
    "video is a number": ([question(video_name=7)], ["the video is 7; expected a clip's name"]),
    "video is empty": ([question(video_name="")], ["the video is ''; expected a clip's name"]),
    "video is an ending": ([question(video_name="_rgb.avi")], ["the video is '_rgb.avi'; expected a clip's name"]),
    "no question": ([question(Q=None)], ["there is no question; expected Q, or Q1 and Q2"]),
    "question is a list": ([question(Q=["a"])], ["Q is ['a']; expected a text"]),
    "question is empty": ([question(Q=" \n")], [r"Q is ' \n'; expected a text"]),
    "no answer": ([question(), {"video_name": CLIP, "Q": Q}], ["there is no answer; expected A"]),
    "answer is a number": ([question(A=0)], ["A is 0; expected a text"]),
    "answer is true": ([question(A=True)], ["A is True; expected a text"]),
    "one wording": ([question(Q1="Which?")], ["only one of Q1 and Q2 is there; the consistency metric needs both"]),
    "one wording twice": (
        [question(Q1="Which?", Q2="Which?")],
        ["Q1 and Q2 are the same; consistency needs two wordings of one question"],
    ),
    "several at once": (
        [question(), {"video_name": [], "Q": 1, "A": ""}],
        ["the video is []; expected a clip's name", "Q is 1; expected a text", "A is ''; expected a text"],
    ),
    "a pair is a text": ([[Q, {"id": CLIP}]], [f"found {Q!r}; expected an object with Q and A"]),
    "a pair is a list": ({CLIP: [{"Q": Q, "A": A}, ["Q"]]}, ["found ['Q']; expected an object with Q and A"]),
    "no id behind the pairs": ([[{"Q": Q, "A": A}]], ["the video is None; expected a clip's name"]),
    "a video without pairs": ({CLIP: RAW, "b": []}, ["the video has no pairs"]),
    "only an id": ([[*RAW, {"id": CLIP}], [{"id": "b"}]], ["the video has no pairs"]),
    "raw pair, other key": ([{"q": Q, "answers": A, "video_id": CLIP}], ["there is no answer; expected A"]),
    "no conversations": ([ours(), {"id": "b"}], ["no 'conversations'; expected a list of human and gpt turns"]),
    "question among conversations": (
        [ours(), question()],
        ["no 'conversations'; expected a list of human and gpt turns"],
    ),
}


@pytest.mark.parametrize(("content", "problems"), RECORDS.values(), ids=RECORDS.keys())
def test_records_say_everything_that_breaks_their_format(read, content, problems):
    assert list(read(content).entries[-1].problems) == problems


NOT_READ = {
    "empty list": ([], r"found \[\], expected a list of records that is not empty"),
    "empty object": ({}, r"found {}, expected a list"),
    "list of numbers": ([1, 2], "found records with 1; expected conversations, or video_name"),
    "list of texts": (["a"], "found records with 'a'"),
    "captions": ({CLIP: {"A": "A man."}}, f"found an object with keys such as '{CLIP}'; expected conversations"),
    "captions as texts": ({CLIP: "A man."}, "found an object with keys such as"),
    "other records": ([{"image": "a", "text": "b"}], "found records with the keys image, text; expected"),
}


@pytest.mark.parametrize(("content", "message"), NOT_READ.values(), ids=NOT_READ.keys())
def test_a_file_in_no_format_is_refused_with_what_it_holds(read, content, message):
    with pytest.raises(ValueError, match=message) as error:
        read(content)
    assert str(error.value).count("file.json") == 1
