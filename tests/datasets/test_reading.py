import os
import signal

import numpy as np
import pytest

from ski_lvlm.datasets.reading import batched, load_clip, read_ahead

NAMES = [f"clip{number}" for number in range(7)]


def read(name):
    number = int(name.removeprefix("clip"))
    if number == 3:
        raise ValueError("clip3: damaged")
    if number == 5:
        raise FileNotFoundError("clip5: no such file")
    return np.full(number, number)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_clips_come_in_order_and_an_unreadable_one_carries_its_error(workers):
    batches = list(read_ahead(batched(NAMES, 3), read, workers=workers))
    assert [[clip.name for clip in batch] for batch in batches] == [NAMES[:3], NAMES[3:6], NAMES[6:]]
    clips = [clip for batch in batches for clip in batch]
    assert {clip.name: clip.error for clip in clips if clip.content is None} == {
        "clip3": "clip3: damaged",
        "clip5": "clip5: no such file",
    }
    assert all(isinstance(clip.content, np.ndarray) for clip in clips if not clip.error)
    np.testing.assert_array_equal(clips[4].content, [4, 4, 4, 4])


def test_without_clips_there_are_no_batches():
    assert list(read_ahead([], read, workers=2)) == []


def test_an_error_of_the_program_is_not_one_of_the_clip():
    with pytest.raises(AttributeError):
        load_clip("clip0", lambda name: name.no_such_method())


@pytest.mark.slow
def test_a_worker_that_is_killed_is_one_line():
    with pytest.raises(OSError, match="a worker process was killed.*fewer --workers"):
        list(read_ahead([["clip0"]], lambda name: os.kill(os.getpid(), signal.SIGKILL), workers=1))
