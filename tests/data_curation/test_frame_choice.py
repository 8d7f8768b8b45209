import io

import numpy as np
import pytest
from PIL import Image

from data_curation.captioning.frame_choice import chosen_frames, frames_choice, motion
from data_curation.ledger import Rejected
from ski_lvlm.videos.folder import VideoError
from tests.cases.video_case import write_drawing

SQUARE, FRAMES = 24, 40
GREYS = np.linspace(40, 200, FRAMES).round().astype(int)  # a corner of each frame tells its number


def filmed(path, *, moving=range(0), black=range(0), flash=range(0), frames=FRAMES, width=96, height=96):
    """A grey room with a white square, which walks in the frames `moving`; the corner's grey tells a frame's number."""

    def draw(picture, index):
        if index in black:
            return
        picture[:] = 170 if index in flash else 30
        step = len([one for one in moving if one <= index])
        picture[40 : 40 + SQUARE, 8 + 3 * step : 8 + 3 * step + SQUARE] = 255
        picture[:16, -16:] = GREYS[index]

    return write_drawing(path, width=width, height=height, frames=frames, draw=draw)


def numbers(pictures):
    """Which frames these PNG files are."""
    corners = [np.asarray(Image.open(io.BytesIO(data)).convert("L"))[4:12, -12:-4].mean() for data in pictures]
    return [int(np.abs(GREYS - corner).argmin()) for corner in corners]


@pytest.mark.parametrize("text", ["", "0", "-1", "33", "2.5", "many", "middle,motion", "٣", "1e1", "²"])
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match="expected middle, motion, or a number from 1 to 32"):
        frames_choice(text)


def test_the_middle_and_evenly_spaced_frames(tmp_path):
    film = filmed(tmp_path / "film.mp4")
    assert numbers(chosen_frames(film, "middle")) == [20]
    assert numbers(chosen_frames(film, "4")) == [5, 15, 25, 35]
    assert chosen_frames(film, "middle") == chosen_frames(film, "middle")


def test_a_clip_of_fewer_frames_gives_each_once(tmp_path):
    film = filmed(tmp_path / "film.mp4", frames=3)
    assert numbers(chosen_frames(film, "8")) == [0, 1, 2]


def test_a_frame_is_the_whole_crop_whatever_its_shape(tmp_path):
    film = filmed(tmp_path / "film.mp4", moving=range(5, 12), width=128, height=64)
    for choice in ("middle", "motion"):
        (picture,) = chosen_frames(film, choice)
        assert Image.open(io.BytesIO(picture)).size == (128, 64)


@pytest.mark.parametrize("start", [3, 14, 30])
def test_motion_is_found_where_it_happens(tmp_path, start):
    film = filmed(tmp_path / "film.mp4", moving=range(start, start + 7))
    (found,) = numbers(chosen_frames(film, "motion"))
    assert start <= found < start + 7


@pytest.mark.parametrize("flash", [range(8, 9), range(6, 9), range(8, FRAMES), range(8)])
def test_a_flash_or_a_lamp_switched_on_is_no_motion(tmp_path, flash):
    film = filmed(tmp_path / "film.mp4", moving=range(24, 31), flash=flash)
    (found,) = numbers(chosen_frames(film, "motion"))
    assert 24 <= found < 31


def test_a_black_frame_is_never_chosen(tmp_path):
    blinking = [10, 12, 14, 15, 17, 19, 20, 21, 22]  # the largest change of all lies at the fifth of them
    film = filmed(tmp_path / "film.mp4", black=blinking)
    (found,) = numbers(chosen_frames(film, "motion"))
    assert found not in blinking and 8 <= found < 26


def test_a_clip_that_is_black_throughout_is_rejected_for_motion_only(tmp_path):
    film = filmed(tmp_path / "film.mp4", black=range(FRAMES))
    with pytest.raises(Rejected, match="all frames are black"):
        chosen_frames(film, "motion")
    assert len(chosen_frames(film, "middle")) == 1


def test_where_nothing_moves_it_is_the_earliest_frame(tmp_path):
    assert numbers(chosen_frames(filmed(tmp_path / "one.mp4", frames=1), "motion")) == [0]
    still = write_drawing(tmp_path / "still.mp4", width=64, height=64, draw=lambda picture, index: picture.fill(90))
    assert Image.open(io.BytesIO(chosen_frames(still, "motion")[0])).convert("L").getpixel((5, 5)) in range(85, 96)


def test_equal_motion_stays_equal_after_smoothing():
    grey = np.zeros((60, 8, 8))
    for start in (10, 35):  # twice the same walk; thirds do not add up exactly
        for step in range(7):
            grey[start + step, 2, step] = 100 / 3
    smooth = motion(grey)
    assert smooth[10:20].max() == smooth[35:45].max()
    assert int(smooth.argmax()) < 20


def test_a_damaged_crop_is_named(tmp_path):
    film = filmed(tmp_path / "film.mp4")
    film.write_bytes(film.read_bytes()[:900])
    for choice in ("middle", "3", "motion"):
        with pytest.raises(VideoError, match="film.mp4"):
            chosen_frames(film, choice)
