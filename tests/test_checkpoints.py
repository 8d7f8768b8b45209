"""Which checkpoint a run goes on from, and what a checkpoint holds."""

from ski_lvlm.checkpoints import PARTIAL, last_whole_checkpoint


def test_half_written_checkpoints_are_removed_and_whole_ones_found(tmp_path):
    (tmp_path / PARTIAL / "checkpoint-30").mkdir(parents=True)
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-3").mkdir()
    assert last_whole_checkpoint(tmp_path).endswith("checkpoint-20")
    assert not (tmp_path / PARTIAL).exists()


def test_nothing_to_resume_from(tmp_path):
    assert last_whole_checkpoint(tmp_path / "never") is None
    assert last_whole_checkpoint(tmp_path) is None
