import dataclasses
import os
import resource

import numpy as np
import pytest

from data_curation.cropping.boxes import skeleton_boxes
from data_curation.cropping.crop import CropError, CropSettings, Fit, fit, write_crop
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.videos.decoding import Box, probe, read_video
from ski_lvlm.videos.folder import VideoError
from tests.cases.recordings import REAL
from tests.cases.video_case import write_audio, write_drawing

pytestmark = pytest.mark.slow

REAL_NTU = REAL / "ntu"
CLIP = "S001C001P001R001A001"


FIGURE = np.array([[[600.0, 360, 780, 720]]])  # the red figure below, in 1920x1080
STATIC = CropSettings()


def red_on_blue(picture, index):
    picture[:, :] = (0, 0, 255)
    picture[60:120, 100:130] = (255, 0, 0)


def moving(picture, index):
    picture[60:120, 20 + 6 * index : 50 + 6 * index] = (255, 0, 0)


def test_the_crop_fills_the_square_with_its_aspect_kept():
    assert fit(Box(0, 0, 300, 600), width=1920, height=1080, size=224, is_kinect=True) == Fit(112, 224, 56, 0)
    assert fit(Box(10, 10, 610, 310), width=1920, height=1080, size=224, is_kinect=True) == Fit(224, 112, 0, 56)
    assert fit(Box(0, 0, 2, 1080), width=1920, height=1080, size=224, is_kinect=True).width == 2
    squeezed = fit(Box(0, 0, 300 * 340 // 1920, 600 * 256 // 1080), width=340, height=256, size=224, is_kinect=True)
    assert squeezed == Fit(112, 224, 56, 0)


def test_another_camera_s_video_keeps_its_aspect():
    assert fit(Box(0, 0, 300, 300), width=640, height=480, size=224, is_kinect=False) == Fit(224, 224, 0, 0)
    assert fit(Box(0, 0, 300, 300), width=640, height=480, size=224, is_kinect=True).height < 224


def test_the_written_crop_shows_the_person_and_nothing_else(tmp_path):
    source = write_drawing(tmp_path / "clip_rgb.avi", draw=red_on_blue)
    box, frames = write_crop(source, tmp_path / "crop.mp4", boxes=FIGURE, settings=STATIC)
    assert frames == 12
    video = read_video(tmp_path / "crop.mp4", num_frames=3).numpy()
    assert video.shape == (3, 3, 224, 224)
    assert probe(tmp_path / "crop.mp4").fps == 30
    red, _, blue = video[1].astype(int)
    assert red[112, 112] > 200 > 60 > blue[112, 112]
    inside = fit(box, width=320, height=180, size=224, is_kinect=True)
    margin = video[1][:, :, : inside.left - 4]
    assert margin.max() < 20
    assert blue[112, inside.left + 8] > 200


@pytest.mark.parametrize("box", [(600, 360, 780, 720), (0, 0, 1920, 300)])
def test_without_padding_the_crop_has_its_own_aspect_and_even_sides(tmp_path, box):
    source = write_drawing(tmp_path / "clip.mp4", draw=red_on_blue)
    settings = CropSettings(shape="aspect", size=100, slack=0)
    cut, _ = write_crop(source, tmp_path / "crop.mp4", boxes=np.array([[box]], float), settings=settings)
    info = probe(tmp_path / "crop.mp4")
    assert max(info.width, info.height) == 100
    assert info.width % 2 == info.height % 2 == 0
    assert info.width / info.height == pytest.approx((cut.right - cut.left) / (cut.bottom - cut.top), rel=0.05)
    assert read_video(tmp_path / "crop.mp4", num_frames=1).amax(dim=1).min() > 100  # red or blue, nowhere black


def path_of_moving(frames):
    left = 6.0 * (20 + 6 * np.arange(frames))
    return np.stack([left, np.full(frames, 360.0), left + 180, np.full(frames, 720.0)], -1)[None]


def test_a_tracking_crop_keeps_the_moving_person_in_the_middle(tmp_path):
    source = write_drawing(tmp_path / "clip.mp4", frames=40, draw=moving)
    settings = CropSettings(mode="tracking")
    box, frames = write_crop(source, tmp_path / "crop.mp4", boxes=path_of_moving(40), settings=settings)
    assert frames == 40 and box.right - box.left < 80
    red = read_video(tmp_path / "crop.mp4", num_frames=40).numpy()[:, 0]
    centres = [np.flatnonzero(frame[112] > 128).mean() for frame in red]
    assert np.abs(np.array(centres[5:35]) - 112).max() < 6  # an even pixel of the video is 5 of these


def test_when_the_video_outlasts_the_boxes_the_last_window_stays(tmp_path):
    source = write_drawing(tmp_path / "clip.mp4", frames=20, draw=moving)
    settings = CropSettings(mode="tracking")
    _, frames = write_crop(source, tmp_path / "crop.mp4", boxes=path_of_moving(10), settings=settings)
    assert frames == 20
    red = read_video(tmp_path / "crop.mp4", num_frames=20).numpy()[:, 0]
    assert red[9, 112].max() > 200 > 60 > red[19, 112].max()


@pytest.mark.parametrize(("fps", "frames"), [(10, 10), (15, 15), (60, 60), (None, 30)])
@pytest.mark.parametrize(("mode", "suffix"), [("static", "avi"), ("tracking", "avi"), ("tracking", "mp4")])
def test_the_frame_rate_changes_the_number_of_frames_not_the_time(tmp_path, fps, frames, mode, suffix):
    source = write_drawing(tmp_path / f"clip.{suffix}", frames=30, draw=moving)
    settings = CropSettings(fps=fps, size=64, mode=mode)
    assert write_crop(source, tmp_path / "crop.mp4", boxes=path_of_moving(30), settings=settings).frames == frames
    info = probe(tmp_path / "crop.mp4")
    assert (info.fps, info.num_frames) == (fps or 30, frames)
    red = read_video(tmp_path / "crop.mp4", num_frames=frames).numpy()[:, 0]
    if mode == "tracking":  # frames and windows did not come apart
        assert abs(np.flatnonzero(red[frames // 2, 32] > 128).mean() - 32) < 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 223}, "223 is not possible; give an even number"),
        ({"size": 0}, "even number of at least 16"),
        ({"fps": 0.0}, "0.0 frames per second"),
        ({"fps": float("nan")}, "nan frames per second"),
        ({"slack": -1.0}, "slack of -1.0"),
        ({"mode": "dynamic"}, "'dynamic' is unknown; expected static or tracking"),
        ({"persons": "none"}, "expected acting or all"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CropSettings(**wrong)


def test_every_setting_is_part_of_the_version():
    others = [
        {"mode": "tracking"},
        {"shape": "aspect"},
        {"size": 336},
        {"fps": 30.0},
        {"slack": 32.5},
        {"persons": "all"},
    ]
    assert len({STATIC.version} | {CropSettings(**other).version for other in others}) == 1 + len(others)
    assert {name for other in others for name in other} == {field.name for field in dataclasses.fields(STATIC)}


@pytest.mark.slow
@pytest.mark.parametrize("settings", [STATIC, CropSettings(mode="tracking", fps=20)], ids=lambda s: s.mode)
def test_the_crop_is_the_same_every_time_and_silent(tmp_path, settings):
    import av

    source = write_drawing(tmp_path / "clip.mp4", draw=lambda picture, index: picture.__setitem__(..., index * 9))
    for number in range(30):  # some of x264's settings make one in ten differ
        write_crop(source, tmp_path / f"{number}.mp4", boxes=path_of_moving(12), settings=settings)
    assert len({(tmp_path / f"{number}.mp4").read_bytes() for number in range(30)}) == 1
    with av.open(str(tmp_path / "0.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert container.streams.video[0].codec_context.name == "h264"
        assert (container.streams.video[0].width, container.streams.video[0].height) == (224, 224)
        assert container.streams.video[0].format.name == "yuv420p"


def test_bad_videos_are_refused_and_leave_nothing(tmp_path):
    (tmp_path / "empty.avi").touch()
    (tmp_path / "noise.avi").write_bytes(os.urandom(5000))
    write_audio(tmp_path / "sound.avi")
    for suffix in ("avi", "mkv"):  # the one announces its frames, the other its length
        whole = write_drawing(tmp_path / f"whole.{suffix}", frames=40).read_bytes()
        (tmp_path / f"torn.{suffix}").write_bytes(whole[: len(whole) // 3])
    for name in ("empty.avi", "noise.avi", "sound.avi", "torn.avi", "torn.mkv", "absent.avi"):
        with pytest.raises(VideoError, match=name):
            write_crop(tmp_path / name, tmp_path / "out" / "crop.mp4", boxes=FIGURE, settings=STATIC)
    assert not list(tmp_path.glob("out/*"))


def test_nobody_in_the_picture_leaves_nothing(tmp_path):
    source = write_drawing(tmp_path / "clip.avi")
    with pytest.raises(CropError, match="nobody to cut out"):
        write_crop(source, tmp_path / "out" / "crop.mp4", boxes=FIGURE * np.nan, settings=STATIC)
    assert not list(tmp_path.glob("out/*"))


def test_a_target_that_cannot_be_written_is_not_the_videos_fault(tmp_path):
    source = write_drawing(tmp_path / "clip.avi")
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(OSError, match="out"):
        write_crop(source, tmp_path / "out" / "crop.mp4", boxes=FIGURE, settings=STATIC)


@pytest.mark.slow
def test_a_full_disk_is_not_the_videos_fault_and_leaves_nothing(tmp_path):
    def noise(picture, index):
        picture[:] = np.random.default_rng(index).integers(0, 255, picture.shape)

    source = write_drawing(tmp_path / "clip.avi", draw=noise)
    free, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
    try:
        with pytest.raises(OSError, match="cannot write"):
            write_crop(source, tmp_path / "out" / "crop.mp4", boxes=FIGURE, settings=STATIC)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, most))
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.skipif(not REAL_NTU.is_dir(), reason="the genuine NTU clip is not here")
@pytest.mark.parametrize("mode", ["static", "tracking"])
def test_the_genuine_clip_and_its_resized_copy_give_the_same_crop(tmp_path, mode):
    import av

    source = REAL_NTU / f"{CLIP}_rgb.avi"
    small = tmp_path / "small.mp4"
    with av.open(str(source)) as original, av.open(str(small), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
        for frame in original.decode(video=0):
            resized = frame.reformat(340, 256, "yuv420p")
            resized.pts = None
            out.mux(stream.encode(resized))
        out.mux(stream.encode())
    recording = read_skeleton(REAL_NTU / f"{CLIP}.skeleton")
    boxes = skeleton_boxes(recording, persons=1)
    settings = CropSettings(mode=mode)
    shown = []
    for name, video in (("full", source), ("small", small)):
        _, frames = write_crop(video, tmp_path / f"{name}_crop.mp4", boxes=boxes, settings=settings, is_kinect=True)
        assert frames == 103
        shown.append(read_video(tmp_path / f"{name}_crop.mp4", num_frames=1).numpy().astype(float))
    assert np.abs(shown[0] - shown[1]).mean() < 4
    blocks = [video.reshape(3, 28, 8, 28, 8).mean(axis=(2, 4)).ravel() for video in shown]
    assert np.corrcoef(*blocks)[0, 1] > 0.995
