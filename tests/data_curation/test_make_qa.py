import pytest

from data_curation.asking.reply_log import ReplyLog
from data_curation.ledger import Rejected
from data_curation.prompts import QUESTIONS, qa_schema
from data_curation.questions.make_qa import (
    KINDS,
    ROUNDS,
    CaptionedClip,
    ask_pairs,
    model_writer,
    plan,
    template_pairs,
    template_writer,
)
from data_curation.questions.pairs import Pair, fault
from tests.cases.asking_case import CAPTION, GOOD, OTHER, asker_of, reply
from tests.cases.llm_server import Answer, chat_double

CLIP = CaptionedClip("clip", CAPTION)
THIRD = {"kind": "detail", "question": "What happens?", "answer": "A person is drinking water with the right hand."}


@pytest.fixture
def asked(tmp_path):
    """Ask a double for two pairs; its replies are given in order, the last one again and again."""

    def ask(*texts, count=2, **more):
        texts = list(texts)
        with chat_double(plan=lambda request: Answer(texts.pop(0) if len(texts) > 1 else texts[0])) as double:
            clip = more.pop("clip", CLIP)
            return ask_pairs(asker_of(double.url, tmp_path), clip, count=count, **more), double.requests

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


@pytest.mark.parametrize("kinds", [("motion",), ("objects", "detail"), ("summary",), KINDS])
def test_only_the_kinds_that_are_wanted_are_planned(kinds):
    assert set(plan("clip", count=14, kinds=kinds)) == set(kinds)
    assert plan("clip", count=0, kinds=kinds) == []


def test_templates_ask_of_no_objects_since_their_captions_measure_none():
    assert {pair.kind for pair in template_pairs("clip", caption=CAPTION, count=6, kinds=("objects", "motion"))} == {
        "motion"
    }


@pytest.mark.slow
def test_a_model_is_asked_once_if_it_answers_well(asked):
    written, requests = asked(reply(GOOD, OTHER))
    assert written.pairs == [Pair(**GOOD), Pair(**OTHER)]
    assert (written.requests, written.rejects) == (1, [])
    assert (written.prompt_tokens, written.completion_tokens) == (3, 2)
    assert requests[0]["response_format"]["json_schema"]["schema"] == qa_schema(plan("clip", count=2))
    assert requests[0]["temperature"] == 0
    assert CAPTION in requests[0]["messages"][1]["content"]
    told = requests[0]["messages"][1]["content"]
    assert "Measured" not in told
    assert [kind for kind in KINDS if f"- {kind}: " in told] == sorted(plan("clip", count=2), key=KINDS.index)


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
    assert len({request["seed"] for request in requests}) == 3  # the same seed would give the same reply again


def test_patience_is_bounded_and_a_reject_keeps_what_it_cost(asked):
    written, requests = asked(reply(GOOD))
    assert written.pairs == [Pair(**GOOD)]
    assert len(requests) == ROUNDS
    with pytest.raises(Rejected, match=f"no usable pair in {ROUNDS} replies; the last: no pair") as rejected:
        asked("I cannot do that.", clip=CaptionedClip("other", CAPTION))
    assert (rejected.value.facts["requests"], rejected.value.facts["prompt_tokens"]) == (ROUNDS, 3 * ROUNDS)
    assert len(rejected.value.facts["rejects"]) == ROUNDS


def test_more_pairs_later_cost_only_the_missing_ones(asked):
    written, requests = asked(reply(GOOD, THIRD), count=3, earlier=[Pair(**GOOD), Pair(**OTHER)])
    assert written.pairs == [Pair(**GOOD), Pair(**OTHER), Pair(**THIRD)]
    assert "Write 1 different" in requests[0]["messages"][1]["content"]
    assert [reject["reason"] for reject in written.rejects] == ["the same question again"]


def test_measured_motion_goes_into_the_prompt_and_answers_may_speak_of_it(asked):
    told = CaptionedClip("clip", "A person is drinking water.", "The right hand rises to the head.")
    written, requests = asked(reply(OTHER), count=1, clip=told)
    assert "Measured on the body's joints: The right hand rises to the head." in requests[0]["messages"][1]["content"]
    assert written.pairs == [Pair(**OTHER)]
    assert fault(Pair(**OTHER), context="A person is drinking water.") is not None


def test_a_killed_clip_is_not_paid_for_again(asked, tmp_path):
    asked(reply(GOOD), "no", "no")
    before = len(ReplyLog(tmp_path).records)
    written, requests = asked("never asked")
    assert (written.pairs, requests, before) == ([Pair(**GOOD)], [], ROUNDS)


def test_writers_say_who_they_are_and_with_which_instructions(tmp_path):
    with chat_double() as double:
        writer = model_writer(asker_of(double.url, tmp_path))
        assert writer.model == "openai:llama3.1"
        assert writer.version != model_writer(asker_of(double.url, tmp_path), kinds=("motion",)).version
    template = template_writer()
    assert (template.model, template.asker) == ("template", None)
    assert len(template.write(CLIP, 3, ()).pairs) == 3


@pytest.mark.slow
def test_a_real_server_writes_pairs_or_is_rejected_within_bounds(llm_url, tmp_path):
    asker = asker_of(llm_url.removesuffix("/v1"), tmp_path)
    try:
        written = ask_pairs(asker, CLIP, count=1)
    except Rejected as reason:
        assert f"in {ROUNDS} replies" in str(reason)
    else:
        assert len(written.pairs) == 1
        assert fault(written.pairs[0], context=CAPTION) is None
        assert written.completion_tokens > 0
