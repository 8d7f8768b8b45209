"""Strips of frames: in order, in the video's own proportions, and refused when there is no video."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ski_lvlm.pages.pictures import strip, svg_url, video_strip
from ski_lvlm.videos.folder import VideoError
from tests.cases.video_case import numbered, write_video


def image_of(url):
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def test_a_strip_shows_the_frames_in_order_of_time():
    frames = np.stack([np.full((3, 20, 10), value, np.uint8) for value in (0, 100, 200)])
    picture = np.asarray(image_of(strip(frames)))
    assert picture.shape == (20, 3 * 13, 3)
    assert [int(picture[10, 13 * n + 4, 0]) // 50 for n in range(3)] == [0, 2, 4]


def test_a_strip_keeps_the_videos_aspect(tmp_path):
    write_video(tmp_path / "clip.avi", numbered(12, height=32, width=64))
    image = image_of(video_strip(str(tmp_path / "clip.avi"), num_frames=2))
    assert image.size == (2 * (224 + 3), 112)
    with pytest.raises(VideoError):
        video_strip(str(tmp_path / "none.avi"), num_frames=2)


@pytest.mark.slow
def test_a_drawing_depends_on_what_is_drawn_alone():
    from matplotlib.figure import Figure

    def drawn(height):
        figure = Figure()
        figure.add_subplot().bar([0], [height])
        return svg_url(figure)

    assert drawn(1) == drawn(1) != drawn(2)
