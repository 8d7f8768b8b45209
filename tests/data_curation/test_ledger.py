import threading

import pytest

from data_curation.ledger import Failed, Ledger, Rejected, read_manifest
from ski_lvlm.storage.files import read_jsonl
from ski_lvlm.storage.shards import Shard
from tests.cases.command_case import HANG


@pytest.fixture
def path(tmp_path):
    return tmp_path / "step.jsonl"


@pytest.fixture
def ledger(tmp_path):
    """Opens the step's ledger anew, as a new run does."""
    return lambda **more: Ledger(tmp_path, "step", **more)


def recorder(done, problems=None):
    def work(name):
        done.append(name)
        if name in (problems or {}):
            raise problems[name]
        return {"value": name.upper()}

    return work


def test_done_work_is_not_done_again(path, ledger):
    done = []
    first = ledger().run({"a": "1", "b": "1"}, recorder(done), workers=2)
    second = ledger().run({"a": "1", "b": "1", "c": "1"}, recorder(done), workers=2)
    assert sorted(done) == ["a", "b", "c"]
    assert first["a"] == second["a"]
    assert list(second) == ["a", "b", "c"]
    assert second["c"]["value"] == "C"
    assert len(read_jsonl(path)) == 3


def test_changed_inputs_are_done_again_alone(ledger):
    done = []
    ledger().run({"a": "1", "b": "1"}, recorder(done), workers=1)
    records = ledger().run({"a": "2", "b": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "a"]
    assert records["a"]["key"] == "2"


def test_rejected_is_final_and_failed_is_tried_again(ledger):
    done = []
    problems = {"a": Rejected("torn"), "b": Failed("busy")}
    records = ledger().run({"a": "1", "b": "1", "c": "1"}, recorder(done, problems), workers=1)
    assert [records[name]["status"] for name in "abc"] == ["rejected", "failed", "done"]
    assert records["a"]["reason"] == "torn"
    records = ledger().run({"a": "1", "b": "1", "c": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "c", "b"]
    assert records["b"]["status"] == "done"


def test_lost_output_is_made_again(ledger):
    done = []
    ledger().run({"a": "1"}, recorder(done), workers=1)
    ledger(has_output=lambda record: False).run({"a": "1"}, recorder(done), workers=1)
    assert done == ["a", "a"]


def test_a_line_torn_by_a_kill_costs_that_clip_only(path, ledger):
    done = []
    ledger().run({"a": "1", "b": "1"}, recorder(done), workers=1)
    path.write_bytes(path.read_bytes()[:-20])
    records = ledger().run({"a": "1", "b": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "b"]
    assert {record["status"] for record in records.values()} == {"done"}
    assert [record["name"] for record in read_jsonl(path)] == ["a", "b"]


def test_an_error_stops_the_run_but_what_had_begun_is_kept(path, ledger):
    done = []
    keys = {f"clip{i:02}": "1" for i in range(50)}
    with pytest.raises(OSError, match="disk full"):
        ledger().run(keys, recorder(done, {"clip03": OSError("disk full")}), workers=2)
    assert len(done) < 12
    assert {record["name"] for record in read_jsonl(path)} == set(done) - {"clip03"}


def test_only_so_many_clips_at_a_time(ledger):
    busy, most, lock, three = set(), [], threading.Lock(), threading.Barrier(3, timeout=HANG)

    def work(name):
        with lock:
            busy.add(name)
            most.append(len(busy))
        three.wait()
        with lock:
            busy.remove(name)
        return {}

    ticks = []
    ledger().run({str(i): "1" for i in range(30)}, work, workers=3, progress=lambda: ticks.append(1))
    assert max(most) == 3
    assert len(ticks) == 30


def test_earlier_settings_are_remembered(ledger):
    done = []
    for key in ("1", "2", "1"):
        records = ledger().run({"a": key}, recorder(done), workers=1)
        assert records["a"]["key"] == key
    assert done == ["a", "a"]


def test_an_output_on_the_disk_is_that_of_the_latest_settings_alone(ledger):
    done = []
    for key in ("1", "2", "1"):
        ledger(has_output=lambda record: True).run({"a": key}, recorder(done), workers=1)
    assert done == ["a", "a", "a"]


def test_what_is_not_enough_any_more_is_done_again_and_a_failure_then_keeps_the_old(ledger):
    done = []
    ledger().run({"a": "1", "b": "1"}, recorder(done), workers=1)
    records = ledger().run(
        {"a": "1", "b": "1"},
        recorder(done, {"a": Failed("busy")}),
        workers=1,
        enough=lambda record: record["name"] == "b",
    )
    assert done == ["a", "b", "a"]
    assert [records[name]["status"] for name in "ab"] == ["done", "done"]


def test_clips_not_begun_are_open(ledger):
    ledger().run({"a": "1"}, recorder([]), workers=1)
    assert [r["status"] for r in ledger().records({"a": "1", "b": "1", "c": "1"}).values()] == ["done", "open", "open"]


def test_a_reject_keeps_what_it_cost(ledger):
    records = ledger().run({"a": "1"}, recorder([], {"a": Rejected("nothing", requests=3)}), workers=1)
    assert (records["a"]["status"], records["a"]["requests"]) == ("rejected", 3)


def test_shards_write_apart_and_read_together(ledger, tmp_path):
    done = []
    for index in (1, 2):
        ledger(shard=Shard(index, 2)).run({f"clip{index}": "1"}, recorder(done), workers=1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["step.1-of-2.jsonl", "step.2-of-2.jsonl"]
    ledger().run({"clip1": "1", "clip2": "1", "clip3": "1"}, recorder(done), workers=1)
    assert done == ["clip1", "clip2", "clip3"]
    assert [record["name"] for record in read_manifest(tmp_path, "step")] == done
