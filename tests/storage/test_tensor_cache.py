import multiprocessing
import os
import signal

import pytest
import torch

from ski_lvlm.storage import tensor_cache
from ski_lvlm.storage.tensor_cache import cached_tensors
from ski_lvlm.storage.text_table import TextTable

TENSORS = {"a": torch.arange(1000), "empty": torch.zeros(0, dtype=torch.uint8), "flags": torch.tensor([True, False])}


class Maker:
    """Maker of tensors that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return TENSORS


def same(tensors):
    return tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[key], TENSORS[key]) for key in TENSORS)


def test_tensors_are_made_once_for_a_state(tmp_path):
    make = Maker()
    for state in ("1", "1", "2", "2"):
        assert same(cached_tensors("x", [tmp_path], state=state, make=make))
    assert make.calls == 2
    assert len(list(tmp_path.glob("*.safetensors"))) == 1  # another state replaces the file


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b"", lambda _: b"not a file of tensors"])
def test_a_damaged_file_is_made_again_with_a_word(tmp_path, caplog, damage):
    make = Maker()
    cached_tensors("x", [tmp_path], state="1", make=make)
    file = tmp_path / "x.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    assert same(cached_tensors("x", [tmp_path], state="1", make=make)) and make.calls == 2
    assert f"{file} is damaged" in caplog.text
    assert same(cached_tensors("x", [tmp_path], state="1", make=make)) and make.calls == 2


def test_a_folder_that_cannot_be_written_to_gives_way_to_the_next(tmp_path, caplog):
    make, blocked = Maker(), tmp_path / "file"
    blocked.write_text("no folder")
    for _ in range(2):
        assert same(cached_tensors("x", [blocked / "index", tmp_path / "index"], state="1", make=make))
    assert make.calls == 1 and "cannot be made" in caplog.text
    assert same(cached_tensors("x", [blocked / "index"], state="1", make=make)) and make.calls == 2


def test_a_finished_file_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    make = Maker()
    cached_tensors("x", [tmp_path], state="1", make=make)

    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(tensor_cache, "FileLock", refuse)
    assert same(cached_tensors("x", [tmp_path], state="1", make=make)) and make.calls == 1
    assert same(cached_tensors("x", [tmp_path], state="2", make=make)) and make.calls == 2


def test_a_full_disk_costs_the_file_and_not_the_tensors(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_cache, "save_file", fail)
    assert same(cached_tensors("x", [tmp_path], state="1", make=Maker()))
    assert "could not be written" in caplog.text and not list(tmp_path.glob("*.safetensors"))


def test_errors_of_the_maker_leave_nothing_behind(tmp_path):
    def fail():
        raise ValueError("bad record")

    with pytest.raises(ValueError, match="bad record"):
        cached_tensors("x", [tmp_path], state="1", make=fail)
    assert same(cached_tensors("x", [tmp_path], state="1", make=Maker()))


def make_or_die(folder, *, is_killed):
    """Make the tensors in a process, which notes that it did, and die with half a file if told to."""
    save = tensor_cache.save_file

    def make():
        with (folder / "calls").open("a") as calls:
            calls.write("x")
        return TENSORS

    def save_half(tensors, file, **options):
        save(tensors, file, **options)
        os.truncate(file, 500)
        os.kill(os.getpid(), signal.SIGKILL)

    if is_killed:
        tensor_cache.save_file = save_half
    assert same(cached_tensors("x", [folder], state="1", make=make))


@pytest.mark.slow
def test_a_kill_while_writing_loses_nothing_and_several_processes_make_once(tmp_path):
    fork = multiprocessing.get_context("fork")
    for deaths, codes in (([True], [-signal.SIGKILL]), ([False] * 4, [0] * 4)):
        processes = [fork.Process(target=make_or_die, args=(tmp_path,), kwargs={"is_killed": d}) for d in deaths]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == codes
        assert bool(list(tmp_path.glob(".*partial*"))) == deaths[0]
    assert (tmp_path / "calls").read_text() == "xx"  # once before the kill, and once after it


def test_texts_come_back_one_by_one_and_together():
    texts = ["", "Was tut sie?", "中文 🙂", "", "a\nb"]
    table = TextTable(TextTable.tensors(texts, prefix="p."), prefix="p.")
    assert [table[k] for k in range(len(table))] == list(table) == texts
    assert list(TextTable(TextTable.tensors([]))) == []
    with pytest.raises(IndexError):
        table[5]
