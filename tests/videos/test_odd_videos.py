"""Videos from the field: what is decoded is what a player shows, and only what is broken is refused."""

import numpy as np
import pytest

from data_curation.cropping.boxes import WHOLE
from data_curation.cropping.crop import write_crop
from data_curation.cropping.crop_settings import CropSettings
from ski_lvlm.videos.decoding import probe, read_moments, read_video
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.frame_cache import DecodedFrames
from ski_lvlm.videos.packets import timeline
from ski_lvlm.videos.timeline import sample_indices
from tests.cases.odd_video_case import copy_packets, damage, encode, noisy, packet_places, scaled_numbers, set_avi_count
from tests.cases.video_case import frame_numbers, numbered, write_video

pytestmark = pytest.mark.slow

LONG_GROUP = {"g": "250", "bf": "2"}
GROUPS = {"g": "12", "bf": "2"}
CONTAINERS = ("mp4", "mov", "mkv", "avi", "ts", "flv", "3gp")


def check_frames(path, numbers):
    """All of a file's frames, and any choice of them, are these."""
    assert probe(path).num_frames == len(numbers)
    for count in (1, 4, 100):
        expected = [numbers[index] for index in sample_indices(len(numbers), count)]
        assert frame_numbers(read_video(path, num_frames=count)) == expected
    last = read_moments(path, moments=np.array([0.999]), side=48)
    assert scaled_numbers(last) == [numbers[-1]]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "3gp", "m4v"])
def test_lead_in_frames_of_a_clip_cut_without_encoding_are_not_shown(tmp_path, suffix):
    whole = encode(tmp_path / "whole.mp4", numbered(60), options=LONG_GROUP)
    clip = copy_packets(whole, tmp_path / f"cut.{suffix}", begin=1)
    check_frames(clip, list(range(30, 60)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv", "avi"])
def test_frames_before_the_first_key_frame_are_not_shown(tmp_path, suffix):
    source = "avi" if suffix == "avi" else "mp4"  # whose packets are written differently
    whole = encode(tmp_path / f"whole.{source}", numbered(60), options={"g": "12", "bf": "0"})
    check_frames(copy_packets(whole, tmp_path / f"cut.{suffix}", first=5), list(range(12, 60)))


def test_frames_of_vp9_before_the_first_key_frame_are_not_shown(tmp_path):
    options = {"g": "12", "deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "4M"}
    whole = encode(tmp_path / "whole.webm", noisy(60), codec="libvpx-vp9", options=options)
    assert len(read_video(copy_packets(whole, tmp_path / "cut.webm", first=5), num_frames=100)) == 48


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_frames_that_refer_to_an_absent_group_are_not_shown(tmp_path, suffix):
    open_groups = {"x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}
    whole = encode(tmp_path / f"whole.{suffix}", numbered(60), options=open_groups)
    clip = copy_packets(whole, tmp_path / f"cut.{suffix}", first=10)
    check_frames(clip, list(range(12, 60)))  # frames 10 and 11 come after 12 in the file


def test_a_transport_stream_cut_anywhere_begins_with_its_first_key_frame(tmp_path):
    clip = encode(tmp_path / "whole.ts", noisy(60), options=GROUPS)
    content = clip.read_bytes()
    clip.write_bytes(content[len(content) // 3 :])
    check_frames(clip, list(range(24, 60)))


def test_transport_streams_put_behind_one_another_are_whole(tmp_path):
    first = encode(tmp_path / "a.ts", numbered(20), options=GROUPS)
    second = encode(tmp_path / "b.ts", numbered(30), options=GROUPS)
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    check_frames(tmp_path / "both.ts", [*range(20), *range(30)])


@pytest.mark.parametrize("count", [0, 10, 58, 62, 600])
def test_the_number_of_frames_in_a_header_is_not_believed(tmp_path, count):
    clip = set_avi_count(write_video(tmp_path / "rgb" / "x.avi", numbered(60)), count)
    check_frames(clip, list(range(60)))
    late = DecodedFrames(tmp_path, side=48).window("x", start=0.9, stop=1.0, num_frames=2)
    assert scaled_numbers(late) == [55, 58]


@pytest.mark.slow
def test_reference_frames_that_are_never_shown_do_not_count(tmp_path):
    whole = encode(tmp_path / "whole.webm", numbered(60), codec="libvpx", options={"crf": "4", "b": "4M"})
    numbers = iter(range(60))

    def hide_every_fifth(packet):
        content = bytearray(packet)
        content[0] &= 0xFF if next(numbers) % 5 else ~16 & 0xFF
        return bytes(content)

    clip = copy_packets(whole, tmp_path / "x.webm", change=hide_every_fifth)
    numbers = frame_numbers(read_video(whole, num_frames=60))
    check_frames(clip, [number for place, number in enumerate(numbers) if place % 5])


def test_sound_that_is_longer_than_the_pictures_is_no_fault(tmp_path):
    import av

    clip = tmp_path / "x.mkv"
    with av.open(str(clip), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"crf": "1", "preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        for number in range(130):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            samples.rate, samples.pts = 44100, number * 1024
            container.mux(sound.encode(samples))
        for image in numbered(30):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in (sound, video):
            container.mux(stream.encode())
    check_frames(clip, list(range(30)))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_live_recording_without_an_end_is_read(tmp_path, suffix):
    kind = {"movflags": "frag_keyframe+empty_moov"} if suffix == "mp4" else {"live": "1"}
    clip = encode(tmp_path / f"x.{suffix}", numbered(60), options={"g": "12", "bf": "0"}, **kind)
    check_frames(clip, list(range(60)))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_broken_packet_refuses_the_clip_in_every_container(tmp_path, suffix):
    clip = encode(tmp_path / f"x.{suffix}", noisy(60), options=GROUPS)
    check_count = len(read_video(clip, num_frames=100))
    start, size = packet_places(clip)[26]
    damage(clip, start=start, size=size)
    with pytest.raises(VideoError, match="broken|corrupt"):
        read_video(clip, num_frames=100)
    assert check_count == 60


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_broken_first_key_frame_is_never_shown(tmp_path, suffix):
    clip = encode(tmp_path / f"x.{suffix}", noisy(60), options=GROUPS)
    start, size = packet_places(clip)[0]
    damage(clip, start=start, size=size)
    try:
        frames = read_video(clip, num_frames=100)
    except VideoError as error:
        assert "broken" in str(error) or "corrupt" in str(error)
    else:  # FFmpeg does not take it for a key frame any more, so that the clip begins with the next one
        assert frame_numbers(frames) == list(range(12, 60))


def test_packets_that_fail_before_the_first_key_frame_are_passed_over(tmp_path):
    options = {"g": "12", "deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "4M"}
    whole = encode(tmp_path / "whole.webm", numbered(60), codec="libvpx-vp9", options=options)
    numbers = iter(range(60))
    clip = copy_packets(
        whole, tmp_path / "x.webm", first=5, change=lambda packet: bytes(packet) if next(numbers) > 4 else b"noise"
    )
    assert len(read_video(clip, num_frames=100)) == 48


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_damage_over_several_tiny_packets_refuses_the_clip(tmp_path, suffix):
    clip = encode(tmp_path / f"x.{suffix}", numbered(60), options=GROUPS)
    places = packet_places(clip)
    damage(clip, start=places[26][0], size=places[40][0] - places[26][0])
    with pytest.raises(VideoError, match="broken|corrupt"):
        read_video(clip, num_frames=100)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize(("share", "is_read"), [(0.5, False), (0.85, False), (0.97, True)])
def test_a_tenth_may_be_missing_at_the_end_in_every_container(tmp_path, suffix, share, is_read):
    clip = encode(tmp_path / f"x.{suffix}", noisy(60), options={"g": "1"}, movflags="faststart")
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * share)])
    if is_read:
        assert 54 <= len(read_video(clip, num_frames=100)) < 60
    else:
        with pytest.raises(VideoError, match=r"truncated or corrupt, \d+ of (5[89]|6\d) frames"):
            read_video(clip, num_frames=4)


def slow_end():
    """30 frames in the first second, then one a second: 30 more."""
    return np.array([*(np.arange(30) / 30), *(1.0 + np.arange(30))])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_a_variable_frame_rate_is_sampled_by_time(tmp_path, suffix):
    codec = "libvpx" if suffix == "webm" else "libx264"
    times = slow_end()
    clip = encode(tmp_path / f"x.{suffix}", numbered(60), codec=codec, times=times, options={"g": "12", "crf": "4"})
    seconds = probe(clip).num_frames / probe(clip).fps
    assert 30 < seconds < 31.1  # containers differ in how long the last frame is shown
    moments = (np.arange(8) + 0.5) / 8
    expected = [int((times <= moment * seconds).sum()) - 1 for moment in moments]
    numbers = frame_numbers(read_video(clip, num_frames=8))
    assert numbers == [frame_numbers(read_video(clip, num_frames=60))[number] for number in expected]
    assert scaled_numbers(read_moments(clip, moments=moments, side=48)) == numbers


def test_the_crop_of_a_variable_frame_rate_keeps_the_times(tmp_path):
    clip = encode(tmp_path / "x.mp4", numbered(60), times=slow_end())
    settings = CropSettings(shape="aspect", size=64)
    assert write_crop(clip, tmp_path / "crop.mp4", boxes=WHOLE, settings=settings).frames == 60
    crop = tmp_path / "crop.mp4"
    np.testing.assert_allclose(timeline(crop).starts, timeline(clip).starts, atol=1e-3)
    assert timeline(crop).seconds == pytest.approx(31, abs=1)  # the last frame's length is not written
    settings = CropSettings(shape="aspect", size=64, fps=1)
    assert write_crop(clip, crop, boxes=WHOLE, settings=settings).frames in (30, 31)


def test_a_colon_in_a_name_is_not_that_of_an_address(tmp_path, monkeypatch):
    write_video(tmp_path / "take: one.mp4", numbered(8))
    monkeypatch.chdir(tmp_path)
    assert probe("take: one.mp4").num_frames == 8


def test_an_animation_is_sampled_by_time(tmp_path):
    times = np.array([*(np.arange(10) / 10), *(1.0 + np.arange(5))])
    clip = encode(tmp_path / "x.gif", numbered(15), codec="gif", pixels="rgb8", times=times)
    frames = read_video(clip, num_frames=4)
    every = read_video(clip, num_frames=15)
    middle = [int((times <= moment).sum()) - 1 for moment in (np.arange(4) + 0.5) / 4 * 5.1]
    assert [int((every - frame).abs().sum((1, 2, 3)).argmin()) for frame in frames] == middle


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [*CONTAINERS, "webm"])
def test_a_constant_frame_rate_is_sampled_by_number(tmp_path, suffix):
    codec = "libvpx" if suffix == "webm" else "libx264"
    clip = encode(tmp_path / f"x.{suffix}", noisy(50), codec=codec, options={"bf": "2"} if codec == "libx264" else {})
    every = read_video(clip, num_frames=50)
    for count in (3, 16, 49):
        assert (read_video(clip, num_frames=count) == every[sample_indices(50, count)]).all()


def test_a_lost_frame_does_not_make_the_rate_variable(tmp_path):
    times = np.delete(np.arange(61) / 30, 31)
    clip = encode(tmp_path / "x.mp4", numbered(60), times=times)
    check_frames(clip, list(range(60)))
