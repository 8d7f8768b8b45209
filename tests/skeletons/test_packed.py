import json
import pickle
import resource
import sys

import numpy as np
import pytest

from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from tests.cases.command_case import ROOT, run

NTU = layout_named("ntu-25")


def clip(number):
    rng = np.random.default_rng(number)
    joints = rng.normal(size=(3 + number % 7, 1 + number % 2, 25, 3)).astype(np.float32)
    joints[0, -1] = np.nan
    return joints


def writer(folder, source="a"):
    return packed_writer(folder, layout=NTU, cleaning="ctrgcn-1", source=source)


def write(folder, numbers, source="a"):
    with writer(folder, source) as packed:
        for number in numbers:
            packed.add(f"clip{number}", clip(number))
    return PackedSkeletons.open(folder)


def files(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_clips_of_any_length_come_back_as_they_were(tmp_path):
    packed = write(tmp_path, range(20))
    assert packed.names == [f"clip{n}" for n in range(20)] and len(packed) == 20
    assert (packed.layout, packed.cleaning) == (NTU, "ctrgcn-1")
    for number in range(20):
        np.testing.assert_array_equal(packed.get(f"clip{number}"), clip(number))
        assert packed.num_frames(f"clip{number}") == 3 + number % 7
    assert "clip3" in packed and "clip20" not in packed
    assert files(tmp_path) == ["index.json", "joints.npy"]


def test_joints_are_mapped_read_only_and_not_copied_to_workers(tmp_path):
    packed = write(tmp_path, range(20))
    assert not packed.get("clip1").flags.writeable and not packed.get("clip1").flags.owndata
    assert packed.get("clip1").base is not None
    pickled = pickle.dumps(packed)
    assert len(pickled) < 500
    np.testing.assert_array_equal(pickle.loads(pickled).get("clip5"), clip(5))  # noqa: S301


def test_the_joints_file_is_an_ordinary_npy(tmp_path):
    write(tmp_path, range(3))
    values = np.load(tmp_path / "joints.npy", allow_pickle=False)
    np.testing.assert_array_equal(values, np.concatenate([clip(n).ravel() for n in range(3)]))


def test_a_big_set_opens_quickly(tmp_path):
    write(tmp_path, [0])
    index = json.loads((tmp_path / "index.json").read_text())
    count = 113_945
    index |= {"names": [f"S{n:023}" for n in range(count)], "frames": [0] * count, "persons": [1] * count}
    index["frames"][-1], index["persons"][-1] = clip(0).shape[:2]
    (tmp_path / "index.json").write_text(json.dumps(index))
    packed = PackedSkeletons.open(tmp_path)
    assert len(packed) == count
    np.testing.assert_array_equal(packed.get(packed.names[-1]), clip(0))


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_looks_like_a_set_and_the_next_starts_again(tmp_path):
    write(tmp_path / "whole", range(9))
    code = f"""
import os; from pathlib import Path
from tests.skeletons.test_packed import clip, writer
with writer(Path({str(tmp_path / "killed")!r})) as packed:
    packed.add("other", clip(1))
    os.kill(os.getpid(), 9)
"""
    assert run([sys.executable, "-c", code], cwd=ROOT).returncode == -9
    with pytest.raises(ValueError, match="no packed skeletons"):
        PackedSkeletons.open(tmp_path / "killed")
    write(tmp_path / "killed", range(9))
    for name in ("index.json", "joints.npy"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert files(tmp_path / "killed") == ["index.json", "joints.npy"]


def test_two_processes_do_not_write_one_set(tmp_path):
    with writer(tmp_path), pytest.raises(ValueError, match="another process"), writer(tmp_path, "b"):
        pass


def test_an_older_set_stays_until_the_new_one_is_whole(tmp_path):
    write(tmp_path, range(3))
    with pytest.raises(RuntimeError), writer(tmp_path, "b") as packed:
        packed.add("clip9", clip(9))
        raise RuntimeError
    assert PackedSkeletons.open(tmp_path).names == ["clip0", "clip1", "clip2"]
    assert not list(tmp_path.glob("*.partial"))
    assert write(tmp_path, [9], source="b").names == ["clip9"]


def test_a_clip_that_is_not_there_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(ValueError, match="no clip 'clip8' among its 2 skeletons.*no usable skeleton"):
        write(tmp_path, range(2)).get("clip8")


def test_joints_of_another_layout_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match=r"a: joints \(17, 3\), but the layout ntu-25 has \(25, 3\)"),
        writer(tmp_path) as w,
    ):
        w.add("a", np.zeros((4, 1, 17, 3), np.float32))


def damage_index(folder):
    (folder / "index.json").write_text('{"format": 1, "na')


def raise_format(folder):
    (folder / "index.json").write_text('{"format": 2}')


def cut_joints(folder):
    (folder / "joints.npy").write_bytes((folder / "joints.npy").read_bytes()[:-100])


def swap_joints(folder):
    np.save(folder / "joints.npy", np.zeros(75, np.float32))


def remove_joints(folder):
    (folder / "joints.npy").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_index, "index.json: damaged"),
        (raise_format, "format 2, but this code reads 1"),
        (cut_joints, "joints.npy: cannot be read"),
        (swap_joints, r"joints.npy: \(75,\) float32 values, but the index promises \d+"),
        (remove_joints, "joints.npy: cannot be read"),
    ],
)
def test_a_damaged_set_is_refused_with_a_remedy(tmp_path, damage, message):
    write(tmp_path, range(3))
    damage(tmp_path)
    with pytest.raises(ValueError, match=f"{message}.*run the command that made (it|them) again"):
        PackedSkeletons.open(tmp_path)


def test_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no packed skeletons.*make them with scripts/prepare_ntu.py"):
        PackedSkeletons.open(tmp_path)


FILL_THE_DISK = """
import sys; from pathlib import Path
from tests.skeletons.test_packed import clip, writer
with writer(Path(sys.argv[1])) as packed:
    for number in range(400):
        packed.add(f"clip{number}", clip(number))
"""


@pytest.mark.slow
def test_a_full_disk_is_said_and_leaves_no_half_set(tmp_path):
    def little_room():  # the kernel refuses to let a file grow beyond this
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    result = run([sys.executable, "-c", FILL_THE_DISK, str(tmp_path)], cwd=ROOT, preexec_fn=little_room)
    assert "the disk is full" in result.stderr and "run the same command again" in result.stderr
    assert files(tmp_path) == []
