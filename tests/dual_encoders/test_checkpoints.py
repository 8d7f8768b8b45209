import dataclasses
import json

import pytest
import torch

from ski_lvlm.dual_encoders.checkpoints import StudentCard, frozen_digests, load_student, save_model
from ski_lvlm.dual_encoders.students import build_student, freeze_towers
from tests.cases.text_case import tiny_clip

pytestmark = pytest.mark.slow


PROMPTS = ("a photo of a drink water.", "a photo of a hand waving.")
VIDEO = torch.randint(0, 256, (2, 3, 3, 8, 8), dtype=torch.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def saved(folder, clip, kind="vificlip", freeze="auto"):
    """Save a student unlike the one its backbone gives."""
    student = build_student(kind, backbone=clip, num_frames=3)
    freeze_towers(student, freeze)
    torch.manual_seed(5)
    for parameter in student.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.05 * torch.randn_like(parameter))
    card = StudentCard(
        stage="video_finetune", student=kind, backbone=clip, text_encoder="", num_frames=3, side=8, framing="centre",
        split="synthetic", dataset="synthetic", seen=("drink water", "drop"), prompt="a photo of a {name}.",
        names="canonical", frozen=frozen_digests(student),
    )  # fmt: skip
    save_model(folder, student.eval(), card=card)
    return student, card


@pytest.mark.parametrize("kind", ["vificlip", "xclip", "froster"])
def test_what_was_saved_comes_back(kind, clip, tmp_path):
    student, card = saved(tmp_path, clip, kind)
    loaded, loaded_card = load_student(tmp_path)
    assert loaded_card == card and not loaded.training
    assert torch.equal(loaded(VIDEO, PROMPTS).similarity, student(VIDEO, PROMPTS).similarity)


@pytest.mark.parametrize(("freeze", "tower"), [("text", "text_encoder"), ("video", "frames")])
def test_a_frozen_tower_is_named_not_stored(freeze, tower, clip, tmp_path):
    student, card = saved(tmp_path, clip, freeze=freeze)
    assert list(card.frozen) == [tower]
    assert not any(name.startswith(tower) for name in student.state_dict())
    loaded, _ = load_student(tmp_path)
    assert torch.equal(loaded(VIDEO, PROMPTS).similarity, student(VIDEO, PROMPTS).similarity)
    text = json.loads((tmp_path / "student.json").read_text())
    (tmp_path / "student.json").write_text(json.dumps({**text, "frozen": {tower: "0" * 16}}))
    with pytest.raises(ValueError, match=f"the {tower} of .* has other weights"):
        load_student(tmp_path)


def test_hostile_folders(clip, tmp_path):
    with pytest.raises(ValueError, match="holds no finished student"):
        load_student(tmp_path)
    _, card = saved(tmp_path, clip)
    (tmp_path / "student.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        load_student(tmp_path)
    (tmp_path / "student.json").write_text(json.dumps(vars(dataclasses.replace(card, student="froster"))))
    with pytest.raises(ValueError, match="does not fit student.json"):
        load_student(tmp_path)
