import json

import pytest

from data_curation.ledger import Failed, Rejected
from data_curation.make_qa import ROUNDS, Pair, ask_pairs, fault, load_qa, parse_pairs, plan, template_pairs
from data_curation.prompts import QA_SCHEMA, QUESTIONS
from ski_lvlm.chat_client import ChatClient, ChatError
from tests.llm_server import Answer, chat_double

CAPTION = "A person is drinking water. The right hand rises to the head and stays there; the legs hardly move."
GOOD = {"kind": "action", "question": "What is being done?", "answer": "The person is drinking water."}
OTHER = {"kind": "motion", "question": "How does the hand move?", "answer": "The right hand rises to the head."}


def reply(*pairs):
    return json.dumps({"pairs": list(pairs)})


@pytest.fixture
def asked():
    """Ask a double for two pairs; its replies are given in order, the last one again and again."""

    def ask(*texts, count=2, attempts=1):
        texts = list(texts)
        with chat_double(plan=lambda request: Answer(texts.pop(0) if len(texts) > 1 else texts[0])) as double:
            client = ChatClient("openai:llama3.1", base_url=double.url + "/v1", attempts=attempts)
            return ask_pairs(client, name="clip", caption=CAPTION, count=count), double.requests

    return ask


@pytest.mark.parametrize("name", [f"clip {i}" for i in range(20)])
def test_templates_name_the_action_first_and_answer_shortly(name):
    first, second = template_pairs(name, caption=CAPTION, count=2)
    assert first.kind in ("summary", "action")
    assert first.answer == "A person is drinking water."
    assert (second.kind, second.answer) == ("detail", CAPTION)
    assert first.question in QUESTIONS[first.kind]


def test_six_templates_are_half_summaries_half_details_and_never_the_same_question():
    pairs = template_pairs("clip", caption=CAPTION, count=6)
    assert len({pair.question for pair in pairs}) == 6
    assert sum(pair.kind in ("summary", "action") for pair in pairs) == 3
    motion = next(pair for pair in pairs if pair.kind == "motion")
    assert motion.answer == "The right hand rises to the head and stays there; the legs hardly move."


def test_templates_are_the_same_every_time_but_vary_over_clips():
    assert template_pairs("a", caption=CAPTION, count=4) == template_pairs("a", caption=CAPTION, count=4)
    questions = {template_pairs(f"clip {i}", caption=CAPTION, count=1)[0].question for i in range(60)}
    assert len(questions) == 10


def test_a_caption_of_one_sentence_has_no_motion_to_ask_about():
    pairs = template_pairs("clip", caption="A person claps", count=6)
    assert "motion" not in {pair.kind for pair in pairs}
    assert all(pair.answer for pair in pairs)
    assert pairs[0].answer == "A person claps."


def test_wordings_run_out_rather_than_repeat():
    pairs = template_pairs("clip", caption=CAPTION, count=100)
    assert len(pairs) == len({pair.question for pair in pairs}) <= 20
    assert len(plan("clip", count=100)) == 100


REPLIES = {
    "as asked": reply(GOOD, OTHER),
    "in a fence": f"Of course!\n```json\n{reply(GOOD, OTHER)}\n```\nAnything else?",
    "a bare list": json.dumps([GOOD, OTHER]),
    "line by line": f"{json.dumps(GOOD)}\n{json.dumps(OTHER)}",
    "cut off": reply(GOOD, OTHER, GOOD)[:-30],
    "braces before": "{sure} {" + reply(GOOD, OTHER),
    "other keys": json.dumps([{"Q": p["question"], "A": p["answer"], "kind": p["kind"]} for p in (GOOD, OTHER)]),
}


@pytest.mark.parametrize("text", REPLIES.values(), ids=REPLIES.keys())
def test_pairs_are_found_in_whatever_a_model_wraps_them(text):
    assert parse_pairs(text)[:2] == [Pair(**GOOD), Pair(**OTHER)]


@pytest.mark.parametrize(
    "text", ["", "No.", "{", '{"question": 3, "answer": "x"}', "[[[[", '{"question": "x"}', "{" * 5000]
)
def test_nonsense_holds_no_pair(text):
    assert parse_pairs(text) == []


def test_an_unknown_kind_becomes_a_summary():
    assert parse_pairs(json.dumps(GOOD | {"kind": "poem"}))[0].kind == "summary"


FAULTS = {
    "an empty question or answer": Pair("action", "What?", ""),
    "it speaks of a caption, an image or a placeholder": Pair("action", "What is in the image?", "Drinking water."),
    "not English": Pair("action", "Что делает человек?", "Человек пьёт воду, drinking water."),
    "the answer says what the caption does not": Pair("action", "What is worn?", "A green hat and leather boots."),
    "the same question again": Pair("action", "what IS being done?", "The person is drinking water."),
}


@pytest.mark.parametrize(("reason", "pair"), FAULTS.items(), ids=FAULTS.keys())
def test_bad_pairs_are_told_apart_by_reason(reason, pair):
    assert fault(pair, caption=CAPTION, taken=[Pair(**GOOD)]) == reason
    assert fault(Pair(**GOOD), caption=CAPTION) is None


def test_a_placeholder_in_a_question_is_a_fault():
    assert "placeholder" in fault(Pair("action", "What? <video>", "Drinking water."), caption=CAPTION)


def test_a_model_is_asked_once_if_it_answers_well(asked):
    written, requests = asked(reply(GOOD, OTHER))
    assert written.pairs == [Pair(**GOOD), Pair(**OTHER)]
    assert (written.requests, written.rejects) == (1, [])
    assert (written.prompt_tokens, written.completion_tokens) == (3, 2)
    assert requests[0]["response_format"]["json_schema"]["schema"] == QA_SCHEMA
    assert requests[0]["temperature"] == 0
    assert CAPTION in requests[0]["messages"][1]["content"]


def test_missing_pairs_are_asked_for_again_and_rejects_are_kept(asked):
    bad = GOOD | {"answer": "The caption says that water is drunk."}
    written, requests = asked(reply(bad, OTHER), "no", reply(GOOD))
    assert written.pairs == [Pair(**OTHER), Pair(**GOOD)]
    assert [reject["reason"] for reject in written.rejects] == [
        "it speaks of a caption, an image or a placeholder",
        "no pair in the reply",
    ]
    assert written.requests == len(requests) == 3
    assert (written.prompt_tokens, written.completion_tokens) == (9, 6)
    assert requests[1]["temperature"] > 0


def test_patience_is_bounded(asked):
    written, requests = asked(reply(GOOD))
    assert written.pairs == [Pair(**GOOD)]
    assert len(requests) == ROUNDS
    with pytest.raises(Rejected, match=f"no usable pair in {ROUNDS} replies; the last: no pair in the reply"):
        asked("I cannot do that.")


def write_with(plan):
    with chat_double(plan=plan) as double:
        writer = load_qa("openai:llama3.1", pairs_per_clip=1, base_url=double.url + "/v1")
        return writer.write("clip", CAPTION), double.requests


def after_ping(answer):
    """A server that greets politely (`ping`) and then answers so."""
    seen = []

    def plan(request):
        seen.append(request)
        pinged = "Say yes." in request["messages"][0]["content"]
        return Answer("yes") if pinged else answer

    return plan


def test_a_refusal_of_one_clip_rejects_it_but_a_refusal_of_all_stops_the_run():
    no = Answer(status=400, body=b'{"error": {"message": "content policy"}}')
    with pytest.raises(Rejected, match="content policy"):
        write_with(after_ping(no))
    calls = []
    with pytest.raises(ChatError, match="key or the permission"):
        write_with(lambda request: calls.append(1) or (Answer("yes") if len(calls) == 1 else Answer(status=401)))


def test_what_may_pass_is_left_to_the_next_run(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(Failed, match="BadReply"):
        write_with(after_ping(Answer(body=b'{"choices": [')))


def test_the_papers_model_is_asked_at_openai_and_needs_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ChatError, match="openai:gpt-3.5-turbo needs a key"):
        load_qa("gpt-3.5-turbo", pairs_per_clip=2)
    with pytest.raises(ValueError, match="--pairs_per_clip is 0"):
        load_qa("template", pairs_per_clip=0)


def test_the_offline_writer_makes_as_many_pairs_as_asked():
    writer = load_qa("template", pairs_per_clip=3)
    assert (writer.model, writer.pairs_per_clip) == ("template", 3)
    assert len(writer.write("clip", CAPTION).pairs) == 3


def test_a_real_server_writes_pairs_or_is_rejected_within_bounds(llm_url):
    client = ChatClient("openai:smollm2", base_url=llm_url, timeout=120.0)
    try:
        written = ask_pairs(client, name="clip", caption=CAPTION, count=1)
    except Rejected as reason:
        assert f"in {ROUNDS} replies" in str(reason)
    else:
        assert len(written.pairs) == 1
        assert fault(written.pairs[0], caption=CAPTION) is None
        assert written.completion_tokens > 0
