"""The controls of the benchmark: each must take away what it says, and nothing else."""

import pytest
import torch

from benchmarks.held_out_captions import shuffled, swapped

SPATIAL = 3


def clips(*frames):
    """Clip k's tokens: 100 k + time for temporal ones, -1 - place for spatial ones."""
    return [
        torch.cat([100.0 * k + torch.arange(count), -1.0 - torch.arange(SPATIAL)]).unsqueeze(1)
        for k, count in enumerate(frames)
    ]


def test_shuffled_frames_are_the_same_in_another_order():
    tokens = clips(16, 16)
    for before, after in zip(tokens, shuffled(tokens, spatial=SPATIAL), strict=True):
        assert not torch.equal(after, before)
        assert torch.equal(after.sort(dim=0).values, before.sort(dim=0).values)


def test_spatial_tokens_stay_where_they_are_in_short_clips_too():
    tokens = clips(16, 5, 1)  # a short clip has fewer temporal tokens
    for before, after in zip(tokens, shuffled(tokens, spatial=SPATIAL), strict=True):
        assert torch.equal(after[-SPATIAL:], before[-SPATIAL:])
        assert (after[:-SPATIAL] >= 0).all() and len(after) == len(before)


def test_every_clip_is_shuffled_its_own_way_and_every_time_the_same():
    tokens = clips(16, 16)
    first, second = shuffled(tokens, spatial=SPATIAL)
    assert not torch.equal(first[:16], second[:16] - 100)
    assert all(torch.equal(a, b) for a, b in zip(shuffled(tokens, spatial=SPATIAL), (first, second), strict=True))


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_swapped_clips_are_all_used_once_and_none_keeps_its_own(count):
    tokens = clips(*[4] * count)
    owners = [round(swapped_clip[0].item() / 100) for swapped_clip in swapped(tokens)]
    assert sorted(owners) == list(range(count))
    assert all(owner != index for index, owner in enumerate(owners))
