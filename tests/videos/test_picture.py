"""Frames, sizes and crops are those that a player shows: turned, mirrored, with square pixels, in the right colours."""

import base64
import io
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from data_curation.captioning.frame_choice import chosen_frames
from data_curation.cropping.boxes import KINECT, WHOLE
from data_curation.cropping.crop import write_crop
from data_curation.cropping.crop_settings import CropSettings
from data_curation.cropping.detect import find_boxes
from ski_lvlm.pages.pictures import video_strip
from ski_lvlm.videos.decoding import centre_square, probe, read_for_tower, read_moments, read_video
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.frame_cache import DecodedFrames
from tests.cases.odd_video_case import colours, encode
from tests.cases.video_case import quarters, write_video

pytestmark = pytest.mark.slow

UPRIGHT, HEIGHT, WIDTH = "RGBk", 48, 64
TURNS = [  # degrees against the clock, mirrored, what a player shows, whether it is upright
    (0, False, "RGBk", False),
    (270, False, "BRkG", True),
    (180, False, "kBGR", False),
    (90, False, "GkRB", True),
    (0, True, "GRkB", False),
    (180, True, "BkRG", False),
]


def turned(path, *, degrees=0, is_mirrored=False, matrix=None):
    def turn(stream):
        if matrix is None:
            stream.set_display_rotation(degrees, hflip=is_mirrored)
        else:
            stream.set_display_matrix(matrix)

    return encode(path, quarters(height=HEIGHT, width=WIDTH), before=turn)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(("degrees", "is_mirrored", "expected", "is_upright"), TURNS)
def test_every_reader_sees_what_a_player_shows(tmp_path, suffix, degrees, is_mirrored, expected, is_upright):
    if suffix == "mkv" and is_mirrored:
        pytest.skip("Matroska knows no mirrors")
    clip = turned(tmp_path / f"x.{suffix}", degrees=degrees, is_mirrored=is_mirrored)
    height, width = (WIDTH, HEIGHT) if is_upright else (HEIGHT, WIDTH)
    assert probe(clip)[:2] == (width, height)
    assert read_video(clip, num_frames=1).shape[-2:] == (height, width)
    moments = np.array([0.1, 0.9])
    strip = Image.open(io.BytesIO(base64.b64decode(video_strip(str(clip), num_frames=1).partition(",")[2])))
    readers = {
        "own size": read_video(clip, num_frames=1)[0],
        "tower": read_for_tower(clip, num_frames=1, side=32)[0],
        "centre": read_for_tower(clip, num_frames=1, side=32, framing="centre")[0],
        "moments": read_moments(clip, moments=moments, side=32)[1],
        "cache": DecodedFrames(tmp_path, side=32).window("x", start=0.0, stop=1.0, num_frames=2)[0],
        "strip": torch.tensor(np.asarray(strip)).permute(2, 0, 1)[..., : strip.width - 3],
        "caption": png(chosen_frames(clip, "middle")[0]),
        "motion": png(chosen_frames(clip, "motion")[0]),
    }
    assert {name: colours(frame) for name, frame in readers.items()} == dict.fromkeys(readers, expected)
    assert readers["strip"].shape[1:] == (112, round(112 * width / height))


def png(content):
    return torch.tensor(np.asarray(Image.open(io.BytesIO(content)))).permute(2, 0, 1)


@pytest.mark.parametrize(("flips", "expected"), [((1, 1), "RBGk"), ((-1, -1), "kGBR")])
def test_pictures_mirrored_along_a_diagonal(tmp_path, flips, expected):
    one = 1 << 16
    clip = turned(tmp_path / "x.mp4", matrix=(0, flips[0] * one, 0, flips[1] * one, 0, 0, 0, 0, 1 << 30))
    assert colours(read_video(clip, num_frames=1)[0]) == expected


def test_a_turn_that_is_no_quarter_is_refused_and_an_empty_matrix_says_nothing(tmp_path):
    with pytest.raises(VideoError, match=r"x.mp4: the header turns the picture by 30 degrees"):
        read_video(turned(tmp_path / "x.mp4", degrees=-30), num_frames=1)
    clip = turned(tmp_path / "y.mp4", matrix=(0,) * 8 + (1 << 30,))
    assert colours(read_video(clip, num_frames=1)[0]) == UPRIGHT


def test_crops_are_in_the_pixels_that_are_shown(tmp_path):
    clip = turned(tmp_path / "x.mp4", degrees=270)  # shown: blue red above black green, 48 wide and 64 high
    red = read_video(clip, num_frames=1, crop=(26, 2, 46, 30))
    assert red.shape == (1, 3, 28, 20) and red[0, 0].min() > 200 > 60 > red[0, 1:].max()
    assert centre_square(probe(clip)) == (0, 8, 48, 56)
    with pytest.raises(VideoError, match="outside the 48x64 frame"):
        read_video(clip, num_frames=1, crop=(50, 0, 60, 10))


@pytest.mark.parametrize(("degrees", "expected"), [(270, "BRkG"), (90, "GkRB"), (180, "kBGR")])
def test_the_crop_of_a_turned_video_is_upright_once(tmp_path, degrees, expected):
    clip = turned(tmp_path / "x.mp4", degrees=degrees)
    settings = CropSettings(shape="aspect", size=64)
    box, _ = write_crop(clip, tmp_path / "crop.mp4", boxes=WHOLE, settings=settings)
    assert box == (0, 0, *probe(clip)[:2])
    crop = read_video(tmp_path / "crop.mp4", num_frames=1)[0]
    assert colours(crop) == expected
    if degrees != 180:  # higher than wide, and not squeezed
        assert crop.shape == (3, 64, 48)


class RedFinder:
    model = "red-1"

    def __call__(self, frames):
        from ski_lvlm.estimation.association import Detections

        pictures = []
        for frame in frames:
            red = (frame[..., 0] > 128) & (frame[..., 1] < 100)
            rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
            box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            pictures.append(Detections(np.array([box], float), np.ones(1)))
            self.shape = frame.shape
        return pictures


def test_a_detector_sees_a_phone_s_video_upright_and_its_box_is_cut_out(tmp_path):
    clip = turned(tmp_path / "x.mp4", degrees=270)
    finder = RedFinder()
    boxes = find_boxes(clip, detector=finder, persons=1)
    assert finder.shape[0] > finder.shape[1]
    np.testing.assert_allclose(boxes[0, 2] / [*KINECT, *KINECT], [0.5, 0, 1, 0.5], atol=0.02)
    write_crop(clip, tmp_path / "crop.mp4", boxes=boxes, settings=CropSettings(shape="aspect", size=64, slack=0))
    crop = read_video(tmp_path / "crop.mp4", num_frames=1)[0, :, 2:-2, 2:-2]
    assert crop[0].min() > 180 > 80 > crop[1:].max()


@pytest.mark.parametrize(
    ("aspect", "degrees", "size"),
    [
        (Fraction(2), 0, (128, 48)),
        (Fraction(3, 4), 0, (48, 48)),
        (Fraction(2), 270, (48, 128)),
        (Fraction(99, 100), 0, (64, 48)),
    ],
)
def test_pixels_that_are_not_square_are_stretched(tmp_path, aspect, degrees, size):
    def stretch(stream):
        stream.sample_aspect_ratio = aspect
        stream.set_display_rotation(degrees)

    clip = encode(tmp_path / "x.mp4", quarters(height=HEIGHT, width=WIDTH), before=stretch)
    assert probe(clip)[:2] == size
    assert read_video(clip, num_frames=1).shape[-2:] == size[::-1]
    assert colours(read_for_tower(clip, num_frames=1, side=32, framing="centre")[0]) == ("BRkG" if degrees else UPRIGHT)
    write_crop(clip, tmp_path / "crop.mp4", boxes=WHOLE, settings=CropSettings(shape="aspect", size=64))


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("libx264", "yuv420p", "mp4"),
        ("libx264", "yuvj420p", "mp4"),
        ("libx264", "yuv422p", "mkv"),
        ("libx264", "yuv444p", "mp4"),
        ("libx264", "yuv420p10le", "mp4"),
        ("mjpeg", "yuvj420p", "avi"),
        ("mpeg4", "yuv420p", "avi"),
        ("mpeg1video", "yuv420p", "mpg"),
        ("wmv2", "yuv420p", "wmv"),
        ("libvpx-vp9", "yuva420p", "webm"),
        ("qtrle", "argb", "mov"),
        ("ffv1", "bgra", "mkv"),
        ("gif", "rgb8", "gif"),
        ("rawvideo", "yuv420p", "avi"),
    ],
)
def test_colours_are_right_in_every_pixel_format(tmp_path, codec, pixels, suffix):
    clip = encode(tmp_path / f"x.{suffix}", quarters(height=HEIGHT, width=WIDTH), codec=codec, pixels=pixels)
    frame = read_video(clip, num_frames=1)[0]
    assert colours(frame) == UPRIGHT
    patches = [frame[:, 8:16, 8:16], frame[:, 8:16, 40:56], frame[:, 32:40, 8:16]]
    for channel, patch in enumerate(patches):
        assert (patch.float().mean((1, 2)) - 250 * torch.eye(3)[channel]).abs().max() < 16
    write_crop(clip, tmp_path / "crop.mp4", boxes=WHOLE, settings=CropSettings(shape="aspect", size=64))
    assert colours(read_video(tmp_path / "crop.mp4", num_frames=1)[0]) == UPRIGHT


def test_grey_videos_and_odd_sides_are_read(tmp_path):
    grey = encode(tmp_path / "grey.mkv", quarters(height=HEIGHT, width=WIDTH), codec="ffv1", pixels="gray")
    frame = read_video(grey, num_frames=1)[0].float()
    assert (frame - frame.mean(0)).abs().max() <= 1 and frame.std() > 20
    odd = encode(tmp_path / "odd.mkv", quarters(height=47, width=63), pixels="yuv444p")
    assert probe(odd)[:2] == (63, 47) and read_video(odd, num_frames=1).shape[-2:] == (47, 63)
    write_crop(odd, tmp_path / "crop.mp4", boxes=WHOLE, settings=CropSettings())


@pytest.mark.slow
def test_high_dynamic_range_is_brought_to_the_standard_range(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)[None, None, :, None].repeat(2, 0).repeat(48, 1).repeat(3, 3)
    shades = {}
    for curve in ("smpte2084", "arib-std-b67", "bt709"):
        tags = {"x264-params": f"colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc"}
        clip = encode(tmp_path / f"{curve}.mp4", ramp, pixels="yuv420p10le", options=tags)
        shades[curve] = read_video(clip, num_frames=1)[0].float().mean(0)[24]
    assert (shades["arib-std-b67"] - shades["bt709"]).abs().max() < 3
    mapped = shades["smpte2084"]
    assert (mapped.diff() > -3).all() and mapped[0] < 8 and mapped[-1] > 245
    assert mapped[18] < shades["bt709"][18] - 10 < shades["bt709"][45] < mapped[45] - 8  # no longer flat


def test_a_change_of_size_within_a_video_is_scaled_as_in_a_window(tmp_path):
    small = encode(tmp_path / "a.ts", quarters(height=HEIGHT, width=WIDTH))
    large = encode(tmp_path / "b.ts", quarters(height=2 * HEIGHT, width=2 * WIDTH))
    (tmp_path / "x.ts").write_bytes(small.read_bytes() + large.read_bytes())
    frames = read_video(tmp_path / "x.ts", num_frames=8)
    assert frames.shape == (8, 3, HEIGHT, WIDTH)
    assert {colours(frame) for frame in frames} == {UPRIGHT}


def test_a_cover_picture_is_no_video(tmp_path):
    import av

    song = tmp_path / "song.mp4"
    with av.open(str(song), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.rate = 44100
        container.mux(sound.encode(samples))
        container.mux(cover.encode(av.VideoFrame.from_ndarray(quarters()[0], format="rgb24")))
        for stream in (sound, cover):
            container.mux(stream.encode())
    with pytest.raises(VideoError, match="audio only"):
        probe(song)


def test_an_upright_video_of_a_kinect_is_as_before(tmp_path):
    clip = write_video(tmp_path / "x.avi", quarters(height=HEIGHT, width=WIDTH))
    settings = CropSettings(shape="aspect", size=64)
    write_crop(clip, tmp_path / "crop.mp4", boxes=WHOLE, settings=settings, is_kinect=True)
    assert probe(tmp_path / "crop.mp4")[:2] == (64, 36)  # unsqueezed to 16 : 9
