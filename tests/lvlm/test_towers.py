import pytest
import torch

from ski_lvlm.dual_encoders.checkpoints import load_student
from ski_lvlm.encoders.vision_tower import temporal_and_spatial
from ski_lvlm.lvlm.towers import open_tower
from ski_lvlm.lvlm.video_tokens import video_entry
from tests.cases.student_case import write_case


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("student"))


def test_tokens_of_a_student_are_the_means_of_its_patches(case):
    folder = case.student()
    tower = open_tower(folder, num_frames=3)
    student, _ = load_student(case.folder / "vificlip")
    side = student.frames.side
    video = torch.randint(0, 256, (2, 3, 3, side, side), dtype=torch.uint8, generator=torch.manual_seed(2))
    with torch.no_grad():
        patches = student.frames.patches(video)
    tokens = tower(video).cpu().float()
    assert tokens.shape == (2, 3 + patches.shape[2], patches.shape[3]) == (2, tower.num_tokens, tower.width)
    torch.testing.assert_close(tokens, temporal_and_spatial(patches), atol=2e-2, rtol=2e-2)
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_features_name_the_student_by_folder_and_weights(case):
    folder = case.student()
    first, second = (open_tower(folder, num_frames=3) for _ in range(2))
    entry = video_entry(first, framing="whole")
    assert entry["tower"] == folder and entry["digest"] == second.digest
    assert open_tower(case.clip, num_frames=3).digest != first.digest


def test_another_side_than_the_student_s_is_refused(case):
    with pytest.raises(ValueError, match="--side 96"):
        open_tower(case.student(), num_frames=3, side=96)


def test_a_student_whose_frames_exchange_messages_is_refused(case):
    with pytest.raises(ValueError, match="exchange messages"):
        open_tower(case.student("xclip"), num_frames=3)
