"""The checkpoint that a run resumes from, and the files in it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from ski_lvlm.training.checkpoint_damage import damage
from ski_lvlm.training.checkpoints import PARTIAL, last_whole_checkpoint, named_checkpoint


def whole_checkpoint(folder):
    """Write a checkpoint with files of the kinds that a real one has."""
    folder.mkdir()
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 6}))
    save_file({"w": torch.arange(1000.0)}, folder / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": torch.arange(1000.0)}, folder / name)
    return folder


def test_half_written_checkpoints_are_removed_and_whole_ones_found(tmp_path):
    (tmp_path / PARTIAL / "checkpoint-30").mkdir(parents=True)
    whole_checkpoint(tmp_path / "checkpoint-20")
    whole_checkpoint(tmp_path / "checkpoint-3")
    assert last_whole_checkpoint(tmp_path).endswith("checkpoint-20")
    assert not (tmp_path / PARTIAL).exists()


def test_nothing_to_resume_from(tmp_path):
    assert last_whole_checkpoint(tmp_path / "never") is None
    assert last_whole_checkpoint(tmp_path) is None


def cut(file):
    file.write_bytes(file.read_bytes()[:1000])


def emptied(file):
    file.write_bytes(b"")


def zeroed(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


DAMAGE = {
    "empty state": ("trainer_state.json", emptied),
    "state of something else": ("trainer_state.json", lambda file: file.write_text("{}")),
    "state of zeros": ("trainer_state.json", lambda file: file.write_bytes(bytes(100))),
    "weights of zeros": ("model.safetensors", lambda file: file.write_bytes(bytes(file.stat().st_size))),
    "optimizer of zeros": ("optimizer.pt", lambda file: file.write_bytes(bytes(file.stat().st_size))),
    "missing state": ("trainer_state.json", lambda file: file.unlink()),
    "cut weights": ("model.safetensors", cut),
    "empty weights": ("model.safetensors", emptied),
    "missing weights": ("model.safetensors", lambda file: file.unlink()),
    "cut optimizer": ("optimizer.pt", cut),
    "empty optimizer": ("optimizer.pt", emptied),
    "changed optimizer": ("optimizer.pt", zeroed),
    "cut scheduler": ("scheduler.pt", cut),
    "cut random state": ("rng_state.pth", cut),
    "missing optimizer": ("optimizer.pt", lambda file: file.unlink()),
}


@pytest.mark.parametrize(("name", "harm"), DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, capsys, name, harm):
    older, newer = (whole_checkpoint(tmp_path / f"checkpoint-{step}") for step in (9, 10))
    assert damage(newer) is None and last_whole_checkpoint(tmp_path) == str(newer)
    harm(newer / name)
    assert last_whole_checkpoint(tmp_path) == str(older)
    message = capsys.readouterr().err
    assert f"{newer}: {name} is" in message and "going back to checkpoint-9" in message
    with pytest.raises(ValueError, match=f"checkpoint-10: {name} is (damaged|missing)"):
        named_checkpoint(str(newer))
    harm(older / name)
    with pytest.raises(ValueError, match=f"no whole checkpoint is left: .*checkpoint-10: {name}.*checkpoint-9: {name}"):
        last_whole_checkpoint(tmp_path)


def test_the_random_numbers_of_every_process_are_looked_at_too(tmp_path):
    checkpoint = whole_checkpoint(tmp_path / "checkpoint-6")
    second = checkpoint / "rng_state_1.pth"
    torch.save({"state": torch.arange(1000.0)}, second)
    assert damage(checkpoint) is None
    cut(second)
    assert "rng_state_1.pth is damaged" in damage(checkpoint)
