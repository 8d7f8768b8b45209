import threading
import time

import pytest

from data_curation.ledger import Failed, FolderBusy, Ledger, Rejected, file_digest, only_process
from ski_lvlm.files import read_jsonl


@pytest.fixture
def path(tmp_path):
    return tmp_path / "step.jsonl"


def recorder(done, problems=None):
    def work(name):
        done.append(name)
        if name in (problems or {}):
            raise problems[name]
        return {"value": name.upper()}

    return work


def test_done_work_is_not_done_again(path):
    done = []
    first = Ledger(path).run({"a": "1", "b": "1"}, recorder(done), workers=2)
    second = Ledger(path).run({"a": "1", "b": "1", "c": "1"}, recorder(done), workers=2)
    assert sorted(done) == ["a", "b", "c"]
    assert first["a"] == second["a"]
    assert list(second) == ["a", "b", "c"]
    assert second["c"]["value"] == "C"
    assert len(read_jsonl(path)) == 3


def test_changed_inputs_are_done_again_alone(path):
    done = []
    Ledger(path).run({"a": "1", "b": "1"}, recorder(done), workers=1)
    records = Ledger(path).run({"a": "2", "b": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "a"]
    assert records["a"]["key"] == "2"


def test_rejected_is_final_and_failed_is_tried_again(path):
    done = []
    problems = {"a": Rejected("torn"), "b": Failed("busy")}
    records = Ledger(path).run({"a": "1", "b": "1", "c": "1"}, recorder(done, problems), workers=1)
    assert [records[name]["status"] for name in "abc"] == ["rejected", "failed", "done"]
    assert records["a"]["reason"] == "torn"
    records = Ledger(path).run({"a": "1", "b": "1", "c": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "c", "b"]
    assert records["b"]["status"] == "done"


def test_lost_output_is_made_again(path):
    done = []
    Ledger(path).run({"a": "1"}, recorder(done), workers=1)
    Ledger(path, has_output=lambda name: False).run({"a": "1"}, recorder(done), workers=1)
    assert done == ["a", "a"]


def test_a_line_torn_by_a_kill_costs_that_clip_only(path):
    done = []
    Ledger(path).run({"a": "1", "b": "1"}, recorder(done), workers=1)
    path.write_bytes(path.read_bytes()[:-20])
    records = Ledger(path).run({"a": "1", "b": "1"}, recorder(done), workers=1)
    assert done == ["a", "b", "b"]
    assert {record["status"] for record in records.values()} == {"done"}
    assert [record["name"] for record in read_jsonl(path)] == ["a", "b"]


def test_an_error_stops_the_run_but_what_had_begun_is_kept(path):
    done = []
    keys = {f"clip{i:02}": "1" for i in range(50)}
    with pytest.raises(OSError, match="disk full"):
        Ledger(path).run(keys, recorder(done, {"clip03": OSError("disk full")}), workers=2)
    assert len(done) < 12
    assert {record["name"] for record in read_jsonl(path)} == set(done) - {"clip03"}


def test_only_so_many_clips_at_a_time(path):
    busy, most, lock = set(), [], threading.Lock()

    def work(name):
        with lock:
            busy.add(name)
            most.append(len(busy))
        time.sleep(0.002)
        with lock:
            busy.remove(name)
        return {}

    ticks = []
    Ledger(path).run({str(i): "1" for i in range(30)}, work, workers=3, progress=lambda: ticks.append(1))
    assert max(most) == 3
    assert len(ticks) == 30


def test_two_processes_in_one_folder_are_refused(tmp_path):
    import os

    with only_process(tmp_path / "out"):
        with (
            pytest.raises(FolderBusy, match=rf"another process \(pid {os.getpid()}\) is working here"),
            only_process(tmp_path / "out"),
        ):
            pass
        with only_process(tmp_path / "other"):
            pass
    with only_process(tmp_path / "out"):
        pass


def test_a_files_digest_sees_its_length_and_both_ends(tmp_path):
    file, digests = tmp_path / "video", []
    for head, middle, tail in ((b"a", 300_000, b"z"), (b"b", 300_000, b"z"), (b"a", 300_000, b"y"), (b"a", 9, b"z")):
        file.write_bytes(head + bytes(middle) + tail)
        digests.append(file_digest(file))
    assert len(set(digests)) == 4
    file.write_bytes(b"")
    assert file_digest(file)
