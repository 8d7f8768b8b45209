"""Published projector files, made up here, before a tiny language model and a tiny tower."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from ski_lvlm.lvlm.inference import LoadedLvlm
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.published.projectors import delimiters_of, load_video_projector, video_chatgpt, video_projector_of
from ski_lvlm.published.weights import PublishedWeightsError
from tests.cases.tiny_llm import tiny_llm
from tests.cases.vision_case import tiny_tower

pytestmark = pytest.mark.slow

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
    tensors = loaded(video_chatgpt(file, **parts))
    for name, tensor in projector("").items():
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("backwards", [False, True])
def test_embeddings_and_other_projectors_do_not_take_its_place(tmp_path, parts, caplog, backwards):
    """Several names end like `mm_projector.weight`, and may be of the same shape."""
    further = {
        "model.mm_projector_forpose.weight": torch.zeros(LLM, TOWER),
        "model.pose_mm_projector.weight": torch.zeros(LLM, TOWER),
        "model.pose_projector.bias": torch.zeros(LLM),
    }
    mixed = projector() | further | {"model.embed_tokens.weight": torch.zeros(2, LLM)}
    torch.save(dict(reversed(mixed.items())) if backwards else mixed, tmp_path / "p.bin")
    tensors = loaded(video_chatgpt(tmp_path / "p.bin", **parts))
    assert torch.equal(tensors["weight"], projector("")["weight"]) and torch.equal(
        tensors["bias"], projector("")["bias"]
    )
    assert all(name in caplog.text for name in further)


def test_half_precision_is_widened(tmp_path, parts):
    torch.save({name: tensor.half() for name, tensor in projector().items()}, tmp_path / "p.bin")
    tensors = loaded(video_chatgpt(tmp_path / "p.bin", **parts))
    assert tensors["weight"].dtype == torch.float32
    assert torch.equal(tensors["weight"], projector("")["weight"].half().float())


def test_an_mlp_is_recognised_by_its_names(tmp_path, parts):
    layers = {"0.weight": (LLM, TOWER), "0.bias": (LLM,), "2.weight": (LLM, LLM), "2.bias": (LLM,)}
    torch.save({f"model.mm_projector.{name}": torch.randn(shape) for name, shape in layers.items()}, tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    assert model.config.projectors["video"]["kind"] == "mlp" and set(loaded(model)) == set(layers)


def test_it_is_a_model_like_a_trained_one(tmp_path, parts):
    torch.save(projector(), tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved", modalities=("video",))
    frames = torch.zeros(3, 3, 28, 28, dtype=torch.uint8)
    lvlms = [LoadedLvlm(model), LoadedLvlm(again)]
    first, second = (lvlm.answer([lvlm.encode(frames)], ["What happens?"], max_new_tokens=4) for lvlm in lvlms)
    assert first == second


@pytest.mark.parametrize(
    ("rows", "projectors", "expected"),
    [
        (10 + 3, (), [11, 12]),  # Video-ChatGPT: patch, start, end
        (10 + 9, ("model.mm_projector_forpose.weight",), [13, 14]),  # LLAVIDAL: three patches, then video's two
        (10 + 9, (), [13, 14]),
        (10 + 3, ("model.mm_projector_forobject.weight",), None),  # LLAVIDAL without start and end: three patches
        (10 + 3, ("model.pose_mm_projector.weight",), None),
        (10 + 3, ("model.object_projector.weight",), None),
        (2, (), [0, 1]),
        (6, (), [0, 1]),
    ],
)
def test_where_start_and_end_of_a_video_stand(rows, projectors, expected, caplog):
    table = torch.arange(rows).float()[:, None].expand(rows, LLM)
    published = projector() | {"model.embed_tokens.weight": table} | {name: torch.ones(1) for name in projectors}
    delimiters = delimiters_of(published, vocabulary=torch.zeros(10, LLM))
    assert (delimiters if delimiters is None else delimiters[:, 0].tolist()) == expected
    source = f"rows {expected[0]} and {expected[1]} of model.embed_tokens.weight" if expected else "none in the file"
    assert f"start and end token: {source}" in caplog.text
    assert delimiters_of(projector(), vocabulary=torch.zeros(10, LLM)) is None


@pytest.mark.parametrize("shape", [(10, LLM), (12, LLM), (13, LLM + 1), (2, LLM - 1)])
def test_a_table_of_another_language_model_is_refused(shape):
    with pytest.raises(
        PublishedWeightsError, match=r"expected 13 \(Video-ChatGPT\) or 19 \(LLAVIDAL, SKI\) rows of 32"
    ):
        delimiters_of({"model.embed_tokens.weight": torch.zeros(shape)}, vocabulary=torch.zeros(10, LLM))


def test_two_different_tables_are_refused():
    one, other = torch.zeros(13, LLM), torch.ones(13, LLM)
    vocabulary = torch.zeros(10, LLM)
    twice = {"model.embed_tokens.weight": one, "model.model.embed_tokens.weight": one.clone()}
    assert delimiters_of(twice, vocabulary=vocabulary) is not None
    with pytest.raises(PublishedWeightsError, match="two different tables .* model.embed_tokens.weight and embed_tok"):
        delimiters_of(twice | {"embed_tokens.weight": other}, vocabulary=vocabulary)


@pytest.mark.slow
@pytest.mark.parametrize("extra", [3, 9])
def test_a_whole_table_gives_the_same_answers_in_a_batch_and_alone(tmp_path, parts, extra):
    """The questions have unequal lengths, so that padding stands before the start token."""
    words = len(AutoTokenizer.from_pretrained(parts["base_llm"]))
    table = torch.randn(words + extra, LLM, generator=torch.Generator().manual_seed(1))
    torch.save(projector() | {"model.embed_tokens.weight": table}, tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    first = words + {3: 1, 9: 3}[extra]
    assert torch.equal(model.projectors["video"].delimiters, table[first : first + 2])
    questions = [
        "Why?",
        "What is the person doing, with which of these things, and for how long?",
        "<video>\nWho is it?",
    ]
    tokens = [torch.randn(count, TOWER) for count in (8, 6, 8)]
    together = model.answer(tokens, questions, max_new_tokens=12)
    alone = [model.answer([one], [text], max_new_tokens=12)[0] for one, text in zip(tokens, questions, strict=True)]
    assert together == alone and len(set(alone)) == len(questions)
    without = video_chatgpt(tmp_path / "p.bin", **parts, delimited=False)
    assert not without.config.delimited and without.answer(tokens, questions, max_new_tokens=12) != together


def test_start_and_end_stand_around_the_video_tokens_and_are_saved(tmp_path, parts):
    ends = torch.stack([torch.full((LLM,), 7.0), torch.full((LLM,), 9.0)])
    torch.save(projector() | {"model.embed_tokens.weight": ends.half()}, tmp_path / "p.bin")
    model = video_chatgpt(tmp_path / "p.bin", **parts)
    model.save_pretrained(tmp_path / "saved")
    again = type(model).from_pretrained(tmp_path / "saved", modalities=("video",))
    embeddings, tokens = [], torch.randn(5, TOWER)
    for one in (model, again):
        one.llm.generate = lambda inputs_embeds, **_: (
            embeddings.append(inputs_embeds) or torch.zeros(1, 1, dtype=torch.long)
        )
        one.answer([tokens], ["What happens?"])
    (start,) = (embeddings[0][0] == 7.0).all(dim=1).nonzero()[0].tolist()
    torch.testing.assert_close(embeddings[0][0, start + 1 : start + 6], model.projectors["video"](tokens))
    assert (embeddings[0][0, start + 6] == 9.0).all() and torch.equal(embeddings[0], embeddings[1])


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
    with pytest.raises(ValueError, match=r"p\.bin: found a Git LFS pointer.*git lfs pull"):
        video_chatgpt(tmp_path / "p.bin", **parts)
    for absent in (tmp_path / "none.bin", tmp_path):
        with pytest.raises(PublishedWeightsError, match=rf"{absent}: no such file; expected mm_projector\.bin"):
            video_chatgpt(absent, **parts)


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_training_can_start_from_a_published_projector(tmp_path, ending):
    weights = {f"model.mm_projector.{name}": torch.randn(shape) for name, shape in [("weight", (4, 8)), ("bias", (4,))]}
    file = tmp_path / f"mm_projector.{ending}"
    save_file(weights, file) if ending == "safetensors" else torch.save(weights, file)
    projector = Projector(8, 4)
    load_video_projector(str(file), projector)
    assert torch.equal(projector.layers.weight, weights["model.mm_projector.weight"])
    assert torch.equal(projector.layers.bias, weights["model.mm_projector.bias"])


def test_a_projector_inside_a_sharded_checkpoint_is_found(tmp_path):
    weights = {"model.mm_projector.weight": torch.randn(4, 8), "model.mm_projector.bias": torch.randn(4)}
    torch.save(weights | {"model.norm.weight": torch.ones(3)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    weight_map = dict.fromkeys(weights, "pytorch_model-00002-of-00002.bin")
    weight_map["lm_head.weight"] = "pytorch_model-00001-of-00002.bin"
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    projector = Projector(8, 4)
    load_video_projector(str(tmp_path), projector)
    assert torch.equal(projector.layers.weight, weights["model.mm_projector.weight"])


def test_a_start_of_another_shape_is_refused_and_nothing_is_copied(tmp_path):
    torch.save({"mm_projector.weight": torch.randn(4, 9), "mm_projector.bias": torch.randn(4)}, tmp_path / "p.bin")
    projector = Projector(8, 4)
    before = projector.layers.weight.clone()
    with pytest.raises(ValueError, match=r"\(4, 9\).*expected.*\(4, 8\)"):
        load_video_projector(str(tmp_path / "p.bin"), projector)
    assert torch.equal(projector.layers.weight, before)


def test_code_in_a_file_to_start_from_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"mm_projector.weight": Evil()}, tmp_path / "mm_projector.bin")
    with pytest.raises(Exception, match="other Python objects"):
        load_video_projector(str(tmp_path / "mm_projector.bin"), Projector(8, 4))
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_without_a_projector_is_named(tmp_path):
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": "a.bin"}}))
    with pytest.raises(PublishedWeightsError, match="no mm_projector among its weights; leave --video_projector out"):
        load_video_projector(str(tmp_path), Projector(8, 4))
