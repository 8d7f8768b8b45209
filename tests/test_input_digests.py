import os

import pytest

from data_curation import input_digests
from data_curation.input_digests import InputDigests, file_digest
from data_curation.ledger import read_manifest
from ski_lvlm.shards import Shard


@pytest.fixture
def reads(monkeypatch):
    """The files whose content was read."""
    read = []
    monkeypatch.setattr(input_digests, "file_digest", lambda path: read.append(path.name) or file_digest(path))
    return read


def digests(folder, *files, **more):
    with InputDigests(folder, **more) as inputs:
        return [inputs.of(file) for file in files]


def test_files_are_read_once_and_again_only_when_they_change(tmp_path, reads):
    files = [tmp_path / "a.avi", tmp_path / "b.avi"]
    for file in files:
        file.write_bytes(file.name.encode())
    first = digests(tmp_path / "out", *files, None)
    assert first[2] == "absent" and first[0] != first[1]
    assert digests(tmp_path / "out", *files, None) == first
    assert reads == ["a.avi", "b.avi"]
    files[0].write_bytes(b"other")
    os.utime(files[1], ns=(0, 5))  # touched, not changed
    assert digests(tmp_path / "out", *files)[0] != first[0]
    assert digests(tmp_path / "out", *files)[1] == first[1]
    assert reads == ["a.avi", "b.avi"] * 2


def test_shards_know_what_others_have_read(tmp_path, reads):
    (tmp_path / "a.avi").write_bytes(b"x")
    digests(tmp_path, tmp_path / "a.avi", shard=Shard(1, 2))
    digests(tmp_path, tmp_path / "a.avi", shard=Shard(2, 2))
    digests(tmp_path, tmp_path / "a.avi")
    assert reads == ["a.avi"]


def test_a_torn_line_costs_that_file_only(tmp_path, reads):
    for name in "ab":
        (tmp_path / name).write_bytes(b"x")
    digests(tmp_path, tmp_path / "a", tmp_path / "b")
    log = tmp_path / "inputs.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    digests(tmp_path, tmp_path / "a", tmp_path / "b")
    assert reads == ["a", "b", "b"]


def test_a_files_digest_sees_its_length_and_both_ends(tmp_path):
    file, digests = tmp_path / "video", []
    for head, middle, tail in ((b"a", 300_000, b"z"), (b"b", 300_000, b"z"), (b"a", 300_000, b"y"), (b"a", 9, b"z")):
        file.write_bytes(head + bytes(middle) + tail)
        digests.append(file_digest(file))
    assert len(set(digests)) == 4
    file.write_bytes(b"")
    assert file_digest(file)


def test_a_kill_costs_the_last_few_only(tmp_path, monkeypatch):
    monkeypatch.setattr(input_digests, "_MANY", 2)
    inputs = InputDigests(tmp_path)  # never closed, as in a run that was killed
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
        inputs.of(tmp_path / name)
    assert len(read_manifest(tmp_path, "inputs")) == 2
