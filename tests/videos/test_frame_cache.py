import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.cache_frames import main
from ski_lvlm.videos.decoding import read_for_tower
from ski_lvlm.videos.folder import VideoError
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource, segment_moments
from ski_lvlm.videos.timeline import sample_indices
from tests.cases.command_case import kill_at, run
from tests.cases.video_case import REAL_CLIP, needs_real_clip, numbered, write_video

pytestmark = pytest.mark.slow

LENGTHS = {"S001C001P001R001A001": 50, "S001C001P001R001A005": 37, "S001C001P001R001A049": 6}
LONG, OTHER, SHORT = LENGTHS
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "cache_frames.py"


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    root = tmp_path_factory.mktemp("ntu")
    for name, length in LENGTHS.items():
        write_video(root / "rgb" / f"{name}_rgb.avi", numbered(length))
    return root


def frame_numbers(video):
    """Of scaled frames, which FFmpeg makes darker by a level or two."""
    return [round((float(frame.float().mean()) - 8) / 4 + 0.35) for frame in video]


def flags(ntu, out, *options):
    return ["--ntu", str(ntu), "--out", str(out), "--num_frames", "8", "--side", "16", "--workers", "0", *options]


@pytest.fixture(scope="module")
def cache(ntu, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    assert main(flags(ntu, folder)) == 0
    return FrameCache.open(folder)


def whole(source, name, num_frames):
    return source.window(name, start=0.0, stop=1.0, num_frames=num_frames)


@pytest.mark.parametrize("total", [16, 37, 103, 300])
@pytest.mark.parametrize("num_frames", [1, 3, 7, 16])
def test_the_middles_of_the_whole_clip_are_the_frames_of_sample_indices(total, num_frames):
    moments = segment_moments(num_frames, start=0.0, stop=1.0)
    assert np.floor(moments * total + 1e-6).astype(int).tolist() == sample_indices(total, num_frames).tolist()


def test_each_segment_of_a_window_gives_one_moment_and_any_can_be_drawn():
    moments = np.stack([segment_moments(4, start=0.2, stop=0.6, rng=np.random.default_rng(k)) for k in range(300)])
    edges = np.linspace(0.2, 0.6, 5)
    assert (moments >= edges[:-1]).all() and (moments < edges[1:]).all()
    np.testing.assert_allclose(moments.min(0), edges[:-1], atol=0.002)
    np.testing.assert_allclose(moments.max(0), edges[1:], atol=0.002)


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (0.7, 0.2)])
def test_a_window_that_is_none_is_refused(start, stop):
    with pytest.raises(ValueError, match="the time window is .* expected shares of the clip"):
        segment_moments(4, start=start, stop=stop)


@pytest.mark.parametrize("framing", ["whole", "centre"])
def test_decoded_evaluation_frames_are_the_towers(ntu, framing):
    source = DecodedFrames(ntu, side=16, framing=framing)
    assert isinstance(source, FrameSource) and source.names == sorted(LENGTHS)
    expected = read_for_tower(ntu / "rgb" / f"{LONG}_rgb.avi", num_frames=7, side=16, framing=framing)
    assert torch.equal(whole(source, LONG, 7), expected)


def test_decoding_shows_the_window_and_nothing_else(ntu):
    source = DecodedFrames(ntu, side=16)
    assert frame_numbers(source.window(LONG, start=0.4, stop=0.6, num_frames=5)) == [21, 23, 25, 27, 29]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        numbers = frame_numbers(source.window(LONG, start=0.4, stop=0.6, num_frames=5, rng=rng))
        assert all(20 + 2 * k <= number < 22 + 2 * k for k, number in enumerate(numbers))


def test_a_short_clip_is_as_long_as_the_others_and_shows_every_frame(ntu, cache):
    assert frame_numbers(whole(DecodedFrames(ntu, side=16), SHORT, 8)) == [0, 1, 1, 2, 3, 4, 4, 5]
    assert frame_numbers(whole(cache, SHORT, 8)) == [0, 1, 1, 2, 3, 4, 4, 5]


def test_cached_evaluation_frames_equal_decoded_ones(ntu, cache):
    decoded = DecodedFrames(ntu, side=16)
    for name in LENGTHS:
        assert torch.equal(whole(cache, name, 8), whole(decoded, name, 8))


def test_a_moment_between_cached_frames_is_shown_by_the_nearest(cache):
    cached = sample_indices(50, 8)
    for seed in range(20):
        moments = segment_moments(3, start=0.3, stop=0.9, rng=np.random.default_rng(seed))
        window = cache.window(LONG, start=0.3, stop=0.9, num_frames=3, rng=np.random.default_rng(seed))
        distances = np.abs((np.arange(8) + 0.5) / 8 - moments[:, None])
        assert frame_numbers(window) == cached[distances.argmin(1)].tolist()


def test_what_the_cache_gives_can_be_changed_without_changing_the_cache(cache):
    before = whole(cache, LONG, 4).clone()
    whole(cache, LONG, 4).zero_()
    assert torch.equal(whole(cache, LONG, 4), before)


def test_a_clip_without_frames_is_named(ntu, cache):
    with pytest.raises(ValueError, match="no frames of clip 'A002'.*failures.json"):
        whole(cache, "A002", 4)
    with pytest.raises(VideoError, match="no video of clip 'A002' among the 3"):
        whole(DecodedFrames(ntu, side=16), "A002", 4)


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(VideoError, match="no videos"):
        DecodedFrames(tmp_path, side=16)


def test_a_split_keeps_the_clips_of_its_actions(ntu, tmp_path):
    assert main(flags(ntu, tmp_path, "--split", "synthetic")) == 0
    assert FrameCache.open(tmp_path).names == [LONG, OTHER]
    with pytest.raises(ValueError, match="begins with no built-in data set"):
        main(flags(ntu, tmp_path, "--split", "ntu/1"))


@pytest.mark.parametrize("damage", ["torn", "empty", "other shape", "other type"])
def test_a_damaged_clip_is_named_and_the_next_run_mends_it(ntu, tmp_path, damage):
    main(flags(ntu, tmp_path))
    file = tmp_path / f"{LONG}.npy"
    good = file.read_bytes()
    if damage == "torn":
        file.write_bytes(good[:-100])
    elif damage == "empty":
        file.write_bytes(b"")
    else:
        np.save(file, np.zeros((8, 3, 8, 8), np.uint8) if damage == "other shape" else np.zeros((8, 3, 16, 16)))
    with pytest.raises(ValueError, match=rf"{LONG}\.npy.*run scripts/cache_frames.py again"):
        whole(FrameCache.open(tmp_path), LONG, 4)
    main(flags(ntu, tmp_path))
    assert file.read_bytes() == good


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--num_frames", "4"], "num_frames 8, not 4"),
        (["--side", "32"], "side 16, not 32"),
        (["--framing", "whole"], "framing 'centre', not 'whole'"),
    ],
)
def test_frames_of_other_settings_are_not_mixed_in(ntu, cache, change, message):
    with pytest.raises(ValueError, match=f"holds frames of other settings .{message}"):
        main(flags(ntu, cache.folder, *change))


def test_a_file_half_written_is_no_clip(cache, tmp_path):
    FrameCache.create(tmp_path, num_frames=8, side=16)
    (tmp_path / ".A001.123.partial.npy").write_bytes((cache.folder / f"{LONG}.npy").read_bytes())
    assert FrameCache.open(tmp_path).names == []


def test_what_is_no_cache_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no frame cache .frames.json. here; make one with"):
        FrameCache.open(tmp_path)
    for content, message in (("{", "damaged"), ("[]", "another version"), ('{"version": 1}', "another version")):
        (tmp_path / "frames.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            FrameCache.open(tmp_path)
    with pytest.raises(ValueError, match="another version"):
        FrameCache.create(tmp_path, num_frames=4, side=16)


def test_frames_of_another_size_are_not_written(tmp_path):
    cache = FrameCache.create(tmp_path, num_frames=4, side=16)
    with pytest.raises(ValueError, match=r"frames \(3, 3, 16, 16\), but the cache holds \(4, 3, 16, 16\)"):
        cache.write("a", torch.zeros(3, 3, 16, 16, dtype=torch.uint8))
    assert not cache.has("a")


def test_unreadable_videos_are_listed_left_out_and_tried_again(ntu, tmp_path, capsys):
    folder = tmp_path / "rgb"
    folder.mkdir()
    (folder / "good.avi").symlink_to(ntu / "rgb" / f"{LONG}_rgb.avi")
    (folder / "bad.avi").write_bytes(b"no video")
    out = tmp_path / "out"
    assert main(flags(tmp_path, out)) == 0
    assert "frames of 1 of 2 clips" in capsys.readouterr().out
    assert "cannot be decoded" in json.loads((out / "failures.json").read_text())["bad"]
    assert FrameCache.open(out).names == ["good"]
    (folder / "bad.avi").unlink()
    (folder / "bad.avi").symlink_to(ntu / "rgb" / f"{OTHER}_rgb.avi")
    assert main(flags(tmp_path, out)) == 0
    assert json.loads((out / "failures.json").read_text()) == {}
    assert FrameCache.open(out).names == ["bad", "good"]


def test_not_one_readable_video_is_exit_code_1(tmp_path):
    (tmp_path / "bad.avi").write_bytes(b"no video")
    assert main(flags(tmp_path, tmp_path / "out")) == 1


@pytest.mark.slow
def test_killed_from_outside_it_goes_on_and_ends_with_the_same_frames(ntu, tmp_path):
    names = [f"clip{k:03d}" for k in range(16)]
    (tmp_path / "rgb").mkdir()
    for k, name in enumerate(names):
        (tmp_path / "rgb" / f"{name}.avi").symlink_to(ntu / "rgb" / f"{(LONG, OTHER)[k % 2]}_rgb.avi")
    out = tmp_path / "out"
    command = [sys.executable, str(SCRIPT), *flags(tmp_path, out), "--workers", "1"]
    kill_at(command, "clip*.npy", 6, folder=tmp_path)
    times = {file: file.stat().st_mtime_ns for file in out.glob("clip*.npy")}
    assert len(times) == 5
    result = run(command)
    assert result.returncode == 0, result.stderr
    assert all(file.stat().st_mtime_ns == time for file, time in times.items())
    resumed, decoded = FrameCache.open(out), DecodedFrames(ntu, side=16)
    assert resumed.names == names
    for k, name in enumerate(names):
        assert torch.equal(whole(resumed, name, 8), whole(decoded, (LONG, OTHER)[k % 2], 8))


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name[0] != "."}


@pytest.mark.slow
def test_shards_and_the_run_that_joins_them_leave_what_one_run_leaves(ntu, tmp_path, capsys):
    (tmp_path / "rgb").mkdir()
    for k in range(12):
        (tmp_path / "rgb" / f"clip{k:02d}.avi").symlink_to(ntu / "rgb" / f"{(LONG, OTHER)[k % 2]}_rgb.avi")
    (tmp_path / "rgb" / "torn.avi").write_bytes(b"no video")
    main(flags(tmp_path, tmp_path / "whole"))
    for part in ("2/3", "1/3", "3/3"):
        assert main([*flags(tmp_path, tmp_path / "out"), "--shard", part]) == 0
    assert "the same command without --shard writes failures.json" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("failures.*-of-3.json"))) == 3
    assert main(flags(tmp_path, tmp_path / "out")) == 0
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert main([*flags(tmp_path, tmp_path / "again"), "--gpus", "2"]) == 0  # two processes of the CPU
    assert content(tmp_path / "again") == content(tmp_path / "whole")


@pytest.mark.slow
def test_several_processes_by_one_command_killed_on_the_way(ntu, tmp_path):
    """The killed command's shards end with it and free the folder."""
    names = [f"clip{k:03d}" for k in range(30)]
    (tmp_path / "rgb").mkdir()
    for k, name in enumerate(names):
        (tmp_path / "rgb" / f"{name}.avi").symlink_to(ntu / "rgb" / f"{(LONG, OTHER)[k % 2]}_rgb.avi")
    out = tmp_path / "out"
    command = [sys.executable, str(SCRIPT), *flags(tmp_path, out), "--gpus", "2"]
    kill_at(command, "clip*.npy", 4, folder=tmp_path)
    assert 3 <= len(list(out.glob("clip*.npy"))) < 30
    result = run(command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"{out}: frames of 30 of 30 clips"
    resumed, decoded = FrameCache.open(out), DecodedFrames(ntu, side=16)
    assert resumed.names == names
    for k, name in enumerate(names):
        assert torch.equal(whole(resumed, name, 8), whole(decoded, (LONG, OTHER)[k % 2], 8))


def test_a_shard_without_videos_is_no_failure(ntu, tmp_path):
    assert [main([*flags(ntu, tmp_path), "--shard", f"{k}/9"]) for k in range(1, 10)] == [0] * 9


@needs_real_clip
def test_the_genuine_clip_is_cached_as_it_is_decoded(tmp_path):
    main(
        ["--ntu", str(REAL_CLIP.parent), "--out", str(tmp_path), "--num_frames", "4", "--side", "64", "--workers", "0"]
    )
    name = REAL_CLIP.stem.removesuffix("_rgb")
    assert torch.equal(
        whole(FrameCache.open(tmp_path), name, 4), whole(DecodedFrames(REAL_CLIP.parent, side=64), name, 4)
    )
