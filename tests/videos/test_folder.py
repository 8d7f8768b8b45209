"""Clips of a folder and the files that names mean: flat, one folder for each class, or NTU's."""

import json
from functools import partial

import numpy as np
import pytest

from eval.charades import without_video
from eval.items.charades_files import Caption
from scripts.cache_frames import main as cache_frames
from ski_lvlm.datasets.ntu_folder import find_files
from ski_lvlm.datasets.reading import load_clip
from ski_lvlm.storage.clip_names import VIDEO_SUFFIXES
from ski_lvlm.videos.decoding import read_clip
from ski_lvlm.videos.folder import VideoError, VideoFolder, find_video, list_videos
from ski_lvlm.videos.frame_cache import FrameCache
from tests.cases.video_case import numbered, write_video

NTU = "S001C001P001R001A001"


def touched(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


@pytest.fixture
def classes(tmp_path):
    """Two clips of one name in two folders, and one of its own name, as UCF101 has them."""
    root = tmp_path / "ucf"
    for name, count in {"Archery/v_01.avi": 4, "Biking/v_01.avi": 8, "Biking/v_02.mkv": 12}.items():
        write_video(root / name, numbered(count))
    return root


@pytest.mark.parametrize("suffix", [s for suffix in VIDEO_SUFFIXES for s in (suffix, suffix.upper())])
def test_every_suffix_of_a_video_is_listed_and_found(tmp_path, suffix):
    file = tmp_path / f"x{suffix}"
    touched(file, tmp_path / "notes.txt", tmp_path / ".y.mp4")
    assert list_videos(tmp_path) == {"x": file}
    assert find_video(tmp_path, "x") == find_video(tmp_path, "x.pkl") == find_video(tmp_path, f"x{suffix}") == file


def test_a_folder_for_each_class_is_part_of_the_names(classes):
    files = {name: classes / name for name in ("Archery/v_01.avi", "Biking/v_01.avi", "Biking/v_02.mkv")}
    assert list_videos(classes) == {name.rpartition(".")[0]: file for name, file in files.items()}
    assert [find_video(classes, name) for name in files] == list(files.values())
    assert [find_video(classes, name) for name in list_videos(classes)] == list(files.values())
    assert find_video(classes, "v_02") == find_video(classes, "v_02.avi") == files["Biking/v_02.mkv"]
    with pytest.raises(VideoError, match=r"'v_01' alone .*Archery/v_01, Biking/v_01"):
        find_video(classes, "v_01")


def test_ntu_s_clips_keep_their_names_in_any_folder(tmp_path):
    touched(file := tmp_path / "nturgb+d_rgb_s001" / f"{NTU}_rgb.avi", tmp_path / "crops" / "old" / f"{NTU}.mp4")
    assert list_videos(tmp_path) == {NTU: file}
    assert find_video(tmp_path, NTU) == file


@pytest.mark.parametrize("other", ["x.mp4", "x.gif", "x_rgb.avi"])
def test_two_files_of_one_clip_are_refused_but_by_their_whole_names(tmp_path, other):
    files = [tmp_path / "x.avi", tmp_path / other]
    touched(*files)
    assert [find_video(tmp_path, file.name) for file in files] == files
    for ask in (
        lambda: list_videos(tmp_path),
        lambda: find_video(tmp_path, "x"),
        lambda: find_video(tmp_path, "x.pkl"),
    ):
        with pytest.raises(VideoError, match=r"the clip 'x' has two files, .*; keep one, or give the name with its"):
            ask()


def test_an_ntu_clip_in_two_folders_of_one_depth_is_refused(tmp_path):
    touched(*(tmp_path / folder / f"{NTU}_rgb.avi" for folder in ("a", "b")))
    with pytest.raises(VideoError, match=f"'{NTU}' has two files, a/{NTU}_rgb.avi and b/{NTU}_rgb.avi"):
        list_videos(tmp_path)


def test_folders_may_be_links_that_lead_back(tmp_path):
    touched(tmp_path / "there" / "a" / "x.mp4")
    root = tmp_path / "videos"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "there" / "a")
    (tmp_path / "there" / "a" / "back").symlink_to(root)
    assert list_videos(root) == {"a/x": root / "a" / "x.mp4"}


def test_ntu_s_folder_counts_videos_of_every_kind(tmp_path):
    touched(tmp_path / "skeletons" / f"{NTU}.skeleton", tmp_path / "rgb" / f"{NTU}_rgb.MOV")
    assert find_files(tmp_path).videos == {NTU}


def test_frames_of_clips_in_folders_are_cached_apart(classes, tmp_path):
    flags = ["--ntu", str(classes), "--out", str(tmp_path / "cache"), "--num_frames", "4", "--side", "16"]
    assert cache_frames([*flags, "--workers", "0"]) == 0
    cache = FrameCache.open(tmp_path / "cache")
    assert cache.names == list(list_videos(classes))
    frames = [cache.window(name, start=0.0, stop=1.0, num_frames=1) for name in cache.names]
    assert len({int(np.rint(clip.float().mean())) for clip in frames}) == 3
    assert json.loads((tmp_path / "cache" / "failures.json").read_text()) == {}


def test_questions_about_clips_in_folders_see_their_clips(classes):
    names = ["Archery/v_01", "Biking/v_01.avi", "v_02", "v_01", "Cooking/v_02"]
    read = partial(read_clip, videos=VideoFolder(classes), num_frames=100, side=16)
    clips = [load_clip(name, read) for name in names]
    assert [None if clip.content is None else len(clip.content) for clip in clips] == [4, 8, 12, None, None]
    assert without_video([Caption(name, "One sits.") for name in names[:3]], classes) == []


def test_a_folder_without_videos_says_what_it_holds(tmp_path):
    touched(tmp_path / "a" / "x.jpg")
    with pytest.raises(VideoError, match=r"no videos .* only \.jpg; check"):
        from ski_lvlm.videos.frame_cache import DecodedFrames

        DecodedFrames(tmp_path, side=16)


def test_a_folder_is_listed_only_where_a_name_needs_it(tmp_path):
    touched(tmp_path / "x_rgb.avi")
    videos = VideoFolder(tmp_path)
    assert videos.find("x") == tmp_path / "x_rgb.avi"
    assert "clips" not in vars(videos)
