import numpy as np
import pytest
import torch

from ski_lvlm.videos.decoding import centre_square, probe, read_for_tower, read_video
from ski_lvlm.videos.folder import VideoError, find_video, list_videos
from ski_lvlm.videos.timeline import sample_indices
from tests.cases.video_case import (
    REAL_CLIP,
    frame_numbers,
    needs_real_clip,
    numbered,
    quarters,
    write_audio,
    write_video,
    write_zero_length,
)


@pytest.mark.parametrize(("total", "expected"), [(103, 100), (300, 100), (101, 100), (16, 16), (7, 3), (2000, 16)])
def test_sampled_frames_are_evenly_spaced_and_centred(total, expected):
    indices = sample_indices(total, expected)
    gaps = np.diff(indices)
    assert len(indices) == expected
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1
    assert abs(indices[0] - (total - 1 - indices[-1])) <= 1


def test_no_frame_is_invented_for_a_short_clip(tmp_path):
    clip = write_video(tmp_path / "short.avi", numbered(5))
    assert frame_numbers(read_video(clip, num_frames=100)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_each_sampled_frame_is_the_right_one(tmp_path, suffix):
    # B-frames and several key frames: where decoders that seek in AVI files return other frames
    clip = write_video(tmp_path / f"clip{suffix}", numbered(60))
    assert probe(clip) == (64, 48, 60, 30.0)
    for num_frames in (1, 7, 60):
        assert frame_numbers(read_video(clip, num_frames=num_frames)) == sample_indices(60, num_frames).tolist()


def test_frames_are_scaled_to_height_and_width(tmp_path):
    frames = read_video(write_video(tmp_path / "q.mp4", quarters()), num_frames=2, size=(20, 32))
    assert frames.shape == (2, 3, 20, 32) and frames.dtype == torch.uint8
    assert frames[0, :, 5, 8].argmax() == 0 and frames[0, :, 5, 24].argmax() == 1 and frames[0, :, 15, 8].argmax() == 2


def test_a_crop_is_taken_in_pixels_of_the_video_before_scaling(tmp_path):
    clip = write_video(tmp_path / "q.mp4", quarters())
    green = read_video(clip, num_frames=1, crop=(35, 3, 60, 20))
    assert green.shape == (1, 3, 17, 25)
    assert green[0, 1].min() > 200 and green[0, 0].max() < 60
    assert read_video(clip, num_frames=1, crop=(35, 3, 60, 20), size=(8, 8))[0, 1].min() > 200


def test_a_crop_is_clipped_to_the_frame_and_never_empty(tmp_path):
    clip = write_video(tmp_path / "q.mp4", quarters())
    assert read_video(clip, num_frames=1, crop=(-10, -10, 20, 500)).shape == (1, 3, 48, 20)
    with pytest.raises(VideoError, match=r"q.mp4.*outside the 64x48 frame"):
        read_video(clip, num_frames=1, crop=(64, 0, 90, 40))


def test_centre_square_is_clip_s_centre_crop(tmp_path):
    clip = write_video(tmp_path / "q.mp4", quarters())
    frames = read_video(clip, num_frames=1, crop=centre_square(probe(clip)), size=(48, 48))
    whole = read_video(clip, num_frames=1)
    assert (frames.int() - whole[..., 8:56].int()).abs().float().mean() < 2


def edged(*, height, width):
    """Grey frames, white outside their central square."""
    frames = np.full((4, height, width, 3), 250, np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    frames[:, top : top + side, left : left + side] = 40
    return frames


@pytest.mark.parametrize(("height", "width"), [(48, 96), (96, 48)])
def test_the_tower_sees_the_whole_frame_or_its_central_square(tmp_path, height, width):
    clip = write_video(tmp_path / "edged.mp4", edged(height=height, width=width))
    whole = read_for_tower(clip, num_frames=2, side=28)
    centre = read_for_tower(clip, num_frames=2, side=28, framing="centre")
    assert whole.shape == centre.shape == (2, 3, 28, 28)
    assert torch.equal(whole, read_for_tower(clip, num_frames=2, side=28, framing="whole"))
    first, last = (whole[..., 0], whole[..., -1]) if width > height else (whole[..., 0, :], whole[..., -1, :])
    assert first.min() > 200 and last.min() > 200
    assert centre[..., 2:-2, 2:-2].max() < 60


def test_an_unknown_framing_is_refused(tmp_path):
    clip = write_video(tmp_path / "q.mp4", quarters())
    with pytest.raises(VideoError, match="framing 'center' is unknown; expected whole or centre"):
        read_for_tower(clip, num_frames=1, side=28, framing="center")


def hostile(name, path):
    whole = write_video(path / "whole.avi", numbered(60, height=96, width=128)).read_bytes()
    file = path / "bad.avi"
    if name == "audio-only":
        return write_audio(path / "bad.mp4")
    if name == "zero-length":
        return write_zero_length(file)
    content = {"empty": b"", "junk": bytes(range(256)) * 40, "header": whole[:2500], "half": whole[: len(whole) // 2]}
    if name in content:
        file.write_bytes(content[name])
    return file


REASONS = {
    "missing": "no such video file",
    "empty": "cannot be decoded",
    "junk": "cannot be decoded",
    "header": "cannot be decoded|truncated|no frames",
    "half": r"truncated or corrupt, \d+ of 60",
    "zero-length": "no frames",
    "audio-only": "audio only",
}


@pytest.mark.parametrize("name", REASONS)
def test_a_hostile_file_is_named_with_its_fault(tmp_path, name):
    file = hostile(name, tmp_path)
    with pytest.raises(VideoError, match=REASONS[name]) as caught:
        read_video(file, num_frames=16, size=(32, 32))
    assert str(file) in str(caught.value)


def test_videos_are_found_by_clip_name_in_ntu_s_folders_and_flat_ones(tmp_path):
    ntu = write_video(tmp_path / "ntu" / "rgb" / "S001C001P001R001A001_rgb.avi", numbered(2))
    flat = write_video(tmp_path / "flat" / "v_1.5.mp4", numbered(2))
    (tmp_path / "flat" / "notes.txt").write_text("no video")
    assert find_video(tmp_path / "ntu", "S001C001P001R001A001.pkl") == ntu
    assert find_video(tmp_path / "ntu" / "rgb", "S001C001P001R001A001") == ntu
    assert list_videos(tmp_path / "flat") == {"v_1.5": flat}
    with pytest.raises(VideoError, match="no video of clip 'A002'"):
        find_video(tmp_path / "ntu", "A002.avi")
    with pytest.raises(VideoError, match="no such folder"):
        list_videos(tmp_path / "nowhere")


def touched(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_a_folder_in_a_name_is_part_of_it(tmp_path):
    root = tmp_path / "videos"
    touched(root / "clip.avi", root / "a" / "x.mp4", root / "b" / "x_rgb.avi", tmp_path / "out.avi")
    assert find_video(root, "a/x") == root / "a" / "x.mp4"
    assert find_video(root, "b/x.pkl") == root / "b" / "x_rgb.avi"
    assert find_video(root, f"{root}/a/x.mp4") == root / "a" / "x.mp4"
    assert find_video(root, "./clip") == root / "clip.avi"
    for another in ("elsewhere/clip", "/any/path/clip.avi", "x", "../out", f"{tmp_path}/out.avi", "a/../clip", ""):
        with pytest.raises(VideoError, match="no video of clip"):
            find_video(root, another)


def test_a_folder_in_the_name_of_an_ntu_clip(tmp_path):
    touched(file := tmp_path / "rgb" / "S001C001P001R001A001_rgb.avi")
    for name in ("rgb/S001C001P001R001A001_rgb.avi", "S001C001P001R001A001"):
        assert find_video(tmp_path, name) == file


def test_an_ending_in_a_name_chooses_between_files_of_one_clip(tmp_path):
    files = [tmp_path / name for name in ("x.avi", "x.mp4", "x_rgb.avi", "y.MOV")]
    touched(*files)
    assert [find_video(tmp_path, file.name) for file in files] == files
    assert find_video(tmp_path, "y") == files[-1]


def test_a_name_that_no_file_can_have_is_missing(tmp_path):
    with pytest.raises(VideoError, match="no video of clip 'xxx.*too long") as caught:
        find_video(tmp_path, 300 * "x")
    assert len(str(caught.value)) < 200 + len(str(tmp_path))


@needs_real_clip
def test_the_genuine_ntu_clip():
    assert probe(REAL_CLIP) == (1920, 1080, 103, 30.0)
    frames = read_video(REAL_CLIP, num_frames=100, size=(224, 224))
    assert frames.shape == (100, 3, 224, 224)
    assert 20 < frames.float().mean() < 235 and frames.float().std() > 20
