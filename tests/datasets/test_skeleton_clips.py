import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ski_lvlm.datasets.skeleton_clips import ShortenedClips, SkeletonClips, collate
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.training.epoch_sampler import EpochSampler
from tests.cases.skeleton_case import SELECTION, SPLIT, packed_set


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return PackedSkeletons.open(packed_set(tmp_path_factory.mktemp("packed") / "set", performers=(1, 9)))


def training(packed, seed=0):
    names = SELECTION.clips(packed.names, "seen_train")
    labels = SELECTION.labels(names, SPLIT.seen)
    return SkeletonClips(packed, names, labels=labels, num_frames=16, preprocessing=Preprocessing(), seed=seed)


def same(a, b):
    return torch.equal(a["skeleton"].nan_to_num(9.0), b["skeleton"].nan_to_num(9.0)) and a["label"] == b["label"]


def test_a_clip_is_augmented_by_seed_epoch_and_clip_alone(packed):
    first, again, other = training(packed), training(packed), training(packed, seed=1)
    assert same(first[3, 2], again[3, 2])
    assert not same(first[3, 2], first[4, 2])
    assert not same(first[3, 2], other[3, 2])


def test_evaluation_is_always_the_same(packed):
    clip = training(packed, seed=None)
    assert same(clip[1], clip[1]) and same(clip[1], clip[7, 1])


def test_labels_are_ranks_among_the_classes(packed):
    assert training(packed).labels == list(range(12))


def test_an_absent_second_person_stays_absent(packed):
    batch = collate([training(packed)[0, clip] for clip in (0, 11)])
    assert batch["skeleton"].shape == (2, 16, 2, 25, 3)
    assert batch["skeleton"][0, :, 1].isnan().all() and not batch["skeleton"][1].isnan().any()
    assert batch["labels"].tolist() == [0, 11]


def test_shortened_clips_keep_two_fifths_of_the_frames_and_the_encoder_s_length(packed):
    whole = training(packed, seed=None)
    first, again, other = (ShortenedClips(whole, draw=(0, number)) for number in (0, 0, 1))
    assert len(whole.joints(2)) == 40 and len(first.joints(2)) == 16
    assert first[2]["skeleton"].shape == (16, 2, 25, 3) and first.labels == whole.labels
    assert same(first[2], again[2]) and not same(first[2], other[2]) and not same(first[2], whole[2])
    frames = {frame.tobytes() for frame in whole.joints(2)}
    assert {frame.tobytes() for frame in first.joints(2)} <= frames


def test_every_epoch_sees_every_clip_once_in_an_order_of_its_own():
    sampler = EpochSampler(20, seed=5)
    first, again = list(sampler), list(sampler)
    sampler.start_epoch(1)
    second = list(sampler)
    assert first == again
    assert [clip for _, clip in first] != [clip for _, clip in second]
    assert Counter(clip for _, clip in second) == Counter(range(20))
    assert {epoch for epoch, _ in second} == {1}


@pytest.mark.slow
def test_worker_processes_make_the_same_batches(packed):
    dataset, sampler = training(packed), EpochSampler(12, seed=0)
    alone, workers = (
        list(DataLoader(dataset, batch_size=6, sampler=sampler, collate_fn=collate, num_workers=n)) for n in (0, 2)
    )
    for a, b in zip(alone, workers, strict=True):
        assert np.array_equal(a["skeleton"], b["skeleton"], equal_nan=True)
        assert torch.equal(a["labels"], b["labels"])
    assert math.isfinite(alone[0]["skeleton"][:, :, 0].sum())
