import os
import sys

import pytest

from ski_lvlm.storage.shards import WHOLE, Shard, only_process, parse_shard
from tests.cases.command_case import ROOT, run

NAMES = [f"S001C001P{p:03}R001A{a:03}" for p in range(1, 21) for a in range(1, 31)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_every_clip_is_in_one_shard_and_shards_are_about_equal(count):
    shards = [Shard(i, count).select(NAMES) for i in range(1, count + 1)]
    assert sorted(name for shard in shards for name in shard) == sorted(NAMES)
    assert all(abs(len(shard) - len(NAMES) / count) < 0.35 * len(NAMES) / count for shard in shards)


@pytest.mark.parametrize("text", ["0/8", "9/8", "1", "a/b", "1/0", "-1/8", "1/8/2", ""])
def test_a_shard_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="expected i/n from 1/n to n/n"):
        parse_shard(text)


def test_one_of_one_is_the_whole():
    assert parse_shard("1/1") == WHOLE


def test_two_processes_in_one_folder_are_refused(tmp_path):
    with only_process(tmp_path / "out"):
        with (
            pytest.raises(ValueError, match=rf"another process \(pid {os.getpid()}\) is working here"),
            only_process(tmp_path / "out"),
        ):
            pass
        with only_process(tmp_path / "other"):
            pass
    with only_process(tmp_path / "out"):
        pass


def test_shards_of_one_division_work_side_by_side_and_nobody_else(tmp_path):
    with only_process(tmp_path, Shard(1, 3)), only_process(tmp_path, Shard(2, 3)):
        for other in (Shard(2, 3), Shard(1, 2), Shard(2, 4), WHOLE):
            with pytest.raises(ValueError, match="shard"), only_process(tmp_path, other):
                pass
        with only_process(tmp_path, Shard(3, 3)):
            pass
    for free in (WHOLE, Shard(1, 2)):
        with only_process(tmp_path, free):
            pass


def test_a_shard_is_refused_while_the_whole_is_worked_on(tmp_path):
    with (
        only_process(tmp_path),
        pytest.raises(ValueError, match="another process"),
        only_process(tmp_path, Shard(1, 2)),
    ):
        pass


@pytest.mark.slow
def test_a_process_that_was_killed_holds_nothing(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from ski_lvlm.storage.shards import only_process\n"
        f"with only_process(Path({str(tmp_path)!r})): print('in', flush=True); os.kill(os.getpid(), 9)"
    )
    assert run([sys.executable, "-c", code], cwd=ROOT).stdout == "in\n"
    with only_process(tmp_path):
        pass


def test_a_forked_worker_neither_keeps_the_folder_nor_frees_it(tmp_path):
    """Check what a fork shares: locks belong to the open file, and workers outlive a killed parent by seconds."""
    started, go_on = os.pipe(), os.pipe()
    with only_process(tmp_path, Shard(1, 2)):
        child = os.fork()
        if not child:
            os.write(started[1], b"1")
            os.read(go_on[0], 1)
            os._exit(0)
        os.read(started[0], 1)
        with pytest.raises(ValueError, match="another process"), only_process(tmp_path):
            pass
    try:
        with only_process(tmp_path):  # the child still runs
            pass
    finally:
        os.write(go_on[1], b"1")
        os.waitpid(child, 0)
        for end in (*started, *go_on):
            os.close(end)
