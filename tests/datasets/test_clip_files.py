import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_files import clip_reader, open_skeletons, video_clips
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.frame_cache import DecodedFrames
from ski_lvlm.videos.timeline import Span
from tests.cases.data_set_case import write_data_set
from tests.cases.video_case import frame_numbers, numbered, write_video

LONG = "long day (küche).mp4"
SPANS = [  # a recording of 60 frames at 30 a second
    {"clip": "early", "class": "sweep", "video": LONG, "start": "0", "end": "0.5", "start_frame": "", "end_frame": ""},
    {"clip": "late", "class": "wave", "video": LONG, "start": "", "end": "", "start_frame": "40", "end_frame": "50"},
    {"clip": "whole", "class": "wave", "video": LONG, "start": "", "end": "", "start_frame": "", "end_frame": ""},
    {"clip": "no video", "class": "wave", "video": "", "start": "", "end": "", "start_frame": "", "end_frame": ""},
]


@pytest.fixture
def untrimmed(tmp_path):
    write_video(tmp_path / "home" / LONG, numbered(60))
    return write_data_set(tmp_path / "home", rows=SPANS)


def test_a_clip_may_be_a_stretch_of_a_recording(untrimmed):
    clips = video_clips(open_data_set(untrimmed))
    assert list(clips) == ["early", "late", "whole"]
    assert clips["early"].span == Span(0.0, 0.5) and clips["late"].span == Span(40.0, 50.0, "frames")
    source = DecodedFrames(clips, side=48)
    numbers = {name: frame_numbers(source.window(name, start=0.0, stop=1.0, num_frames=5)) for name in clips}
    assert numbers == {"early": [1, 4, 7, 10, 13], "late": [41, 43, 45, 47, 49], "whole": [6, 18, 30, 42, 54]}
    assert frame_numbers(source.window("late", start=0.5, stop=1.0, num_frames=5)) == [45, 46, 47, 48, 49]


def test_a_reader_gives_each_frame_of_a_short_stretch_once(untrimmed):
    read = clip_reader(video_clips(open_data_set(untrimmed)), num_frames=100, side=48, framing="centre")
    assert frame_numbers(read("late")) == list(range(40, 50))
    with pytest.raises(VideoError, match="no video of clip 'no video' among the 3 of the data set"):
        read("no video")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "3", "end": "4"}, "3 to 4 seconds of a recording of 2.00 seconds; correct the start and end"),
        ({"start_frame": "70", "end_frame": "71"}, "70 to 71 frames of a recording of 60 frames"),
        ({"video": "absent.mp4"}, "line 2 names the video 'absent.mp4', but .* is not there"),
    ],
)
def test_a_stretch_outside_its_recording_is_named(untrimmed, change, message):
    usual = {"start": "", "end": ""}
    data = open_data_set(write_data_set(untrimmed, rows=[SPANS[0] | usual | change]))
    with pytest.raises(VideoError, match=message):
        DecodedFrames(video_clips(data), side=48).window("early", start=0.0, stop=1.0, num_frames=2)


def test_files_called_as_their_clips_need_no_column(tmp_path):
    rows = [{"clip": "müller 1 (küche)", "class": "wave"}, {"clip": "müller 2", "class": "wave"}]
    folder = write_data_set(tmp_path / "home", rows=rows)
    with pytest.raises(VideoError, match="no videos"):
        video_clips(open_data_set(folder))
    write_video(folder / "videos" / "other.mp4", numbered(3))
    with pytest.raises(VideoError, match="none of its 1 videos is called as a clip of home, such as 'müller 1"):
        video_clips(open_data_set(folder))
    write_video(folder / "videos" / "müller 1 (küche).mp4", numbered(3))
    assert list(video_clips(open_data_set(folder))) == ["müller 1 (küche)"]
    assert list(video_clips(open_data_set(folder), folder / "videos")) == ["müller 1 (küche)"]


def test_a_folder_that_absolute_paths_would_pass_over_is_refused(tmp_path):
    video = tmp_path / "elsewhere" / "one.mp4"
    write_video(video, numbered(3))
    data = open_data_set(
        write_data_set(tmp_path / "home", rows=[{"clip": "one", "class": "wave", "video": str(video)}])
    )
    assert list(video_clips(data)) == ["one"]
    with pytest.raises(VideoError, match=r"one\.mp4, wherever the folder is, so .*crops would not be read"):
        video_clips(data, tmp_path / "crops")


def test_a_built_in_data_set_has_no_files_of_its_own():
    with pytest.raises(VideoError, match="ntu60 has no folder of its own; give --ntu DIR"):
        video_clips(open_data_set("ntu60"))
    with pytest.raises(ValueError, match="give --prepared DIR"):
        open_skeletons("", open_data_set("ntu60"))
