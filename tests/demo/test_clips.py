import av
import numpy as np
import pytest
import torch

from ski_lvlm.demo.clips import ClipError, Limits, check_clip, playable_copy, shown_frames, shown_numbers
from ski_lvlm.demo.session import Session
from ski_lvlm.videos.decoding import probe
from tests.cases.video_case import numbered, write_audio, write_video


@pytest.fixture
def clip(tmp_path):
    write_video(tmp_path / "clip.mp4", numbered(20))
    return tmp_path / "clip.mp4"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_clip_is_what_can_be_decoded_and_is_short_enough(clip, tmp_path):
    assert check_clip(clip, Limits()).num_frames == 20
    write_audio(tmp_path / "sound.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 100)
    for name in ("sound", "empty", "text"):
        with pytest.raises(ClipError, match="not a video"):
            check_clip(tmp_path / f"{name}.mp4", Limits())
    with pytest.raises(ClipError, match="at most 0"):
        check_clip(clip, Limits(seconds=0.1))
    with pytest.raises(ClipError, match="MB"):
        check_clip(clip, Limits(megabytes=0))


def test_no_sentence_for_visitors_names_a_path(clip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    for file, limits in ((tmp_path / "text.mp4", Limits()), (clip, Limits(seconds=0.1)), (clip, Limits(megabytes=0))):
        with pytest.raises(ClipError) as raised:
            check_clip(file, limits)
        assert "/" not in str(raised.value) and file.name not in str(raised.value)


def test_browsers_can_play_what_is_shown(clip, tmp_path):
    shown = playable_copy(clip, probe(clip), tmp_path)
    with av.open(str(shown)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert probe(shown).num_frames == 20


def test_large_clips_are_shown_smaller(tmp_path):
    write_video(tmp_path / "large.mp4", numbered(2, height=600, width=1000))
    info = probe(playable_copy(tmp_path / "large.mp4", probe(tmp_path / "large.mp4"), tmp_path))
    assert (info.height, info.width) == (480, 800)


@pytest.mark.parametrize("count", [1, 3, 8, 100])
def test_shown_frames_are_spread_over_the_clip(count):
    numbers = list(shown_numbers(count))
    assert len(numbers) == min(count, 8) == len(set(numbers)) and max(numbers) < count
    frames = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 2, 2)
    assert [int(frame[0, 0, 0]) for frame in shown_frames(frames)] == numbers
    assert all(frame.dtype == np.uint8 and frame.shape == (2, 2, 3) for frame in shown_frames(frames))


def test_an_upload_lies_in_a_folder_of_its_own_and_goes_with_it(clip, home):
    session = Session.of_upload(clip, home, Limits())
    assert not clip.exists() and session.clip.parent == session.folder and session.folder.parent == home
    session.remove()
    assert list(home.iterdir()) == []


def test_an_upload_that_cannot_be_used_is_removed_at_once(clip, home):
    with pytest.raises(ClipError):
        Session.of_upload(clip, home, Limits(seconds=0.1))
    assert not clip.exists() and list(home.iterdir()) == []


def test_an_example_stays_where_it_is(clip, home):
    Session.of_example(clip, home).remove()
    assert clip.exists() and list(home.iterdir()) == []
