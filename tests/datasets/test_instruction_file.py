import json

import pytest

from ski_lvlm.datasets.instruction_file import (
    Turn,
    examine,
    instruction_record,
    read_instructions,
)

CLIP = "S001C002P003R001A005"


@pytest.fixture
def read(tmp_path):
    def read_records(records, **options):
        path = tmp_path / "instructions.json"
        path.write_text(records if isinstance(records, str) else json.dumps(records))
        return read_instructions(path, **options)

    return read_records


def talk(question, answer="A person drops something.", **keys):
    conversation = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "7", "conversations": conversation} | keys


def test_our_own_record_is_read_back(read):
    record = instruction_record(f"{CLIP}_0", clip=CLIP, question="What happens?", answer="A fall.")
    (conversation,) = read([record])
    assert conversation == (
        f"{CLIP}_0",
        CLIP,
        CLIP,
        (Turn("user", "What happens?\n<video>\n<skeleton>"), Turn("assistant", "A fall.")),
    )


def test_a_record_without_skeleton_has_none(read):
    record = instruction_record("a", clip=CLIP, question="What?", answer="This.", with_skeleton=False)
    assert read([record])[0].skeleton is None
    assert "<skeleton>" not in record["conversations"][0]["value"]


FOREIGN = {
    "SKI": talk("What happens?\n<video>\n<pose>", video=f"{CLIP}.pkl", pose=f"{CLIP}_pose.pkl"),
    "SKI, placeholders first": talk("<video>\n<pose>\nWhat happens?", video=f"{CLIP}.pkl", pose=f"{CLIP}.pkl"),
    "ADL-X": talk("What happens?\n<video>\n<human_pose>", video=f"{CLIP}.pkl", pose=f"{CLIP}_pose.pkl"),
    "ours": talk("What happens?\n<video>\n<skeleton>", video=CLIP, skeleton=CLIP),
}


@pytest.mark.parametrize("record", FOREIGN.values(), ids=FOREIGN.keys())
def test_every_spelling_becomes_one(read, record):
    (conversation,) = read([record])
    assert (conversation.video, conversation.skeleton) == (CLIP, CLIP)
    question = conversation.turns[0].text
    assert question.count("<video>") == question.count("<skeleton>") == 1
    assert "pose" not in question
    placeholders_first = record["conversations"][0]["value"].startswith("<")
    assert question.startswith("<video>") == placeholders_first


def test_video_chatgpt_has_no_skeleton(read):
    (conversation,) = read([talk("<video>\nDescribe it.", video="v_k_ZXmr8pmrs.pkl")])
    assert conversation.video == "v_k_ZXmr8pmrs"
    assert conversation.skeleton is None


def test_llavidal_objects_are_an_error_unless_dropped(read):
    record = talk("What?\n<video>\n<human_pose>\n<object>", video="v.pkl", pose="v_pose.pkl", object="v_object.pkl")
    with pytest.raises(ValueError, match=r"id '7'.*unknown placeholder <object>; drop it"):
        read([record])
    (conversation,) = read([record], drop={"object"})
    assert conversation.turns[0].text == "What?\n<video>\n<skeleton>"


def test_an_object_key_without_placeholder_is_named_too(read):
    with pytest.raises(ValueError, match="'object' features"):
        read([talk("What?\n<video>", video="v", object="v_object.pkl")])


def test_the_skeleton_can_be_dropped(read):
    (conversation,) = read([FOREIGN["SKI"]], drop={"skeleton"})
    assert conversation.skeleton is None
    assert conversation.turns[0].text == "What happens?\n<video>"


def test_several_turns_share_one_placeholder(read):
    record = talk("What?\n<video>", video="v")
    record["conversations"] += [{"from": "human", "value": "And then?"}, {"from": "gpt", "value": "It ends."}]
    assert [turn.role for turn in read([record])[0].turns] == ["user", "assistant"] * 2


LLAVA = {
    "LLaVA-Video-178K": talk("<image>\nWhat?", video="academic_source/Charades/AB12C.mp4", data_source="0_30_s"),
    "list of one": talk("<image>\nWhat?", video=["academic_source/Charades/AB12C.mp4"]),
    "VideoInstruct-100K": talk("<video>\nWhat?", video="academic_source/Charades/AB12C.pkl"),
}


@pytest.mark.parametrize("record", LLAVA.values(), ids=LLAVA.keys())
def test_llava_s_image_is_the_video_that_is_named(read, record):
    (conversation,) = read([record])
    assert conversation.video == "academic_source/Charades/AB12C"
    assert conversation.turns[0].text == "<video>\nWhat?"


def test_the_word_image_in_an_answer_is_text(read):
    (conversation,) = read([talk("<image>\nWhich mark?", "It is <image>.", video="v")])
    assert conversation.turns[1].text == "It is <image>."


WINDOWS = {
    "Notepad": ("i.json", "utf-8-sig", "\r\n"),
    "PowerShell": ("i.json", "utf-16", "\r\n"),
    "one record a line": ("i.jsonl", "utf-8", ",\n"),
    "lines in a .json": ("i.json", "utf-8", ",\n"),
    "lines with a mark": ("i.jsonl", "utf-8-sig", ",\n"),
}


@pytest.mark.parametrize(("name", "encoding", "end"), WINDOWS.values(), ids=WINDOWS.keys())
def test_files_as_other_programs_save_them(tmp_path, name, encoding, end):
    records = [talk("<video>\nWhat is a café?", "A\u2028B", video=f"v{number}") for number in range(2)]
    listed = json.dumps(records, ensure_ascii=False, indent=2)
    lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    text = lines if end == ",\n" else listed.replace("\n", end)
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert [talk.video for talk in read_instructions(tmp_path / name)] == ["v0", "v1"]


def test_text_only_records_are_legal(read):
    (conversation,) = read([talk("What is a kinect?", "A depth camera.")])
    assert conversation.video is conversation.skeleton is None


def test_markup_in_an_answer_is_text(read):
    assert read([talk("Write bold.", "<b>bold</b>")])[0].turns[1].text == "<b>bold</b>"


BAD = {
    "unknown placeholder": (talk("What?\n<audio>", video="v"), "unknown placeholder <audio>; expected <video>"),
    "image without a key": (talk("What?\n<image>"), "unknown placeholder <image>"),
    "image": (talk("What?\n<image>", image="a.jpg"), "is about an image ('image'), and SKI-LVLM reads videos; leave"),
    "image and video": (talk("What?\n<image>", image="a.jpg", video="v"), "is about an image"),
    "a frame for each placeholder": (talk("<image>\n<image>\nWhat?", video="v"), "<video> occurs 2 times"),
    "both spellings": (talk("<image>\n<video>\nWhat?", video="v"), "<video> occurs 2 times"),
    "several videos": (talk("<video>\nWhat?", video=["v", "w"]), "'video' is ['v', 'w']; expected a clip's name"),
    "system message": (
        {"id": "7", "conversations": [{"from": "system", "value": "x"}]},
        "turn 0 is a system message, which SKI-LVLM does not read; remove it",
    ),
    "half a character": (talk("What?\n<video>", "a \ud83d b", video="v"), "turn 1: the answer holds half a character"),
    "empty answer": (talk("What?\n<video>", "  ", video="v"), "turn 1: the answer is empty"),
    "no placeholder": (talk("What?", video="v"), "a 'video' key but no <video>"),
    "no skeleton placeholder": (talk("What?\n<video>", video="v", pose="v"), "a 'skeleton' key but no <skeleton>"),
    "no key": (talk("What?\n<video>"), "<video> but no 'video' key"),
    "no skeleton key": (talk("What?\n<video>\n<pose>", video="v"), "<skeleton> but no 'skeleton' key"),
    "twice": (talk("<video> <video> What?", video="v"), "<video> occurs 2 times"),
    "placeholder in answer": (talk("What?\n<video>", "It is <video>.", video="v"), "in an answer"),
    "name is a number": (talk("What?\n<video>", video=3), "'video' is 3; expected a clip's name"),
    "no conversations": ({"id": "7", "video": "v"}, "no 'conversations'"),
    "not an object": (["v"], "found list, expected an object"),
    "turn order": (
        {"id": "7", "conversations": [{"from": "gpt", "value": "x"}]},
        "turn 0 is from 'gpt'; expected human",
    ),
    "no answer": ({"id": "7", "conversations": [{"from": "human", "value": "x"}]}, "the last question has no answer"),
    "text for a turn": ({"id": "7", "conversations": ["x"]}, "turn 0 is from None"),
}


@pytest.mark.parametrize(("record", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_trained_on_is_refused(read, record, message):
    with pytest.raises(ValueError) as error:
        read([FOREIGN["SKI"], record])
    assert message in str(error.value)
    assert "1 of 2 records" in str(error.value)
    assert "record 1" in str(error.value)


def test_all_problems_are_counted_and_ten_listed(read):
    records = [talk("What?", video="v") | {"id": f"r{i}"} for i in range(25)] + [FOREIGN["SKI"]]
    with pytest.raises(ValueError) as error:
        read(records)
    text = str(error.value)
    assert "25 of 26 records" in text
    assert "and 15 more" in text
    assert [f"r{i}'" in text for i in (0, 9, 10)] == [True, True, False]


@pytest.mark.parametrize(("text", "message"), [("{}", "found dict"), ("[]", "empty list"), ("[{", "not JSON")])
def test_other_files_are_refused(read, text, message):
    with pytest.raises(ValueError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("video", "pose", "clips"),
    [
        ("tree_pose.mp4", "tree_pose.pkl", ("tree_pose", "tree_pose")),
        ("tree_pose.mp4", "tree_pose_pose.pkl", ("tree_pose", "tree_pose")),
        ("S1.partA", "S1.partA_skeleton.npy", ("S1.partA", "S1.partA")),
        ("rgb/x_rgb.avi", "rgb/x_pose.pkl", ("rgb/x_rgb", "rgb/x_rgb")),
        ("cam1\\x.mp4", "x_pose.pkl", ("cam1/x", "x")),
        ("x.mp4", "y_human_pose.pkl", ("x", "y")),
        ("x.mp4", ["x_pose.pkl"], ("x", "x")),
    ],
)
def test_clips_keep_what_belongs_to_their_names(read, video, pose, clips):
    (conversation,) = read([talk("What?\n<video>\n<pose>", video=video, pose=pose)])
    assert (conversation.video, conversation.skeleton) == clips


def test_a_record_is_examined_to_its_end():
    record = talk("Where is <audio>?", " ", video=3, pose=["v", "w"])
    (examined,) = examine([record])
    assert examined.conversation is None
    assert [problem.split(";")[0] for problem in examined.problems] == [
        "turn 0: unknown placeholder <audio>",
        "turn 1: the answer is empty",
        "'video' is 3",
        "'pose' is ['v', 'w']",
    ]


def test_bad_records_do_not_end_the_walk():
    good = talk("What?\n<video>", video="v")
    walked = list(examine([good, None, good]))
    assert [record.number for record in walked] == [0, 1, 2]
    assert [record.conversation is None for record in walked] == [False, True, False]
    assert walked[0].problems == [] and walked[0].label == "record 0 (id '7')"


def test_json_nested_too_deeply_is_refused(read):
    with pytest.raises(ValueError, match="not JSON"):
        read("[" * 200_000)
