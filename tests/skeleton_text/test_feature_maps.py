import json
import math

import numpy as np
import pytest
import torch

from ski_lvlm.datasets.skeleton_clips import SkeletonClips
from ski_lvlm.skeleton_text import feature_maps as module
from ski_lvlm.skeleton_text.feature_maps import feature_maps
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from tests.cases.skeleton_case import packed_set

CPU = torch.device("cpu")


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    packed = PackedSkeletons.open(packed_set(tmp_path / "packed", actions=(1, 2, 3, 50)))
    names = packed.names[:14]
    preprocessing = Preprocessing(layout="ntu-25", cleaning=packed.cleaning)
    return SkeletonClips(packed, names, labels=[0] * 14, num_frames=8, preprocessing=preprocessing)


class Maps:
    """A stand-in encoder that counts its batches, and stops like a kill when told to."""

    def __init__(self, *, stop_after=math.inf):
        self.batches, self.stop_after = 0, stop_after

    def __call__(self, skeleton):
        if self.batches == self.stop_after:
            raise KeyboardInterrupt
        self.batches += 1
        return skeleton[..., 0, :, :].permute(0, 3, 1, 2) / 3


def computed(clips, folder, maps, *, encoder="one"):
    return feature_maps(maps, clips, file=folder / "seen_train.npy", encoder=encoder, device=CPU)


def test_maps_are_computed_once_and_stay_on_disk(clips, tmp_path):
    maps = Maps()
    result = computed(clips, tmp_path, maps)
    assert result.shape == (14, 3, 8, LAYOUTS["ntu-25"].num_joints) and result.dtype == torch.float16
    expected = maps(torch.stack([clips[row]["skeleton"] for row in (9, 2)])).half()
    assert torch.equal(result[torch.tensor([9, 2])], expected)
    assert maps.batches == 5 and torch.equal(computed(clips, tmp_path, maps), result) and maps.batches == 5
    assert sorted(file.name for file in tmp_path.glob("seen_train*")) == ["seen_train.json", "seen_train.npy"]


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_after_a_stop_it_goes_on_and_ends_with_the_same_bytes(clips, tmp_path, stop_after):
    computed(clips, tmp_path / "whole", Maps())
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        computed(clips, cut, Maps(stop_after=stop_after))
    partial = cut / "seen_train.npy.partial"
    with partial.open("ab") as file:
        file.write(b"torn row")
    maps = Maps()
    computed(clips, cut, maps)
    assert maps.batches == 4 - stop_after
    assert (cut / "seen_train.npy").read_bytes() == (tmp_path / "whole" / "seen_train.npy").read_bytes()


def test_a_partial_file_that_is_cut_begins_anew(clips, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        computed(clips, tmp_path, Maps(stop_after=2))
    (tmp_path / "seen_train.npy.partial").write_bytes(b"cut")
    maps = Maps()
    computed(clips, tmp_path, maps)
    assert maps.batches == 4


def test_maps_of_another_encoder_are_made_anew(clips, tmp_path):
    computed(clips, tmp_path, Maps())
    maps = Maps()
    computed(clips, tmp_path, maps, encoder="other")
    assert maps.batches == 4


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"nonsense"])
def test_a_damaged_file_is_made_again(clips, tmp_path, content):
    result = computed(clips, tmp_path, Maps()).clone()
    (tmp_path / "seen_train.npy").write_bytes(content)
    assert torch.equal(computed(clips, tmp_path, Maps()), result)


def test_a_damaged_file_of_the_right_size_is_told(clips, tmp_path):
    computed(clips, tmp_path, Maps())
    file = tmp_path / "seen_train.npy"
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(ValueError, match="cannot be read.*delete it and run the same command again"):
        computed(clips, tmp_path, Maps())


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 1, "shape": 2, "clips": 3}', '{"key": "k", "extra": 0}'])
def test_a_damaged_state_is_made_again(clips, tmp_path, content):
    result = computed(clips, tmp_path, Maps()).clone()
    (tmp_path / "seen_train.json").write_text(content)
    assert torch.equal(computed(clips, tmp_path, Maps()), result)
    assert json.loads((tmp_path / "seen_train.json").read_text())["clips"] == 14


@pytest.mark.parametrize("value", [1e6, math.inf, math.nan])
def test_maps_that_are_no_numbers_are_told(clips, tmp_path, value):
    with pytest.raises(ValueError, match="are not numbers, or beyond 65504"):
        computed(clips, tmp_path, lambda skeleton: torch.full((len(skeleton), 3, 2, 25), value))


def test_an_absent_joint_stays_absent(clips, tmp_path):
    def without_hand(skeleton):
        maps = torch.ones(len(skeleton), 3, 2, 25)
        maps[..., 7] = math.nan
        return maps

    result = computed(clips, tmp_path, without_hand)
    assert np.isnan(result.numpy()).sum() == 14 * 3 * 2 and result[..., 7].isnan().all()


def test_a_disk_that_is_too_small_is_told(clips, tmp_path, monkeypatch):
    usage = module.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="0.0 GB are free, but maps of 14 clips take"):
        computed(clips, tmp_path, Maps())
