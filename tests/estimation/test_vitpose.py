import numpy as np
import pytest
import torch

from ski_lvlm.estimation.loading import load_estimator
from ski_lvlm.estimation.vitpose import VitPoseEstimator
from tests.cases.estimation_case import RedFinder


def save_vitpose(folder, *, joints=17):
    """A tiny random ViTPose of transformers' own architecture."""
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48],
        patch_size=[16, 16],
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_experts=1,
    )
    config = VitPoseConfig(backbone_config=backbone, num_labels=joints, use_simple_decoder=True, scale_factor=4)
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return str(folder)


def test_coordinates_count_from_the_middle_of_the_picture_in_its_heights(tmp_path):
    estimator = VitPoseEstimator(save_vitpose(tmp_path), detector=RedFinder())
    frames = np.random.default_rng(0).integers(0, 255, (20, 96, 160, 3), dtype=np.uint8)
    boxes = np.full((2, 20, 4), np.nan)
    boxes[0] = 10, 10, 40, 90
    boxes[1, 5:9] = 100, 10, 140, 90
    parts = list(estimator(iter(frames), boxes))
    joints, confidence, places = (np.concatenate(each) for each in zip(*parts))
    assert len(parts) == 2 and joints.shape == (20, 2, 17, 2) and joints.dtype == np.float32
    assert not np.isnan(joints[:, 0]).any() and ((confidence[:, 0] >= 0) & (confidence[:, 0] <= 1)).all()
    assert np.flatnonzero(~np.isnan(confidence[:, 1]).any(axis=1)).tolist() == [5, 6, 7, 8]
    np.testing.assert_allclose(joints[..., 0], (places[..., 0] - 0.5) * 160 / 96, atol=1e-5)
    np.testing.assert_allclose(joints[..., 1], 0.5 - places[..., 1], atol=1e-5)
    assert places[5:9, 1, :, 0].min() > places[5:9, 0, :, 0].max(), "each person's joints lie around their own box"


def test_other_joints_and_other_models_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="has 21 joints; expected the 17 of COCO"):
        VitPoseEstimator(save_vitpose(tmp_path / "hands", joints=21), detector=RedFinder())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="cannot be loaded .* expected the hub id or folder") as refused:
        load_estimator(f"vitpose:{tmp_path / 'empty'}", detector="blazepose")
    assert "\n" not in str(refused.value)
