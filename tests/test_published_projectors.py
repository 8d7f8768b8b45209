"""Published projector files, made up here, before a tiny language model and a tiny tower."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from vision_case import tiny_tower

from ski_lvlm.published import PublishedWeightsError
from ski_lvlm.published_projectors import video_chatgpt, video_projector_of
from ski_lvlm.tiny import tiny_llm

TOWER, LLM = 16, 32  # widths


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    tiny_tower(root / "tower")
    tiny_llm(root / "llm")
    return {"base_llm": str(root / "llm"), "vision_tower": str(root / "tower"), "num_frames": 4}


def projector(prefix="model.mm_projector.", *, wide=TOWER):
    generator = torch.Generator().manual_seed(0)
    tensors = {"weight": torch.randn(LLM, wide, generator=generator), "bias": torch.randn(LLM, generator=generator)}
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def loaded(model):
    return {name: tensor.detach() for name, tensor in model.projectors["video"].layers.named_parameters()}


@pytest.mark.parametrize("prefix", ["model.mm_projector.", "mm_projector.", "base_model.model.model.mm_projector."])
@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_the_video_projector_is_found_under_any_prefix_and_copied(tmp_path, parts, prefix, ending):
    file = tmp_path / f"mm_projector.{ending}"
    save_file(projector(prefix), file) if ending == "safetensors" else torch.save(projector(prefix), file)
    found = loaded(video_chatgpt(file, **parts))
    for name, tensor in projector("").items():
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("backwards", [False, True])
def test_embeddings_and_other_projectors_do_not_take_its_place(tmp_path, parts, caplog, backwards):
    """`embed_tokens.weight` ends like `mm_projector.weight`, and may be of the same shape."""
    others = {
        "model.embed_tokens.weight": torch.zeros(LLM, TOWER),
        "model.pose_mm_projector.weight": torch.zeros(LLM, TOWER),
        "model.pose_projector.bias": torch.zeros(LLM),
    }
    mixed = projector() | others
    torch.save(dict(reversed(mixed.items())) if backwards else mixed, tmp_path / "p.bin")
    found = loaded(video_chatgpt(tmp_path / "p.bin", **parts))
    assert torch.equal(found["weight"], projector("")["weight"]) and torch.equal(found["bias"], projector("")["bias"])
    assert all(name in caplog.text for name in others)


def test_half_precision_is_widened(tmp_path, parts):
    torch.save({name: tensor.half() for name, tensor in projector().items()}, tmp_path / "p.bin")
    found = loaded(video_chatgpt(tmp_path / "p.bin", **parts))
    assert found["weight"].dtype == torch.float32
    assert torch.equal(found["weight"], projector("")["weight"].half().float())


def test_an_mlp_is_recognised_by_its_names(tmp_path, parts):
    layers = {"0.weight": (LLM, TOWER), "0.bias": (LLM,), "2.weight": (LLM, LLM), "2.bias": (LLM,)}
    torch.save({f"model.mm_projector.{name}": torch.randn(shape) for name, shape in layers.items()}, tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    assert model.config.projector == "mlp" and set(loaded(model)) == set(layers)


def test_it_is_a_model_like_a_trained_one(tmp_path, parts):
    torch.save(projector(), tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    frames = torch.zeros(3, 3, 28, 28, dtype=torch.uint8)
    answer = model.generate([frames], ["What happens?"], max_new_tokens=4)
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved", modalities=("video",))
    assert again.generate([frames], ["What happens?"], max_new_tokens=4) == answer


def test_the_same_projector_twice_is_no_contradiction():
    assert set(video_projector_of(projector() | projector("mm_projector."), Path("f"))) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model.norm.weight": torch.ones(3)}, "found nothing .*model.norm.weight.*expected mm_projector.weight"),
        ({"mm_projector.weight": torch.ones(LLM, TOWER)}, r"found \['weight'\]"),
        (projector() | {"mm_projector.weight": torch.zeros(LLM, TOWER)}, "two different video projectors"),
        (projector(wide=TOWER + 1), r"width 16\).*width 32.*\(32, 17\), expected \(32, 16\).*the tower and the"),
        ({"mm_projector.weight": "text", "mm_projector.bias": torch.ones(2)}, "expected tensors by name"),
        ([torch.ones(2)], "holds list"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, parts, content, message):
    torch.save(content, tmp_path / "p.bin")
    with pytest.raises(PublishedWeightsError, match=rf"(?s)p\.bin.*{message}"):
        video_chatgpt(tmp_path / "p.bin", **parts)


def test_a_program_in_the_file_is_refused_and_not_run(tmp_path, parts):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save(projector() | {"mm_projector.extra": Hostile()}, tmp_path / "p.bin")
    with pytest.raises(PublishedWeightsError, match="other Python objects"):
        video_chatgpt(tmp_path / "p.bin", **parts)
    assert not (tmp_path / "ran").exists()


def test_junk_and_absent_files_are_named(tmp_path, parts):
    (tmp_path / "p.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(PublishedWeightsError, match=r"p\.bin is damaged"):
        video_chatgpt(tmp_path / "p.bin", **parts)
    with pytest.raises(OSError, match=r"none\.bin"):
        video_chatgpt(tmp_path / "none.bin", **parts)
