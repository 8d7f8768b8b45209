"""Released Shift-GCN weights, made up here in their authors' names: from a file to the folder of an encoder."""

import pytest
import torch

from scripts.convert_clip import main as convert
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_encoder, read_card
from ski_lvlm.encoders.shift_gcn import ShiftGCN
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.shift_gcn_weights import load_shift_gcn
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.stand_in_case import released_shift_gcn, skeleton_input


def converted(folder, weights, *flags):
    torch.save({f"module.{name}": value for name, value in weights.items()}, folder / "shift_gcn.pt")
    assert convert(["--weights", str(folder / "shift_gcn.pt"), "--out", str(folder / "out"), *flags]) == 0
    return folder / "out"


@pytest.mark.slow
@torch.no_grad()
def test_sizes_and_weights_are_read_from_the_file(tmp_path, capsys):
    folder = converted(tmp_path, released_shift_gcn(), "--protocol", "xview")
    model = ActionClassifier(ShiftGCN(layout=LAYOUTS["ntu-25"]), num_classes=60).eval()
    load_shift_gcn(model, released_shift_gcn())
    encoder, preprocessing = load_skeleton_encoder(folder)
    skeleton = skeleton_input(clips=1, frames=8)
    assert torch.equal(encoder(skeleton).tokens, model.encoder(skeleton).tokens)
    card = read_card(folder, SkeletonEncoderCard)
    assert card.encoder == model.encoder.settings and card.encoder["network"] == "shift_gcn"
    assert (card.split, card.protocol, card.num_frames, preprocessing.absent) == ("ntu60", "xview", 64, "zeros")
    assert "Shift-GCN (10 blocks, width 256), 690,291 parameters" in capsys.readouterr().out


def without(name):
    return lambda weights: weights.pop(name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("l4.tcn1.bn2.bias"), "missing .*l4.tcn1.bn2.bias"),
        (lambda w: w.update({"l4.gcn2.bias": torch.zeros(3)}), "left over .*l4.gcn2.bias"),
        (lambda w: w["l3.tcn1.shift_in.xpos"].fill_(0.5), "l3.tcn1.shift_in.xpos shifts between joints by up to 0.5"),
        (lambda w: w["l3.tcn1.shift_in.xpos"].fill_(torch.nan), "shifts between joints"),
        (lambda w: w["l3.gcn1.shift_out"].zero_(), "l3.gcn1.shift_out shifts joints in another way"),
        (lambda w: w.update({"l2.gcn1.Linear_weight": torch.zeros(5)}), "has no l2.gcn1.Linear_weight of 2 axes"),
        (lambda w: w.update({"l2.gcn1.Feature_Mask": torch.zeros(1, 24, 64)}), r"\(24, 64\), expected \(25, 64\)"),
        (without("fc.weight"), "has no fc.weight of 2 axes, which every Shift-GCN has"),
    ],
)
def test_weights_that_are_not_understood_leave_no_folder(tmp_path, spoil, message):
    weights = released_shift_gcn()
    spoil(weights)
    with pytest.raises(ValueError, match=message):
        converted(tmp_path, weights)
    assert not (tmp_path / "out").exists()


def test_the_streams_must_be_those_of_the_file(tmp_path):
    with pytest.raises(ValueError, match="150 features, expected 2 persons x 25 joints x 6 channels"):
        converted(tmp_path, released_shift_gcn(), "--streams", "joint,bone")
