import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.datasets.paired_clips import PairedClips, SkeletonSettings, ViewSettings, collate_pairs
from ski_lvlm.datasets.skeleton_clips import SkeletonClips
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from ski_lvlm.skeletons.preprocessing import Preprocessing, preprocess
from ski_lvlm.training.epoch_sampler import EpochSampler
from ski_lvlm.videos.augmentation import NONE
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache
from tests.cases.video_case import numbered, write_video

ACTIONS = (1, 5, 6)
CLIPS = [str(ClipName(1, 1, 1, 1, action)) for action in ACTIONS]
NO_SKELETON = CLIPS[2]
PLAIN = Preprocessing(centring="none")
LENGTH = 50
LEFT_HAND, RIGHT_HAND = 7, 11


def sided(num_frames):
    """Frame t is 8 + 4 t on its left half, and black on its right."""
    frames = numbered(num_frames, height=32, width=32).copy()
    frames[:, :, 16:] = 0
    return frames


def clock():
    """Put the left hand t metres from the origin in frame t, the right one 1000 more, all else 2000 more."""
    joints = np.zeros((LENGTH, 1, 25, 3), np.float32)
    time = np.arange(LENGTH, dtype=np.float32)[:, None]
    joints[..., 0] = 2000 + time[..., None]
    joints[:, :, LEFT_HAND, 0], joints[:, :, RIGHT_HAND, 0] = time, 1000 + time
    return joints


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    root = tmp_path_factory.mktemp("ntu")
    for name in CLIPS:
        write_video(root / "rgb" / f"{name}_rgb.avi", sided(LENGTH))
    return root


@pytest.fixture(scope="module")
def frames(ntu):
    return DecodedFrames(ntu, side=32)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    with packed_writer(folder, layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as writer:
        for name in CLIPS[:2]:
            writer.add(name, clock())
    return PackedSkeletons.open(folder)


def pairs(frames, packed=None, *, names=CLIPS, preprocessing=PLAIN, **settings):
    view = ViewSettings(**{"num_frames": 4, "side": 32, "seed": 0, **settings})
    skeletons = SkeletonSettings(packed, preprocessing, num_frames=16) if packed else None
    labels = [ACTIONS.index(int(name[-3:])) for name in names]
    return PairedClips(frames, names, labels=labels, view=view, skeletons=skeletons)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=key == "skeleton") for key in a)


def distance(skeleton, joint):
    return np.linalg.norm(skeleton[:, 0, joint], axis=-1)


def is_flipped(video):
    left, right = video[..., :8].float().mean(), video[..., -8:].float().mean()
    return bool(left < right)


def test_an_item_depends_on_seed_epoch_and_clip_alone(frames, packed):
    first, again, other = pairs(frames, packed), pairs(frames, packed), pairs(frames, packed, seed=1)
    expected = first[2, 1]
    assert same(expected, again[2, 1])
    again[7, 0]
    assert same(expected, again[2, 1]), "an item depends on what was asked for before"
    for another in (first[3, 1], first[2, 0], other[2, 1]):
        assert not torch.equal(expected["video"], another["video"])
        assert not torch.equal(expected["skeleton"], another["skeleton"])


@pytest.mark.slow
def test_video_and_skeleton_show_the_same_time(frames, packed):
    dataset = pairs(frames, packed, augmentation=dataclasses.replace(NONE, window=(0.5, 0.6)))
    starts = []
    for epoch in range(30):
        sample = dataset[epoch, 0]
        numbers = (sample["video"][..., :8].float().mean((1, 2, 3)).numpy() - 8) / 4
        times = distance(sample["skeleton"].numpy(), LEFT_HAND)
        assert 23 <= times[-1] - times[0] <= 31
        quarters = np.linspace(times[0] - 1, times[-1] + 1, 5)
        assert (quarters[:-1] - 0.6 <= numbers).all() and (numbers <= quarters[1:] + 0.6).all()
        starts.append(times[0])
    assert min(starts) < 4 and max(starts) > 18


@pytest.mark.slow
def test_one_draw_mirrors_video_and_skeleton(frames, packed):
    dataset = pairs(frames, packed)
    flips = []
    for epoch in range(24):
        sample = dataset[epoch, 1]
        left, right = (distance(sample["skeleton"].numpy(), hand) for hand in (LEFT_HAND, RIGHT_HAND))
        flips.append(is_flipped(sample["video"]))
        assert (left > 990).all() == flips[-1] and (right < 60).all() == flips[-1]
    assert 4 < sum(flips) < 20


def test_a_mirrored_skeleton_is_a_mirrored_one_not_just_renamed(ntu, frames, packed):
    always = dataclasses.replace(NONE, flip=1.0)
    never = pairs(frames, packed, augmentation=NONE)[0, 0]["skeleton"][:, 0].double()
    flipped = pairs(frames, packed, augmentation=always)[0, 0]["skeleton"][:, 0].double()

    def turn(skeleton):  # which way along x the third frame's head lies, in the same random rotation
        return skeleton[3, 3] / skeleton[3, 3].norm()

    torch.testing.assert_close(turn(never), -turn(flipped), atol=1e-5, rtol=0)


def test_evaluation_is_always_the_same_and_shows_the_middles(frames, packed):
    dataset = pairs(frames, packed, seed=None)
    assert same(dataset[1], dataset[1]) and same(dataset[1], dataset[5, 1])
    times = (dataset[1]["video"][..., :8].float().mean((1, 2, 3)) - 8) / 4
    assert times.round().tolist() == [6, 18, 31, 43]
    alone = SkeletonClips(packed, CLIPS[:2], labels=[0, 1], num_frames=16, preprocessing=PLAIN)
    assert np.array_equal(dataset[1]["skeleton"], alone[1]["skeleton"], equal_nan=True)


def test_a_clip_without_skeleton_is_nan_throughout_and_counted(frames, packed):
    dataset = pairs(frames, packed)
    assert dataset.num_without_skeleton == 1
    batch = collate_pairs([dataset[0, clip] for clip in range(3)])
    assert batch["skeleton"].shape == (3, 16, 2, 25, 3) and batch["video"].shape == (3, 4, 3, 32, 32)
    assert batch["skeleton"][2].isnan().all() and not batch["skeleton"][:2, :, 0].isnan().any()
    assert batch["labels"].tolist() == dataset.labels == [0, 1, 2]


@pytest.mark.parametrize("absent", ["mask", "zeros"])
def test_a_batch_in_which_no_clip_has_a_skeleton_says_so(frames, packed, absent):
    streams = Preprocessing(streams=("joint", "bone"), absent=absent)
    batch = collate_pairs([pairs(frames, packed, names=[NO_SKELETON], preprocessing=streams)[0]])
    assert batch["skeleton"].shape == (1, 16, 2, 25, 6) and batch["skeleton"].isnan().all()


def test_video_alone_needs_no_skeleton_anywhere_and_sees_the_same_videos(ntu, frames, packed):
    assert [path.name for path in ntu.iterdir()] == ["rgb"]
    alone, paired = pairs(frames), pairs(frames, packed)
    assert alone.num_without_skeleton == 0
    batch = collate_pairs([alone[3, clip] for clip in range(3)])
    assert set(batch) == {"video", "labels"}
    for clip in range(3):
        assert torch.equal(alone[3, clip]["video"], paired[3, clip]["video"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 0])
def test_worker_processes_make_the_same_batches(ntu, packed, tmp_path, seed):
    cache = FrameCache.create(tmp_path, num_frames=8, side=32)
    decoded = DecodedFrames(ntu, side=32)
    for name in CLIPS:
        cache.write(name, decoded.window(name, start=0.0, stop=1.0, num_frames=8))
    dataset, sampler = pairs(FrameCache.open(tmp_path), packed, seed=seed), EpochSampler(3, seed=0)
    sampler.start_epoch(4)
    alone, workers = (
        list(DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=collate_pairs, num_workers=n))
        for n in (0, 2)
    )
    assert len(alone) == 2 and all(same(a, b) for a, b in zip(alone, workers, strict=True))


def test_a_source_with_too_few_pixels_or_clips_is_refused(frames):
    with pytest.raises(ValueError, match="found frames of 32 px, expected at least the 48"):
        pairs(frames, side=48)
    with pytest.raises(ValueError, match="1 of 2 clips have no frames, S002C001P001R001A005 for one"):
        pairs(frames, names=[CLIPS[0], "S002C001P001R001A005"])


def test_a_larger_source_is_scaled_to_the_side(frames):
    for seed in (None, 0):
        assert pairs(frames, seed=seed, side=16)[0]["video"].shape == (4, 3, 16, 16)


@pytest.mark.parametrize("length", [1, 2, 5, 300])
def test_a_given_window_is_the_stretch_that_is_seen(length):
    time = np.arange(length, dtype=np.float32)
    joints = np.broadcast_to(time[:, None, None, None], (length, 1, 25, 3)).copy()
    expected = {1: [0], 2: [0, 1], 5: [1, 2, 3], 300: list(range(75, 225))}[length]
    result = preprocess(joints, num_frames=len(expected), preprocessing=PLAIN, window=(0.25, 0.75))
    np.testing.assert_allclose(result[:, 0, 0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("window", [(0.5, 0.5), (-0.1, 0.5), (0.5, 1.1)])
def test_a_window_beyond_the_skeleton_is_refused(window):
    with pytest.raises(ValueError, match="the time window is"):
        preprocess(clock(), num_frames=16, preprocessing=PLAIN, window=window)
