import numpy as np
import pytest

from ski_lvlm.video_llm.frames import read_video_frames
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.timeline import Span
from tests.cases.video_case import frame_numbers, numbered, write_video


def test_frames_come_with_their_times_and_keep_their_aspect(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered(12, height=40, width=80))
    assert read_video_frames(path, num_frames=4, side=40).pixels.shape == (4, 3, 20, 40)
    video = read_video_frames(path, num_frames=4, side=0)
    assert frame_numbers(video.pixels) == video.numbers == [1, 4, 7, 10]
    times = video.metadata
    assert (times.total_num_frames, times.fps, times.duration) == (12, 30.0, 0.4)
    np.testing.assert_allclose(times.timestamps, np.array(video.numbers) / 30)


def test_small_frames_and_short_clips_stay_as_they_are(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered(3))
    video = read_video_frames(path, num_frames=8, side=0)
    assert video.pixels.shape == (3, 3, 48, 64) and video.numbers == [0, 1, 2]
    assert read_video_frames(path, num_frames=8, side=64).pixels.shape == video.pixels.shape


def test_a_stretch_of_a_recording_is_a_clip_of_its_own(tmp_path):
    path = write_video(tmp_path / "a.avi", numbered(30))
    video = read_video_frames(path, num_frames=2, side=0, span=Span(10, 20, "frames"))
    assert frame_numbers(video.pixels) == [10 + number for number in video.numbers]
    assert video.total == 10
    with pytest.raises(VideoError, match="30 frames; correct the start and end"):
        read_video_frames(path, num_frames=2, side=0, span=Span(40, 50, "frames"))
