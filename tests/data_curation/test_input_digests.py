import os

import pytest

from data_curation import input_digests
from data_curation.input_digests import InputDigests, file_digest
from data_curation.ledger import read_manifest
from ski_lvlm.storage.shards import Shard


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


def test_a_files_digest_sees_every_byte(tmp_path):
    file, digests = tmp_path / "video", []
    for place in (None, 0, 150_000, 299_999):
        content = bytearray(300_000)
        if place is not None:
            content[place] = 1
        file.write_bytes(content)
        digests.append(file_digest(file))
    file.write_bytes(bytes(9))
    assert len({*digests, file_digest(file)}) == 5
    file.write_bytes(b"")
    assert file_digest(file)


def test_many_files_are_read_side_by_side_and_once(tmp_path, reads):
    files = [tmp_path / f"{number}.avi" for number in range(6)]
    for file in files:
        file.write_bytes(file.name.encode())
    with InputDigests(tmp_path / "out") as inputs:
        inputs.read([*files, None], workers=3)
        first = [inputs.of(file) for file in files]
    assert sorted(reads) == [file.name for file in files]
    assert digests(tmp_path / "out", *files) == first == [file_digest(file) for file in files]


def test_a_kill_costs_the_last_few_only(tmp_path, monkeypatch):
    monkeypatch.setattr(input_digests, "_MANY", 2)
    inputs = InputDigests(tmp_path)  # never closed, as in a run that was killed
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
        inputs.of(tmp_path / name)
    assert len(read_manifest(tmp_path, "inputs")) == 2
