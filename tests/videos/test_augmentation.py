import dataclasses

import numpy as np
import pytest
import torch

from ski_lvlm.videos.augmentation import NONE, VideoAugmentation, augment, random_window, scaled

ALL = VideoAugmentation(colour_jitter=1.0, grey=0.0)


def noise(num_frames=4, side=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_frames, 3, side, side), dtype=torch.uint8, generator=generator)


def ramp(side=64):
    """Red grows to the right, green downwards: a pixel says where it comes from."""
    line = torch.arange(side, dtype=torch.uint8)
    return torch.stack([line.expand(side, side), line[:, None].expand(side, side), torch.full((side, side), 90)])[
        None
    ].to(torch.uint8)


def seen(video, augmentation, *, seed=0, flip=False, side=None):
    rng = np.random.default_rng(seed)
    return augment(video, flip=flip, side=side or video.shape[-1], rng=rng, augmentation=augmentation)


def test_nothing_is_changed_where_nothing_is_asked_for():
    assert torch.equal(seen(noise(), NONE), noise())
    assert random_window(np.random.default_rng(0), augmentation=NONE) == (0.0, 1.0)


def test_the_clip_itself_stays_as_it_is():
    video = noise()
    seen(video, ALL, flip=True)
    assert torch.equal(video, noise())


def test_a_flip_turns_left_and_right_only():
    assert torch.equal(seen(noise(), NONE, flip=True), noise().flip(-1))


def test_a_seed_repeats_the_view_and_another_changes_it():
    assert torch.equal(seen(noise(), ALL, seed=3), seen(noise(), ALL, seed=3))
    assert not torch.equal(seen(noise(), ALL, seed=3), seen(noise(), ALL, seed=4))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("augmentation", [ALL, dataclasses.replace(ALL, grey=1.0)])
def test_all_frames_get_the_same_treatment(seed, augmentation):
    still = noise(1).expand(6, -1, -1, -1).contiguous()
    view = seen(still, augmentation, seed=seed, flip=True, side=24)
    assert torch.equal(view, view[:1].expand(6, -1, -1, -1))
    assert not torch.equal(view[0], scaled(still, side=24)[0])


def test_squares_have_the_asked_sides_lie_anywhere_and_never_outside():
    crop = dataclasses.replace(NONE, scale=(0.5, 1.0))
    views = torch.cat([seen(ramp(), crop, seed=seed) for seed in range(200)]).float()
    left, right, top, bottom = views[:, 0, 9, 0], views[:, 0, 9, -1], views[:, 1, 0, 9], views[:, 1, -1, 9]
    assert left.min() == 0 and right.max() == 63 and top.min() == 0 and bottom.max() == 63
    sides = right - left + 1
    assert torch.equal(sides, bottom - top + 1), "the square was stretched"
    assert 31 <= sides.min() < 35 and 61 < sides.max() <= 64
    assert left[sides < 40].max() > 18 and top[sides < 40].max() > 18


def test_views_of_a_larger_source_are_scaled_down_to_the_side():
    assert seen(noise(side=48), ALL, side=32).shape == (4, 3, 32, 32)
    halved = scaled(noise(side=64), side=32)
    mean = noise(side=64).float().unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert (halved - mean).abs().max() <= 1, "every pixel of the source counts"
    assert scaled(noise(side=32), side=32).equal(noise(side=32))


def test_grey_has_the_luma_in_all_channels():
    view = seen(noise(), dataclasses.replace(NONE, grey=1.0))
    luma = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * noise()).sum(1)
    assert torch.equal(view[:, 0], view[:, 1]) and torch.equal(view[:, 0], view[:, 2])
    assert (view[:, 0] - luma).abs().max() <= 1


def test_jittered_greys_stay_grey_and_bounded():
    grey = noise()[:, :1].expand(-1, 3, -1, -1).contiguous() // 4 + 64
    for seed in range(30):
        view = seen(grey, dataclasses.replace(NONE, colour_jitter=1.0), seed=seed).int()
        assert (view[:, 0] - view[:, 1]).abs().max() <= 1 and (view[:, 0] - view[:, 2]).abs().max() <= 1
        ratio = view.float().mean() / grey.float().mean()
        assert 0.59 < ratio < 1.41  # brightness; contrast leaves the mean alone
        assert 0.35 * ratio < view.float().std() / grey.float().std() < 2.0


def test_jitter_changes_hues_by_a_tenth_of_the_circle_at_most():
    red = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    red[:, 0], red[:, 1:] = 150, 60
    turns = []
    for seed in range(60):
        r, g, b = seen(red, dataclasses.replace(NONE, colour_jitter=1.0), seed=seed).double().mean((0, 2, 3))
        turns.append(float(torch.rad2deg(torch.atan2(3**0.5 * (g - b), 2 * r - g - b))))
    assert max(turns) < 60 and min(turns) > -60 and max(turns) - min(turns) > 40


@pytest.mark.slow
@pytest.mark.parametrize("name", ["colour_jitter", "grey"])
def test_colours_change_as_often_as_asked(name):
    augmentation = dataclasses.replace(NONE, **{name: 0.3})
    changed = [not torch.equal(seen(noise(1, 8), augmentation, seed=seed), noise(1, 8)) for seed in range(400)]
    assert 0.22 < np.mean(changed) < 0.38


def test_windows_last_as_asked_and_lie_anywhere_in_the_clip():
    rng = np.random.default_rng(0)
    start, stop = np.array([random_window(rng, augmentation=VideoAugmentation()) for _ in range(500)]).T
    assert start.min() < 0.01 and stop.max() > 0.99 and start.max() > 0.35 and stop.max() <= 1
    assert 0.5 <= (stop - start).min() < 0.52 and 0.98 < (stop - start).max() <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flip": 1.5}, "between 0 and 1"),
        ({"grey": -0.1}, "between 0 and 1"),
        ({"scale": (0.9, 0.5)}, "scale is 0.9 to 0.5; expected two shares above 0 in ascending order"),
        ({"window": (0.0, 1.0)}, "window is 0.0 to 1.0"),
    ],
)
def test_shares_that_are_none_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        VideoAugmentation(**change)
