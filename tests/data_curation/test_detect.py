import numpy as np
import pytest

from data_curation.cropping.boxes import CropError
from data_curation.cropping.crop import CropSettings, write_crop
from data_curation.cropping.detect import find_boxes
from ski_lvlm.estimation.association import Detections
from ski_lvlm.videos.decoding import read_video
from ski_lvlm.videos.folder import VideoError


class RedFinder:
    """Finds what is red: a test double with the detectors' call, that knows where it looked."""

    model = "red-1"

    def __init__(self, miss=()):
        self.miss, self.shapes = miss, []

    def __call__(self, frames):
        self.shapes.append(frames.shape)
        return [self._find(frame, i) for i, frame in enumerate(frames)]

    def _find(self, frame, number):
        rows, columns = np.nonzero(frame[..., 0] > 150)
        if not len(rows) or number in self.miss:
            return Detections(np.zeros((0, 4)), np.zeros(0))
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return Detections(np.array([box], float), np.ones(1))


def write_walk(path, *, size=(320, 180), frames=60, speed=4, seen=range(10_000)):
    """A red figure of 90 x 360 pixels of 1920x1080 that walks to the right."""
    import av

    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index in range(frames):
            picture = np.zeros((180, 320, 3), np.uint8)
            if index in seen:
                picture[60:120, 20 + speed * index : 35 + speed * index] = (255, 0, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(*size)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("size", [(320, 180), (340, 256)])
def test_a_walk_is_followed_in_pixels_of_the_kinects_image_whatever_the_videos_size(tmp_path, size):
    source, finder = write_walk(tmp_path / "clip.avi", size=size), RedFinder()
    boxes = find_boxes(source, detector=finder, persons=1)
    assert boxes.shape == (1, 60, 4)
    assert finder.shapes == [(10, 360, 640, 3)]  # five a second, unsqueezed
    middle = boxes[0, 5:54]  # the middles of the first and last fifth of a second lie just outside
    expected = 6 * np.stack([20 + 4 * np.arange(5, 54), 35 + 4 * np.arange(5, 54)], -1)
    assert np.abs(middle[:, [0, 2]] - expected).max() < 30
    assert np.abs(middle[:, [1, 3]] - [360, 720]).max() < 15


def test_frames_in_which_the_detector_misses_the_person_are_bridged(tmp_path):
    source = write_walk(tmp_path / "clip.avi", speed=1)
    whole = find_boxes(source, detector=RedFinder(), persons=2)
    holed = find_boxes(source, detector=RedFinder(miss={4, 5, 6}), persons=2)
    assert np.nanmax(np.abs(whole - holed)) < 25  # four pixels of the video
    assert np.isfinite(holed[0, 10:50]).all()


def test_before_and_after_being_seen_a_person_is_absent(tmp_path):
    source = write_walk(tmp_path / "clip.avi", speed=1, seen=range(24, 45))
    seen = np.flatnonzero(np.isfinite(find_boxes(source, detector=RedFinder(), persons=1)[0]).all(axis=1))
    assert 24 <= seen[0] < seen[-1] < 45


def test_nobody_is_an_error_that_says_who_looked(tmp_path):
    source = write_walk(tmp_path / "clip.avi", seen=())
    with pytest.raises(CropError, match="red-1 found nobody in 10 frames"):
        find_boxes(source, detector=RedFinder(), persons=1)


def test_a_video_that_cannot_be_read_is_not_nobody(tmp_path):
    (tmp_path / "noise.avi").write_bytes(b"noise" * 99)
    with pytest.raises(VideoError, match="noise"):
        find_boxes(tmp_path / "noise.avi", detector=RedFinder(), persons=1)


def test_what_was_detected_can_be_cropped_and_tracked(tmp_path):
    source = write_walk(tmp_path / "clip.avi")
    boxes = find_boxes(source, detector=RedFinder(), persons=1)
    write_crop(source, tmp_path / "crop.mp4", boxes=boxes, settings=CropSettings(mode="tracking"))
    red = read_video(tmp_path / "crop.mp4", num_frames=60).numpy()[:, 0]
    centres = [np.flatnonzero(frame[112] > 128).mean() for frame in red[10:50]]
    assert np.abs(np.array(centres) - 112).max() < 8
