import json

import pytest

from data_curation import describe_classes
from data_curation.describing.class_prompt import FIELDS, SENTENCES, class_messages, class_schema
from data_curation.describing.class_writer import ROUNDS, UnusableReply, texts_in
from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.class_texts import FILE, PARTS, class_texts, read_rows
from tests.cases.data_set_case import write_data_set
from tests.cases.llm_server import Answer, chat_double

PROBE = "stand still"  # what the command asks before any work


def sentences(name="x", **changes):
    parts = {part: f"{part.title()} moves a little in {name}." for part in PARTS}
    return {"definition": f"Somebody is doing {name}.", "motion": f"The body is doing {name}."} | parts | changes


def action_in(request):
    return request["messages"][-1]["content"].partition("The action: ")[2].partition("\n")[0]


def good(request):
    return Answer(json.dumps(sentences(action_in(request))))


@pytest.fixture
def describe(monkeypatch):
    """Run the command against a double that replies as `plan` says; returns the exit code and the actions asked for."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*words, plan=good):
        actions = []

        def answer(request):
            actions.append(action_in(request))
            return plan(request)

        with chat_double(plan=answer) as double:
            server = ("--model", "openai:llama3.1", "--base_url", f"{double.url}/v1", "--attempts", "1")
            code = describe_classes.main([*map(str, words), *server])
        return code, [name for name in actions if name != PROBE]

    return run


def test_a_data_set_gets_a_line_for_each_class(describe, tmp_path, capsys):
    home = write_data_set(tmp_path / "home")
    code, actions = describe("--data", home)
    assert (code, actions) == (0, ["pour tea", "sweep", "wave", "fold"])
    assert "4 of 4 classes are described" in capsys.readouterr().out
    texts = class_texts(open_data_set(home))["pour"]
    assert texts.motion == "The body is doing pour tea." and list(texts.parts) == list(PARTS)
    assert describe("--data", home) == (0, [])


@pytest.mark.slow
def test_lines_by_hand_stay_and_stopped_work_goes_on(describe, tmp_path):
    home = write_data_set(tmp_path / "home")
    out = ("--data", home, "--out", tmp_path / "out")
    code, _ = describe(*out, plan=lambda r: Answer(status=503) if action_in(r) in ("fold", "wave") else good(r))
    assert code == 1
    file = tmp_path / "out" / FILE
    file.write_text(file.read_text().replace("sweep,Somebody is doing sweep.", '2,"By hand, with a comma."'))
    assert describe(*out) == (0, ["wave", "fold"])
    assert [row.name for row in read_rows(file)] == ["pour tea", "2", "wave", "fold"]
    assert [*read_rows(file)][1].texts.definition == "By hand, with a comma."


def test_a_bad_reply_is_asked_for_again(describe, tmp_path):
    replies = ["No.", json.dumps(sentences(hand="The hand moves.")), json.dumps(sentences())]
    code, actions = describe(
        "--classes",
        "clap",
        "--out",
        tmp_path,
        plan=lambda r: good(r) if action_in(r) == PROBE else Answer(replies.pop(0)),
    )
    assert (code, actions) == (0, ["clap"] * 3)


def test_nothing_is_made_up_for_a_class_without_a_usable_reply(describe, tmp_path, capsys):
    words = ("--classes", "clap, jump,clap", "--out", tmp_path)
    code, actions = describe(*words, plan=lambda r: good(r) if action_in(r) != "clap" else Answer("I cannot."))
    assert (code, actions) == (1, ["clap"] * ROUNDS + ["jump"])
    output = capsys.readouterr().out
    assert f"error: clap: no usable reply in {ROUNDS}, the last: no object with definition" in output
    assert "1 of 2 classes are described" in output
    assert [row.name for row in read_rows(tmp_path / FILE)] == ["jump"]


def test_a_budget_stops_before_it_is_overdrawn(describe, tmp_path, capsys):
    words = ("--classes", "clap,jump", "--out", tmp_path, "--budget", "0.0001", "--price", "10,10")
    assert describe(*words) == (1, [])
    assert "raise --budget" in capsys.readouterr().out and not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "ntu60"), "give --out"),
        (("--classes", "clap"), "give --out"),
        (("--classes", " , ", "--out", "{tmp}"), "--classes is ' , '; expected names"),
        (("--data", "nowhere"), "neither a data set that is built in"),
        (("--classes", "clap", "--out", "{tmp}", "--budget", "1"), "give its --price IN,OUT"),
    ],
)
def test_a_wrong_command_is_told(describe, tmp_path, words, message):
    with pytest.raises(ValueError, match=message):
        describe(*(word.format(tmp=tmp_path) for word in words))


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("", "no object with definition"),
        ('{"definition": "Half a', "no object with definition"),
        (json.dumps({"definition": "A person claps both hands."}), "no object with definition"),
        (json.dumps(sentences(hip=None)), "hip is None, which is no text"),
        (json.dumps(sentences(leg=["Leg moves a little."])), "leg is .*, which is no text"),
        (json.dumps(sentences(arm="Arm \ud83d moves a little.")), "arm is .*, which is no text"),
        (json.dumps(sentences(motion="...")), "motion has 1 words, expected 4 to 45"),
        (json.dumps(sentences(motion="so " * 50)), "motion has 50 words"),
        (json.dumps(sentences(foot="The feet stand still there.")), "foot begins with .*, expected 'Foot'"),
        (json.dumps(sentences(motion="Somebody is  doing x.")), "a sentence stands in two fields"),
    ],
)  # fmt: skip
def test_a_reply_that_is_not_whole_is_refused(reply, message):
    with pytest.raises(UnusableReply, match=message):
        texts_in(reply)


@pytest.mark.parametrize("frame", ["{}", "<think>Hm {{}}</think>\n{}", "Sure:\n```json\n{}\n```", '{{"a": {}}}'])
def test_a_whole_reply_is_read_in_any_frame(frame):
    texts = texts_in(frame.format(json.dumps(sentences(foot="Feet  stand\nstill there."))))
    assert texts.parts["foot"] == "Feet stand still there." and texts.motion == "The body is doing x."


def test_the_request_names_what_the_schema_wants():
    two = class_messages(ActionClass("hand {over} a thing", id="1", persons=2))[1].text
    assert "hand {over} a thing" in two and "Two persons take part" in two and "{{" not in two
    assert "Two persons" not in class_messages(ActionClass("clap", id="1"))[1].text
    assert list(class_schema()["properties"]) == list(FIELDS) == list(SENTENCES)
    assert all(f"- {field}: " in two for field in SENTENCES)
