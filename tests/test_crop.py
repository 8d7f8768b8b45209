import os
from pathlib import Path

import numpy as np
import pytest

from data_curation.crop import CropError, Fit, fit, middle_frame, union_box, write_crop
from ski_lvlm.cleaning import clean
from ski_lvlm.skeleton_file import read_skeleton
from ski_lvlm.video import Box, VideoError, probe, read_video

REAL = Path(os.environ.get("SKI_REAL_DATA", Path(__file__).parents[2] / "shared" / "real")) / "ntu"
CLIP = "S001C001P001R001A001"


def joints(*points):
    return np.array([points], np.float32)


def write_video(path, *, width=320, height=180, frames=12, draw=lambda picture, index: None):
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            draw(picture, index)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


def write_sound(path):
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


def test_the_box_is_the_union_over_time_and_persons_with_slack():
    one = np.array([[[400, 300], [500, 800]], [[420, 280], [520, 790]]], np.float32)
    other = np.array([[[900, 350], [1000, 900]]], np.float32)
    assert union_box([one, other], width=1920, height=1080) == (336, 216, 1064, 964)
    assert union_box([one, other], width=1920, height=1080, slack=0) == (400, 280, 1000, 900)


@pytest.mark.parametrize("scale", [(0.5, 0.5), (340 / 1920, 256 / 1080)])
def test_a_resized_video_has_the_same_box_scaled(scale):
    track = joints([600, 300], [800, 900])
    full = np.array(union_box([track], width=1920, height=1080)).reshape(2, 2)
    small = union_box([track], width=round(1920 * scale[0]), height=round(1080 * scale[1]))
    assert np.abs(np.array(small).reshape(2, 2) - full * scale).max() <= 2


def test_nan_infinity_and_nowhere_do_not_count():
    track = joints([np.nan, 300], [np.inf, 5], [0, 0], [600, 400], [640, 700])
    assert union_box([track], width=1920, height=1080, slack=0) == (600, 400, 640, 700)


def test_the_box_stays_in_the_picture_and_is_even():
    box = union_box([joints([-50, 11], [1900, 1200])], width=1919, height=1079)
    assert box == (0, 0, 1918, 1078)
    assert all(side % 2 == 0 for side in box)


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([], "no joint has colour coordinates"),
        ([np.full((5, 25, 2), np.nan, np.float32)], "no joint has colour coordinates"),
        ([joints([2500, 300], [2600, 400])], "outside the picture of 1920x1080"),
    ],
)
def test_nobody_is_never_the_whole_picture(tracks, message):
    with pytest.raises(CropError, match=message):
        union_box(tracks, width=1920, height=1080)


def test_the_crop_fills_the_square_with_its_aspect_kept():
    assert fit(Box(0, 0, 300, 600), width=1920, height=1080) == Fit(112, 224, 56, 0)
    assert fit(Box(10, 10, 610, 310), width=1920, height=1080) == Fit(224, 112, 0, 56)
    assert fit(Box(0, 0, 2, 1080), width=1920, height=1080).width == 2
    squeezed = fit(Box(0, 0, 300 * 340 // 1920, 600 * 256 // 1080), width=340, height=256)
    assert squeezed == Fit(112, 224, 56, 0)


def test_the_written_crop_shows_the_person_and_nothing_else(tmp_path):
    def person(picture, index):
        picture[:, :] = (0, 0, 255)
        picture[60:120, 100:130] = (255, 0, 0)

    source = write_video(tmp_path / "clip_rgb.avi", draw=person)
    track = joints([600, 360], [780, 720])  # the red figure, in 1920x1080
    box, frames = write_crop(source, tmp_path / "crop.mp4", colour=[track])
    assert frames == 12
    video = read_video(tmp_path / "crop.mp4", num_frames=3).numpy()
    assert video.shape == (3, 3, 224, 224)
    assert probe(tmp_path / "crop.mp4").fps == 30
    red, _, blue = video[1].astype(int)
    assert red[112, 112] > 200 > 60 > blue[112, 112]
    inside = fit(box, width=320, height=180)
    margin = video[1][:, :, : inside.left - 4]
    assert margin.max() < 20
    assert blue[112, inside.left + 8] > 200


def test_the_crop_is_the_same_every_time_and_silent(tmp_path):
    import av

    source = write_video(tmp_path / "clip.mp4", draw=lambda picture, index: picture.__setitem__(..., index * 9))
    track = joints([600, 360], [780, 720])
    for number in range(30):  # x264's macroblock tree made one in ten differ
        write_crop(source, tmp_path / f"{number}.mp4", colour=[track], size=64)
    assert len({(tmp_path / f"{number}.mp4").read_bytes() for number in range(30)}) == 1
    with av.open(str(tmp_path / "0.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 64)


def test_bad_videos_are_refused_and_leave_nothing(tmp_path):
    (tmp_path / "empty.avi").touch()
    (tmp_path / "noise.avi").write_bytes(os.urandom(5000))
    write_sound(tmp_path / "sound.avi")
    whole = write_video(tmp_path / "whole.avi", frames=40).read_bytes()
    (tmp_path / "torn.avi").write_bytes(whole[: len(whole) // 3])
    for name in ("empty", "noise", "sound", "torn"):
        with pytest.raises(VideoError, match=name):
            write_crop(tmp_path / f"{name}.avi", tmp_path / "out" / f"{name}.mp4", colour=[joints([600, 360])])
    assert not list(tmp_path.glob("out/*"))


def test_a_target_that_cannot_be_written_is_not_the_videos_fault(tmp_path):
    source = write_video(tmp_path / "clip.avi")
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(OSError, match="out"):
        write_crop(source, tmp_path / "out" / "crop.mp4", colour=[joints([600, 360], [700, 700])])


def test_the_middle_frame(tmp_path):
    from io import BytesIO

    from PIL import Image

    source = write_video(
        tmp_path / "clip.mp4", frames=11, draw=lambda picture, index: picture.__setitem__(..., index * 20)
    )
    picture = np.asarray(Image.open(BytesIO(middle_frame(source))))
    assert picture.shape == (180, 320, 3)
    assert abs(int(picture.mean()) - 100) <= 4


@pytest.mark.skipif(not REAL.is_dir(), reason="the genuine NTU clip is not here")
def test_the_genuine_clip_and_its_resized_copy_give_the_same_crop(tmp_path):
    import av

    source = REAL / f"{CLIP}_rgb.avi"
    small = tmp_path / "small.mp4"
    with av.open(str(source)) as original, av.open(str(small), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for frame in original.decode(video=0):
            resized = frame.reformat(340, 256, "yuv420p")
            resized.pts = None
            out.mux(stream.encode(resized))
        out.mux(stream.encode())
    recording = read_skeleton(REAL / f"{CLIP}.skeleton")
    colour = [recording.bodies[body].colour for body in clean(recording).body_ids]
    shown = []
    for name, video in (("full", source), ("small", small)):
        _, frames = write_crop(video, tmp_path / f"{name}_crop.mp4", colour=colour)
        assert frames == 103
        shown.append(read_video(tmp_path / f"{name}_crop.mp4", num_frames=1).numpy().astype(float))
    assert np.abs(shown[0] - shown[1]).mean() < 6
    blocks = [video.reshape(3, 28, 8, 28, 8).mean(axis=(2, 4)).ravel() for video in shown]
    assert np.corrcoef(*blocks)[0, 1] > 0.98
