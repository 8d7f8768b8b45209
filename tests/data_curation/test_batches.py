import json

import pytest

from data_curation.asking.batches import BatchQueue, StillRunning, open_batches
from data_curation.asking.budget import BudgetSpent
from data_curation.asking.prices import Price
from data_curation.ledger import Ledger, read_manifest
from data_curation.questions.make_qa import CaptionedClip, model_writer
from ski_lvlm.servers.client import ChatClient, ChatError
from tests.cases.asking_case import CAPTION, GOOD, OTHER, asker_of, reply
from tests.cases.batch_double import Batches, batch_double
from tests.cases.llm_server import Answer

pytestmark = pytest.mark.slow

NAMES = [f"clip{i}" for i in range(5)]


@pytest.fixture
def curate(tmp_path, monkeypatch):
    """Write pairs of five clips through a store of batches, as one run of a command does."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def run(store, plan=lambda body: Answer(reply(GOOD, OTHER)), *, count=2, poll=0.001, requests=100, **money):
        with batch_double(store, plan=plan) as double:
            client = ChatClient("openai:llama3.1", base_url=f"{double.url}/v1", attempts=2)
            desk = BatchQueue(client, tmp_path, requests=requests, poll=poll)
            asker = asker_of(double.url, tmp_path, send=desk.send, **money)
            writer, ledger = model_writer(asker), Ledger(tmp_path, "qa")

            def work(name):
                return writer.write(CaptionedClip(name, CAPTION), count, ())._asdict()

            keys = dict.fromkeys(NAMES, "key")
            desk.work_off(ledger, keys, work, asker=asker, enough=lambda record: True, progress=lambda: None)
            return ledger.records(keys), double.requests

    return run


def statuses(records):
    return [record["status"] for record in records.values()]


@pytest.mark.slow
def test_all_clips_are_answered_by_one_batch(curate, tmp_path):
    store = Batches(patience=3)
    records, requests = curate(store)
    assert statuses(records) == ["done"] * 5
    assert len(store.batches) == 1 and len(requests) == 5
    assert len(read_manifest(tmp_path, "replies")) == 5
    assert [r["status"] for r in read_manifest(tmp_path, "batches")] == ["intended", "submitted", "collected"]
    assert all("response_format" in body for body in requests)


@pytest.mark.slow
def test_many_requests_are_several_batches(curate):
    store = Batches()
    curate(store, requests=2)
    assert len(store.batches) == 3


@pytest.mark.slow
def test_missing_pairs_go_into_further_batches_within_bounds(curate):
    store = Batches()
    records, requests = curate(store, lambda body: Answer(reply(GOOD)))
    assert len(store.batches) == 3 and len(requests) == 15
    assert statuses(records) == ["done"] * 5
    records, _ = curate(Batches(), lambda body: Answer("never asked"))
    assert statuses(records) == ["done"] * 5


@pytest.mark.slow
def test_a_run_that_does_not_wait_is_collected_by_the_next(curate):
    store = Batches(patience=2)
    with pytest.raises(StillRunning, match="in_progress: 0 of 0|run the same command again to collect"):
        curate(store, poll=None)
    records, requests = curate(store, poll=None)
    assert statuses(records) == ["done"] * 5
    assert len(store.batches) == 1 and len(requests) == 5


@pytest.mark.slow
def test_a_submission_whose_answer_was_lost_is_not_paid_twice(curate):
    store = Batches(lost_answers=1)
    records, _ = curate(store)
    assert statuses(records) == ["done"] * 5
    assert len(store.batches) == 1


@pytest.mark.slow
def test_killed_between_submitting_and_noting_it_the_batch_is_found_by_its_mark(curate, tmp_path):
    store = Batches(patience=9)
    with pytest.raises(StillRunning):
        curate(store, poll=None)
    lines = (tmp_path / "batches.jsonl").read_text().splitlines()
    (tmp_path / "batches.jsonl").write_text(lines[0] + "\n")  # the line that says "submitted" never came
    store.patience = 1
    records, _ = curate(store, poll=None)
    assert statuses(records) == ["done"] * 5 and len(store.batches) == 1


@pytest.mark.slow
def test_killed_before_submitting_the_requests_go_out_with_the_next_run(curate, tmp_path):
    store = Batches(patience=9)
    with pytest.raises(StillRunning):
        curate(store, poll=None)
    lines = (tmp_path / "batches.jsonl").read_text().splitlines()
    (tmp_path / "batches.jsonl").write_text(lines[0] + "\n")
    store.batches.clear()
    store.patience = 1
    records, _ = curate(store, poll=None)
    assert statuses(records) == ["done"] * 5
    assert "never submitted" in [r["status"] for r in read_manifest(tmp_path, "batches")]


@pytest.mark.slow
def test_requests_that_a_batch_left_out_go_into_the_next(curate):
    store = Batches(never_begun=2)
    records, _ = curate(store)
    assert statuses(records) == ["done"] * 5 and len(store.batches) == 2


@pytest.mark.slow
def test_a_clip_that_no_batch_answers_fails_and_one_that_is_refused_is_rejected(curate):
    def plan(body):
        if "Say yes." in json.dumps(body):
            return Answer("yes")
        return Answer(status=500, body=b'{"error": "x"}')

    records, _ = curate(Batches(), plan)
    assert statuses(records) == ["failed"] * 5
    assert "3 batches ended without an answer" in records["clip0"]["reason"]

    def refuse(body):
        said = json.dumps(body)
        return Answer("yes") if "Say yes." in said else Answer(status=400, body=b'{"error": "policy"}')

    records, _ = curate(Batches(), refuse)
    assert statuses(records) == ["rejected"] * 5


def test_a_batch_that_fails_as_a_whole_stops_the_run_with_its_reason(curate):
    with pytest.raises(ChatError, match="too many tokens; try fewer with --batch_requests"):
        curate(Batches(ends_as="failed"))


@pytest.mark.slow
def test_a_failed_batch_does_not_lock_the_folder(curate, tmp_path):
    with pytest.raises(ChatError):
        curate(Batches(ends_as="failed"), requests=3)
    assert {r["status"] for r in read_manifest(tmp_path, "batches")} == {"intended", "submitted", "lost"}
    store = Batches()
    records, _ = curate(store, requests=2)
    assert statuses(records) == ["done"] * 5 and len(store.batches) == 3
    assert open_batches(tmp_path, model="openai:llama3.1") == {}


@pytest.mark.parametrize("requests", [0, -1, 50_001])
def test_a_batch_of_a_size_that_is_not_taken_is_refused(curate, requests):
    with pytest.raises(ValueError, match="--batch_requests is .*; expected 1 to 50000"):
        curate(Batches(), requests=requests)


@pytest.mark.slow
def test_only_what_the_budget_pays_is_submitted(curate, tmp_path):
    store = Batches()
    price = Price(0.0, 1e6)  # a request may need 320 tokens, and needs 2
    with pytest.raises(BudgetSpent):
        curate(store, price=price, budget=700.0)
    assert len(read_manifest(tmp_path, "replies")) == 2
    records = Ledger(tmp_path, "qa").records(dict.fromkeys(NAMES, "key"))
    assert len(store.batches) == 1
    assert set(statuses(records)) <= {"done", "open"}


def test_only_openais_protocol_has_batches():
    with pytest.raises(ChatError, match="only OpenAI's protocol has a Batch API"):
        ChatClient("ollama:llama3.1").batches()


def result(name, text="fine", **entry):
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    answered = {"status_code": 200, "body": {"model": "m", "choices": [message]}}
    return json.dumps({"custom_id": name, "response": answered, "error": None, **entry}, ensure_ascii=False)


def results_of(*lines, ends="\n", **files):
    """What a client reads out of a file of results."""
    ended = {"object": "batch", "id": "b", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ended |= {"status": "completed", "created_at": 0, "input_file_id": "i", "output_file_id": "out", **files}
    content = b"".join((line if isinstance(line, bytes) else line.encode()) + ends.encode() for line in lines)
    store = Batches(files={"out": content.decode("latin-1")}, batches={"b": ended}, encoding="latin-1")
    with batch_double(store) as double:
        return list(ChatClient("openai:llama3.1", base_url=f"{double.url}/v1").batches().results("b"))


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_ends_of_lines_inside_a_reply_are_no_ends_of_it(mark, ends):
    text = f"one{mark}two"
    lines = [result("a", text).replace(json.dumps(mark)[1:-1], mark), result("b")]
    assert [(name, reply.text) for name, reply in results_of(*lines, ends=ends)] == [("a", text), ("b", "fine")]


DAMAGED = ["{", b"\xff\xfe\x00", "[]", "3", '{"response": null}', "null", '{"custom_id": "a", "resp']


@pytest.mark.parametrize("line", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_costs_itself_alone(line, caplog):
    assert [name for name, _ in results_of(result("a"), line, "", result("c"))] == ["a", "c"]
    assert caplog.text.count("which is skipped") == 1


ODD = [
    {"response": None, "error": {"message": "expired"}},
    {"response": "text"},
    {"response": {"status_code": 200, "body": None}},
    {"response": {"status_code": 200, "body": {"choices": []}}},
    {"response": {"status_code": "odd", "body": {}}},
    {"response": {"status_code": 500, "body": {"error": "x"}}},
]


@pytest.mark.parametrize("entry", ODD, ids=range(len(ODD)))
def test_a_request_without_an_answer_goes_into_the_next_batch(entry):
    (first, reply), (_, error), _ = results_of(result("a"), result("b", **entry), result("c"))
    assert (first, reply.text) == ("a", "fine") and isinstance(error, ChatError) and error.is_transient


def test_an_error_inside_an_answer_is_told_and_what_was_written_against_the_schema_is_read():
    broke = {"status_code": 200, "body": {"error": {"message": "No credits", "code": 402}}}
    unkept = {"message": "x", "code": "json_validate_failed", "failed_generation": "Score: 4"}
    refused = {"status_code": 400, "body": {"error": unkept}}
    (_, error), (_, reply) = results_of(result("a", response=broke), result("b", response=refused))
    assert "402: No credits" in str(error) and not error.is_transient and reply.text == "Score: 4"


@pytest.mark.parametrize(
    "call",
    [lambda api: api.state("b"), lambda api: list(api.results("b")), lambda api: api.submit({"a": {}}, mark="m")],
)
def test_an_error_with_status_200_instead_of_a_batch_is_told(call):
    store = Batches(batches={"b": {"error": {"message": "No credits", "code": 402}}}, refusal={"error": "No credits"})
    with batch_double(store) as double, pytest.raises(ChatError, match="No credits") as raised:
        call(ChatClient("openai:llama3.1", base_url=f"{double.url}/v1").batches())
    assert not raised.value.is_transient


@pytest.mark.slow
def test_a_refusal_at_the_collecting_loses_no_batch(curate, tmp_path):
    store = Batches(patience=9)
    with pytest.raises(StillRunning):
        curate(store, poll=None)
    number = next(iter(store.batches))
    batch = store.batches[number]
    store.batches[number] = {"id": None, "error": {"message": "wrong key", "code": 401}}
    with pytest.raises(ChatError, match="check OPENAI_API_KEY"):
        curate(store, poll=None)
    store.batches[number], store.patience = batch, 1
    records, requests = curate(store, poll=None)
    assert statuses(records) == ["done"] * 5 and len(store.batches) == 1 and len(requests) == 5


def test_an_error_instead_of_a_file_of_results_loses_none_of_them():
    with pytest.raises(ChatError, match="No credits"):
        results_of('{"error": {"message": "No credits", "code": 402}}')
