import json

import pytest

from ski_lvlm.instruction_file import (
    InstructionError,
    Turn,
    clip_name,
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
    said = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return {"id": "7", "conversations": said} | keys


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
    with pytest.raises(InstructionError, match=r"id '7'.*unknown placeholder <object>; drop it"):
        read([record])
    (conversation,) = read([record], drop={"object"})
    assert conversation.turns[0].text == "What?\n<video>\n<skeleton>"


def test_an_object_key_without_placeholder_is_named_too(read):
    with pytest.raises(InstructionError, match="'object' features"):
        read([talk("What?\n<video>", video="v", object="v_object.pkl")])


def test_the_skeleton_can_be_dropped(read):
    (conversation,) = read([FOREIGN["SKI"]], drop={"skeleton"})
    assert conversation.skeleton is None
    assert conversation.turns[0].text == "What happens?\n<video>"


def test_several_turns_share_one_placeholder(read):
    record = talk("What?\n<video>", video="v")
    record["conversations"] += [{"from": "human", "value": "And then?"}, {"from": "gpt", "value": "It ends."}]
    assert [turn.role for turn in read([record])[0].turns] == ["user", "assistant"] * 2


def test_text_only_records_are_legal(read):
    (conversation,) = read([talk("What is a kinect?", "A depth camera.")])
    assert conversation.video is conversation.skeleton is None


def test_markup_in_an_answer_is_text(read):
    assert read([talk("Write bold.", "<b>bold</b>")])[0].turns[1].text == "<b>bold</b>"


BAD = {
    "unknown placeholder": (talk("What?\n<image>", video="v"), "unknown placeholder <image>; expected <video>"),
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
    with pytest.raises(InstructionError) as error:
        read([FOREIGN["SKI"], record])
    assert message in str(error.value)
    assert "1 of 2 records" in str(error.value)
    assert "record 1" in str(error.value)


def test_all_problems_are_counted_and_ten_listed(read):
    records = [talk("What?", video="v") | {"id": f"r{i}"} for i in range(25)] + [FOREIGN["SKI"]]
    with pytest.raises(InstructionError) as error:
        read(records)
    text = str(error.value)
    assert "25 of 26 records" in text
    assert "and 15 more" in text
    assert [f"r{i}'" in text for i in (0, 9, 10)] == [True, True, False]


@pytest.mark.parametrize(("text", "message"), [("{}", "found dict"), ("[]", "empty list"), ("[{", "not JSON")])
def test_other_files_are_refused(read, text, message):
    with pytest.raises(InstructionError, match=message):
        read(text)


def test_names_keep_what_is_not_an_ending():
    assert clip_name("v_pose_1") == "v_pose_1"
    assert clip_name("a\\b\\clip.mp4") == "clip"
    assert clip_name("clip.2024") == "clip.2024"


def test_a_record_is_examined_to_its_end():
    record = talk("Where is <image>?", " ", video=3, pose=["v"])
    (examined,) = examine([record])
    assert examined.conversation is None
    assert [problem.split(";")[0] for problem in examined.problems] == [
        "turn 0: unknown placeholder <image>",
        "turn 1: the answer is empty",
        "'video' is 3",
        "'pose' is ['v']",
    ]


def test_bad_records_do_not_end_the_walk():
    good = talk("What?\n<video>", video="v")
    walked = list(examine([good, None, good]))
    assert [record.number for record in walked] == [0, 1, 2]
    assert [record.conversation is None for record in walked] == [False, True, False]
    assert walked[0].problems == [] and walked[0].label == "record 0 (id '7')"


def test_json_nested_too_deeply_is_refused(read):
    with pytest.raises(InstructionError, match="not JSON"):
        read("[" * 200_000)
