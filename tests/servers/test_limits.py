"""Parameters that servers refuse: requests are sent again without them, later ones at once."""

import json

import pytest

from eval.judges.llm_judge import LlmJudge
from eval.judges.rubrics import OWN
from eval.judges.score_reading import SampledScore
from ski_lvlm.servers.client import Busy, ChatClient, ChatRequest, Message, Refused
from ski_lvlm.servers.limits import refused_parameter, without_system
from tests.cases.llm_server import Answer, chat_double

pytestmark = pytest.mark.slow

RULES, QUESTION = Message("Be brief.", role="system"), Message("What is this?")
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
FIELDS = {"Q": "what?", "A": "A man waves.", "pred": "A man waves."}
both_protocols = pytest.mark.parametrize("protocol", ["openai", "ollama"])


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST", "OLLAMA_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def client_of(double, protocol="openai", **settings):
    url = double.url if protocol == "ollama" else f"{double.url}/v1"
    return ChatClient(f"{protocol}:llama3.1", base_url=url, **{"attempts": 2, "max_wait": 0.01, **settings})


def roles(double):
    return [[message["role"] for message in request["messages"]] for request in double.requests]


NO_SYSTEM = {
    "vLLM, Gemma 2": (400, {"object": "error", "message": "System role not supported", "code": 400}),
    "Mistral": (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    "Mistral 7B": (400, {"message": "Only user and assistant roles are supported!"}),
    "o1": (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    "Google": (400, [{"error": {"message": "Developer instruction is not enabled for models/gemma-3-4b-it"}}]),
    "Anthropic": (400, 'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter'),
    "pydantic": (422, {"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "expected 'user', not 'system'"}]}),
    "llama.cpp": (500, {"error": {"code": 500, "message": "Jinja Exception: System role not supported"}}),
    "TGI": (422, {"error": "Template error: syntax error: System role not supported", "error_type": "template_error"}),
    "LM Studio": (400, {"error": 'Error rendering prompt with jinja template: "Only user and assistant roles"'}),
    "LM Studio, status 200": (200, {"error": 'Error rendering prompt with jinja template: "Only user roles"'}),
}  # fmt: skip


@both_protocols
@pytest.mark.parametrize("server", NO_SYSTEM)
def test_rules_stand_before_the_question_where_no_system_role_is_known(protocol, server):
    status, refusal = NO_SYSTEM[server]

    def plan(request):
        if any(message["role"] == "system" for message in request["messages"]):
            body = {"error": {"message": refusal}} if isinstance(refusal, str) else refusal
            return Answer(status=status, body=json.dumps(body).encode())
        return Answer()

    if protocol == "ollama" and isinstance(refusal, list):
        pytest.skip("a list of errors is Google's alone")
    with chat_double(plan=plan) as double:
        client = client_of(double, protocol)
        replies = [client.chat(ChatRequest([RULES, QUESTION])) for _ in range(2)]
        assert roles(double) == [["system", "user"], ["user"], ["user"]]
        assert double.requests[-1]["messages"][0]["content"] == "Be brief.\n\nWhat is this?"
    assert [reply.omitted for reply in replies] == [("system",)] * 2


def test_pictures_stay_with_the_question():
    question = Message("What?", images=(b"\x89PNG\r\n\x1a\n",))
    assert without_system([RULES, question]) == [Message("Be brief.\n\nWhat?", images=question.images)]
    assert without_system([RULES]) == [Message("Be brief.")]
    turns = [QUESTION, Message("A cat.", role="assistant"), Message("Sure?")]
    assert without_system([RULES, *turns])[1:] == turns[1:] and without_system(turns) == turns


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 500])
def test_a_refusal_of_the_question_itself_teaches_nothing(status):
    with chat_double(plan=lambda _: Answer(status=status, body=b"a role play about a system is not allowed")) as double:
        client = client_of(double, attempts=1)
        for _ in range(2):
            with pytest.raises((Refused, Busy), match="role play"):
                client.chat(ChatRequest([RULES, QUESTION]))
        assert roles(double) == [["system", "user"], ["user"]] * 2


def test_a_server_may_refuse_several_things_one_after_another():
    def plan(request):
        if "max_tokens" in request:
            refusal = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
        elif "response_format" in request:
            refusal = "response_format json_schema is not supported"
        elif request["messages"][0]["role"] == "system":
            refusal = "System role not supported"
        else:
            return Answer("4")
        return Answer(status=400, body=json.dumps({"error": {"message": refusal}}).encode())

    with chat_double(plan=plan) as double:
        client = client_of(double)
        replies = [client.chat(ChatRequest([RULES, QUESTION], schema=SCHEMA, max_tokens=9)) for _ in range(2)]
    assert len(double.requests) == 4 + 1 and double.requests[-1]["max_completion_tokens"] == 9
    assert replies[0].omitted == replies[1].omitted == ("response_format", "system")


def test_ollama_of_old_takes_no_schema():
    refusal = b'{"error": "json: cannot unmarshal object into Go struct field ChatRequest.format of type string"}'
    with chat_double() as double:
        double.plan = lambda r: Answer(status=400, body=refusal) if r.get("format") else Answer("4")
        client = client_of(double, "ollama")
        assert [client.chat(ChatRequest([QUESTION], schema=SCHEMA)).text for _ in range(2)] == ["4", "4"]
        assert [bool(request.get("format")) for request in double.requests] == [True, False, False]


UNKEPT = {
    "Groq": {"message": "Failed to generate JSON. See 'failed_generation' for more details.",
             "code": "json_validate_failed", "failed_generation": ""},
    "words alone": {"message": "Failed to validate JSON. Please adjust your prompt."},
    "another": {"message": "The model output did not match the schema"},
}  # fmt: skip


@pytest.mark.parametrize("server", UNKEPT)
def test_a_schema_that_was_not_kept_once_is_left_out_once(server):
    failure = Answer(status=400, body=json.dumps({"error": UNKEPT[server]}).encode())
    with chat_double() as double:
        double.plan = lambda request: failure if len(double.requests) == 1 else Answer("4")
        client = client_of(double)
        replies = [client.chat(ChatRequest([QUESTION], schema=SCHEMA)) for _ in range(2)]
    assert ["response_format" in request for request in double.requests] == [True, False, True]
    assert [(reply.text, reply.omitted) for reply in replies] == [("4", ("response_format",)), ("4", ())]


def test_what_the_model_wrote_against_the_schema_is_read():
    error = {"message": "Failed to generate JSON", "code": "json_validate_failed", "failed_generation": "Score: 4"}
    with chat_double(plan=lambda _: Answer(status=400, body=json.dumps({"error": error}).encode())) as double:
        reply = client_of(double).chat(ChatRequest([QUESTION], schema=SCHEMA))
        assert (reply.text, reply.cut, len(double.requests)) == ("Score: 4", False, 1)
        assert LlmJudge(client_of(double))(OWN.metrics[0], FIELDS).score == 4


NO_ROOM = (
    b'{"error": {"message": "Could not finish the message because max_tokens or model output limit was reached."}}'
)


def test_no_room_for_an_answer_is_a_reply_that_was_cut():
    with chat_double(plan=lambda _: Answer(status=400, body=NO_ROOM)) as double:
        client = client_of(double)
        assert client.ping().name == "openai:llama3.1", "a sign of life"
        reply = client.chat(ChatRequest([QUESTION]))
        assert (reply.text, reply.cut) == ("", True)
        judgement = LlmJudge(client)(OWN.metrics[0], FIELDS)
    assert judgement.score is None and "raise it" in judgement.reason


def test_a_ping_has_the_shape_of_the_questions_to_come():
    with chat_double() as double:
        judge = LlmJudge(client_of(double), reading=SampledScore(temperature=0.5, max_tokens=4000))
        judge.ping()
        (request,) = double.requests
        assert request["messages"][0]["content"] == OWN.metrics[0].system and request["max_tokens"] == 4000
        assert request["temperature"] == 0.5 and request["response_format"]["json_schema"]["schema"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("refused", [{"schema"}, {"system"}, {"schema", "system"}], ids=sorted)
def test_a_ping_finds_out_what_a_refusal_without_words_is_about(status, refused):
    def plan(request):
        used = {"schema"} if "response_format" in request else set()
        used |= {"system"} if request["messages"][0]["role"] == "system" else set()
        return Answer(status=status, body=b"Bad Request") if used & refused else Answer('{"score": 4}')

    with chat_double(plan=plan) as double:
        judge = LlmJudge(client_of(double, attempts=1))
        judge.ping()
        double.requests.clear()
        judgement = judge(OWN.metrics[0], FIELDS)
        assert judgement.score == 4 and len(double.requests) == 1
    assert judgement.last.omitted == tuple(sorted({"schema": "response_format"}.get(name, name) for name in refused))


@pytest.mark.slow
@pytest.mark.parametrize(("status", "requests"), [(400, 4), (500, 4), (401, 1), (402, 1), (429, 1), (503, 1)])
def test_a_ping_that_is_refused_for_good_tells_the_first_refusal(status, requests):
    with chat_double() as double:
        double.plan = lambda _: Answer(status=status, body=f"refusal {len(double.requests)}".encode())
        with pytest.raises((Refused, Busy), match="refusal 1|the key or the permission"):
            LlmJudge(client_of(double)).ping()
        assert len(double.requests) == requests


def test_a_template_without_a_place_for_rules_is_noticed_by_the_ping():
    with chat_double(template="{{ .Prompt }}") as double:
        client = client_of(double, "ollama")
        client.ping()
        client.chat(ChatRequest([RULES, QUESTION]))
        assert roles(double) == [["user"]]
    with chat_double(template="{{ range .Messages }}{{ .Content }}{{ end }}") as double:
        client = client_of(double, "ollama")
        client.ping()
        client.chat(ChatRequest([RULES, QUESTION]))
        assert roles(double) == [["system", "user"]]


def test_a_model_of_ollama_that_sees_nothing_is_refused_for_pictures():
    probe = ChatRequest([Message("Say yes.", images=(b"\x89PNG\r\n\x1a\n",))])
    with chat_double(capabilities=["completion"]) as double:
        with pytest.raises(Refused, match="takes no pictures"):
            client_of(double, "ollama").ping(probe)
        client_of(double, "ollama").ping()


@pytest.mark.parametrize(
    ("refusal", "name"),
    [
        ("max_tokens is too large: 9000", None),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("the seed phrase must not be told", None),
        ("System overloaded, try again", None),
        ("This role model teaches a system", "system"),
    ],
)
def test_which_parameter_a_refusal_names(refusal, name):
    assert refused_parameter({"system", "seed", "max_tokens", "temperature", "response_format"}, refusal) == name
