"""Git LFS pointers, cut and empty files where weights or data should be: one line with the file and the remedy."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.datasets.skeleton_import import import_skeletons
from ski_lvlm.encoders.frame_encoder import load_frame_encoder
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.encoders.vision_tower import load_vision_tower
from ski_lvlm.llm.loading import load_llm
from ski_lvlm.lvlm.feature_files import read_tokens
from ski_lvlm.published.weights import read_published
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.ntu_file import read_skeleton
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.storage.git_lfs import PointerError, refuse_pointers
from ski_lvlm.storage.safe_pickle import load_arrays
from ski_lvlm.storage.weight_files import WeightFileError, check_weights, damage_of, read_safetensors, weights_explained
from ski_lvlm.videos.decoding import probe
from ski_lvlm.videos.frame_cache import FrameCache
from tests.cases.text_case import tiny_clip
from tests.cases.tiny_llm import tiny_llm
from tests.cases.vision_case import tiny_tower

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 269060552\n"
CLIP = "S001C001P001R001A001"


def pointer(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(POINTER)


def cut(file):
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file):
    file.write_bytes(b"")


HARM = {"pointer": (pointer, "git lfs pull"), "cut": (cut, "fetch it again"), "empty": (emptied, "fetch it again")}
MODELS = {
    "language model": (tiny_llm, lambda folder: load_llm(str(folder))),
    "vision tower": (tiny_tower, lambda folder: load_vision_tower(str(folder), num_frames=4)),
    "text encoder": (tiny_clip, lambda folder: load_text_encoder(str(folder))),
    "backbone": (tiny_clip, lambda folder: load_frame_encoder(str(folder), out_width=16)),
}


@pytest.mark.parametrize(("harm", "remedy"), HARM.values(), ids=HARM.keys())
@pytest.mark.parametrize(("write", "load"), MODELS.values(), ids=MODELS.keys())
def test_damaged_weights_of_a_model_are_one_line(tmp_path, write, load, harm, remedy):
    write(tmp_path / "model")
    harm(tmp_path / "model" / "model.safetensors")
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{remedy}") as caught:
        load(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize(("harm", "remedy"), HARM.values(), ids=HARM.keys())
def test_damaged_files_beside_the_weights_are_named_too(tmp_path, name, harm, remedy):
    tiny_llm(tmp_path)
    if (tmp_path / name).stat().st_size < 100 and harm is cut:
        pytest.skip("too short to be cut so")
    harm(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: .*{remedy}"):
        load_llm(str(tmp_path))


@pytest.mark.parametrize(("harm", "remedy"), HARM.values(), ids=HARM.keys())
def test_a_gguf_file_is_looked_at_before_it_is_converted(tmp_path, monkeypatch, harm, remedy):
    monkeypatch.setenv("SKI_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(200))
    harm(file)
    with pytest.raises(ValueError, match=rf"model\.gguf: .*{remedy}"):
        load_llm(str(file))


def skeletons(path):
    return list(import_skeletons(path, layout=layout_named("ntu-25"))[1])[0].error


READERS = {
    "video": ("a.mp4", probe),
    "features": ("a.npy", read_tokens),
    "features, safetensors": ("a.safetensors", read_tokens),
    "features, pickle": ("a.pkl", read_tokens),
    "projector": ("mm_projector.bin", read_published),
    "projector, safetensors": ("mm_projector.safetensors", read_published),
    "checkpoint": ("a.pth", read_published),
    "our weights": ("model.safetensors", read_safetensors),
    "pickle": ("a.pkl", load_arrays),
    "skeleton": (f"{CLIP}.skeleton", read_skeleton),
    "instructions": ("a.json", read_instructions),
}


@pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS.keys())
def test_a_pointer_in_place_of_any_file_names_git_lfs(tmp_path, name, read):
    pointer(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}.*Git LFS pointer.*git lfs pull"):
        read(tmp_path / name)


def test_a_pointer_among_skeletons_frames_and_packed_sets(tmp_path):
    pointer(tmp_path / "arrays" / f"{CLIP}.npy")
    assert "git lfs pull" in skeletons(tmp_path / "arrays")
    cache = FrameCache.create(tmp_path / "frames", num_frames=2, side=4)
    pointer(tmp_path / "frames" / f"{CLIP}.npy")
    with pytest.raises(ValueError, match="git lfs pull"):
        cache.window(CLIP, start=0.0, stop=1.0, num_frames=1)
    for name in ("index.json", "joints.npy"):
        pointer(tmp_path / "packed" / name)
    with pytest.raises(ValueError, match="git lfs pull"):
        PackedSkeletons.open(tmp_path / "packed")


def test_several_pointers_are_counted_and_other_small_files_are_none(tmp_path):
    (tmp_path / "note.txt").write_text("version 1 of https://git-lfs")
    refuse_pointers(tmp_path)
    for name in ("a.bin", "b.bin"):
        pointer(tmp_path / name)
    with pytest.raises(PointerError, match=r"a\.bin and 1 other files: found a Git LFS pointer"):
        refuse_pointers(tmp_path)


def test_files_of_torch_are_looked_at_as_far_as_they_tell(tmp_path):
    new, old = tmp_path / "new.bin", tmp_path / "old.bin"
    torch.save({"a": torch.ones(300)}, new)
    torch.save({"a": torch.ones(300)}, old, _use_new_zipfile_serialization=False)
    check_weights(tmp_path)
    assert damage_of(new, checksums=True) is damage_of(old, checksums=True) is None
    cut(new)
    with pytest.raises(WeightFileError, match=r"new\.bin: damaged or not copied to its end"):
        check_weights(tmp_path)
    (tmp_path / "page.pth").write_text("<html>404</html>")
    assert "begins with b'<h'" in damage_of(tmp_path / "page.pth")
    (tmp_path / "openvino.bin").write_bytes(b"raw numbers")
    assert damage_of(tmp_path / "openvino.bin") is None


def test_a_hub_id_is_left_to_the_library_and_its_damage_is_still_one_line():
    expected = pytest.raises(WeightFileError, match="weights of some/model are damaged.*fetch them again")
    with expected, weights_explained("some/model"):
        raise EOFError


NTU = {"file_name": CLIP, "nbodys": [1] * 4, "njoints": 25, "skel_body0": np.ones((4, 25, 3))}


def hostile(file):
    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(file.with_name('ran'))!r}, 'w')",))

    return np.array([Bomb()], dtype=object)


def test_what_ntu_s_converter_writes_is_called_by_its_name(tmp_path):
    np.save(tmp_path / f"{CLIP}.skeleton.npy", np.array(NTU))
    problem = skeletons(tmp_path)
    assert "txt2npy.py" in problem and "give NTU's .skeleton files instead, by --ntu" in problem
    np.savez(tmp_path / f"{CLIP}.skeleton.npz", np.array(NTU))
    (tmp_path / f"{CLIP}.skeleton.npy").unlink()
    assert "txt2npy.py" in skeletons(tmp_path)


@pytest.mark.parametrize(
    "name", [f"{CLIP}.skeleton.npy", f"{CLIP}_skeleton.npy", f"{CLIP}.skeleton.npz", f"{CLIP}.npy"]
)
def test_a_plain_array_is_its_clip_whatever_stands_behind_the_name(tmp_path, name):
    (np.savez if name.endswith("z") else np.save)(tmp_path / name, np.random.default_rng(0).normal(size=(4, 25, 3)))
    (clip,) = list(import_skeletons(tmp_path, layout=layout_named("ntu-25"))[1])
    assert (clip.name, clip.content.shape, clip.error) == (CLIP, (4, 1, 25, 3), "")


def test_objects_in_arrays_are_described_and_never_run(tmp_path):
    file = tmp_path / "a.npy"
    for content, words in (
        (np.array({"pose": 1, "id": 2}), "a dictionary of pose, id and no plain array; save one array of numbers"),
        (np.array([np.ones(3), np.ones(4)], dtype=object), "Python objects and no plain array"),
        (hostile(file), "an array of Python objects .*asks for builtins.exec"),
    ):
        np.save(file, content, allow_pickle=True)
        with pytest.raises(ValueError, match=rf"a\.npy: .*{words}"):
            read_tokens(file)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_is_a_zip_file_is_told_apart(tmp_path):
    torch.save(torch.ones(2, 3), tmp_path / "a.pkl")
    with pytest.raises(ValueError, match=r"a\.pkl: not a readable pickle.*zip file as torch\.save.*save it as \.npy"):
        read_tokens(tmp_path / "a.pkl")
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(np.ones((2, 3))))
    assert read_tokens(tmp_path / "b.pkl").shape == (2, 3)
    save_file({"x": torch.ones(2, 3)}, tmp_path / "c.safetensors")
    assert read_tokens(tmp_path / "c.safetensors").shape == (2, 3)
