"""Released Hyperformer weights, made up here in their authors' names: from a file to a SkeletonCLIP."""

import pytest
import torch

import train_ski_vlm
from scripts.convert_clip import main as convert
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, load_skeleton_encoder, read_card
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier
from ski_lvlm.published.hyperformer_weights import places
from ski_lvlm.skeletons.layouts import LAYOUTS
from tests.cases.encoder_case import clips
from tests.cases.recognition_commands import QUICK
from tests.cases.reference_weights import hyperformer_weights
from tests.cases.skeleton_case import packed_set
from tests.cases.text_case import tiny_sentence_encoder


def network(*, num_classes=48, **changes):
    torch.manual_seed(0)
    settings = {"layout": LAYOUTS["ntu-25"], "num_heads": 1, "head_dim": 12, "depth": 3, "strided": (2,), **changes}
    return ActionClassifier(Hyperformer(**settings), num_classes=num_classes).eval()


def released(model):
    """Return the network's weights in the authors' names."""
    state, weights = model.state_dict(), {"fc2.weight": torch.zeros(512, 12), "fc2.bias": torch.zeros(512)}
    for place in places(model):
        whole = state[place.names[0]]
        sizes = (12, 24) if place.released[-1].endswith("attn.kv.weight") else len(whole) // len(place.released)
        weights |= dict(zip(place.released, whole.split(sizes), strict=True))
    return {f"module.{name}": value.clone() for name, value in weights.items()}


def converted(folder, weights, *flags):
    torch.save({"model_state_dict": weights}, folder / "hyperformer.pt")
    assert convert(["--weights", str(folder / "hyperformer.pt"), "--out", str(folder / "out"), *flags]) == 0
    return folder / "out"


def test_the_folder_is_that_of_a_skeleton_pretrain_run(tmp_path, capsys):
    model = network()
    folder = converted(tmp_path, released(model), "--protocol", "xview")
    encoder, preprocessing = load_skeleton_encoder(folder)
    assert torch.equal(encoder(clips()).tokens, model.encoder(clips()).tokens)
    assert (preprocessing.absent, preprocessing.streams) == ("zeros", ("joint",))
    card = read_card(folder, SkeletonEncoderCard)
    assert (card.stage, card.split, card.protocol, card.num_frames) == ("skeleton_pretrain", "ntu60/48-12", "xview", 64)
    assert card.encoder == model.encoder.settings and len(card.seen) == 48
    assert "3 blocks, width 12" in capsys.readouterr().out


def test_the_published_sizes_and_classes_are_read_from_the_file(tmp_path):
    card = read_card(converted(tmp_path, hyperformer_weights(), "--streams", "bone"), SkeletonEncoderCard)
    assert card.encoder == Hyperformer(layout=LAYOUTS["ntu-25"]).settings
    assert (card.split, card.seen, card.preprocessing["streams"]) == (
        "ntu120",
        open_data_set("ntu120").class_names,
        ["bone"],
    )


@pytest.mark.slow
def test_stage_2_starts_from_it_unless_it_knows_the_unseen_classes(tmp_path):
    folder = converted(tmp_path, released(network()))
    prepared, text = packed_set(tmp_path / "set"), tiny_sentence_encoder(tmp_path / "text")
    flags = ["--stage", "skeleton_align", "--prepared", str(prepared), "--text_encoder", text, *QUICK, "--max_steps=1"]
    flags += ["--prompt", "{name}"]
    aligned = ["--skeleton_encoder", str(folder), "--output_dir", str(tmp_path / "aligned")]
    train_ski_vlm.main([*flags, *aligned, "--split", "ntu60/48-12"])
    assert load_skeleton_clip(tmp_path / "aligned")[0].encoder.settings == network().encoder.settings
    with pytest.raises(ValueError, match="pretrained on actions that are unseen in ntu60/55-5: jump up, put"):
        train_ski_vlm.main([*flags, *aligned[:3], str(tmp_path / "other"), "--split", "ntu60/55-5"])


@pytest.mark.parametrize(
    ("change", "flags", "message"),
    [
        ({"num_classes": 50}, (), "classify 50 actions, expected all 60 or 120, or the seen ones of ntu60/55-5"),
        ({}, ("--streams", "joint,bone"), "150 features, expected 2 persons x 25 joints x 6 channels; give the --str"),
    ],
)
def test_weights_that_are_not_understood_leave_no_folder(tmp_path, change, flags, message):
    with pytest.raises(ValueError, match=message):
        converted(tmp_path, released(network(**change)), *flags)
    assert not (tmp_path / "out").exists()
