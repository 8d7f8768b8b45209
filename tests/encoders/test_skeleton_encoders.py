import json

import pytest
import torch

from ski_lvlm.encoders.skeleton_encoders import ENCODERS, build_encoder
from ski_lvlm.recipe import SKELETON_PRETRAIN_SCHEDULES, SkeletonPretrainRecipe
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.vlm.skeleton_pretrain import untrained_encoder

SMALL = {
    "hyperformer": {"num_heads": 1, "head_dim": 12, "depth": 2, "strided": [2]},
    "shift_gcn": {"widths": [8, 12], "strided": [2]},
}


def test_every_encoder_has_a_schedule_and_its_own_name():
    assert set(ENCODERS) == set(SKELETON_PRETRAIN_SCHEDULES) == set(SMALL)
    assert all(name == kind.network for name, kind in ENCODERS.items())


@pytest.mark.parametrize("name", ENCODERS)
def test_sizes_are_flags_with_the_encoder_s_own_defaults(name):
    encoder = untrained_encoder(SkeletonPretrainRecipe(encoder=name), LAYOUTS["ntu-25"], in_channels=3)
    assert encoder.settings == ENCODERS[name](layout=LAYOUTS["ntu-25"]).settings


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_built_again_from_its_settings(name):
    encoder = ENCODERS[name](layout=LAYOUTS["coco-17"], in_channels=2, **SMALL[name]).eval()
    other = build_encoder(json.loads(json.dumps(encoder.settings))).eval()
    assert other.settings == encoder.settings
    other.load_state_dict(encoder.state_dict())
    skeleton = torch.randn(1, 8, 1, 17, 2)
    assert torch.equal(other(skeleton).tokens, encoder(skeleton).tokens)


@pytest.mark.parametrize("name", ENCODERS)
def test_one_encoder_does_not_take_the_sizes_of_another(name):
    foreign = {"hyperformer": {"widths": [8]}, "shift_gcn": {"num_heads": 1, "depth": 2}}[name]
    with pytest.raises(ValueError, match=f"has no --{sorted(foreign)[0]}.*Its sizes are --"):
        untrained_encoder(SkeletonPretrainRecipe(encoder=name, **foreign), LAYOUTS["ntu-25"], in_channels=3)


def test_settings_without_a_network_are_a_hyperformer_s():
    settings = ENCODERS["hyperformer"](layout=LAYOUTS["ntu-25"], **SMALL["hyperformer"]).settings
    assert type(build_encoder({k: v for k, v in settings.items() if k != "network"})) is ENCODERS["hyperformer"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "st_gcn"}, "unknown skeleton encoder 'st_gcn'; expected one of hyperformer, shift_gcn"),
        ({"network": ["shift_gcn"]}, "unknown skeleton encoder"),
        ({"num_heads": 9}, "Shift-GCN has no num_heads; expected in_channels, layout"),
        ({"layout": None}, "the layout is None"),
        ({"layout": "ntu-26"}, "ntu-26"),
        ({"widths": 64}, "widths is 64; expected whole numbers from 1"),
        ({"widths": [64, "64"]}, "widths is"),
        ({"widths": [10**9]}, "widths is"),
        ({"widths": []}, "widths is empty"),
        ({"num_persons": 0}, "num_persons is 0"),
        ({"in_channels": True}, "in_channels is True"),
    ],
)
def test_settings_that_make_no_network_are_told(change, message):
    settings = ENCODERS["shift_gcn"](layout=LAYOUTS["ntu-25"], **SMALL["shift_gcn"]).settings
    with pytest.raises(ValueError, match=message):
        build_encoder({**settings, **change})
