import json
import math
import sys
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import CLIPConfig, CLIPModel, XCLIPModel

from scripts.convert_clip import main as convert
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.encoders.pretrained import normalisation
from ski_lvlm.published import clip_weights as importer
from ski_lvlm.published.weights import PublishedWeightsError, read_published
from tests.cases.command_case import run
from tests.cases.recordings import GOLDEN
from tests.cases.reference_weights import relative, wave_weight
from tests.cases.text_case import tiny_tokenizer

SENTENCES = "prompt_learner.complete_text_embeddings"


def released(name, *, words=None):
    """Stand-in weights in the authors' names, with `words` for a smaller vocabulary."""
    shapes = json.loads((GOLDEN / f"{name}_keys.json").read_text())
    if words:
        shapes["token_embedding.weight"][0] = words
    weights = {key: wave_weight(key, tuple(shape)) for key, shape in shapes.items()}
    return weights | {"logit_scale": torch.tensor(math.log(1 / 0.07))}


def clip_of(weights):
    model = CLIPModel(importer.clip_config_of(weights)).eval()
    importer.load_openai_clip(model, weights)
    return model


def xclip_of(weights):
    model = XCLIPModel(importer.xclip_config_of(weights)).eval()
    importer.load_xclip(model, weights)
    return model


def trainer_checkpoint(weights):
    """Rename a network as ViFi-CLIP's trainer does: two wrapped halves, no token embeddings, class sentences."""
    words = weights["token_embedding.weight"]
    sentences = words[torch.tensor([[5, 2, 6], [5, 3, 6]])].half()
    halves = {"module.logit_scale": weights["logit_scale"], f"module.{SENTENCES}": sentences}
    for name, value in weights.items():
        if name.startswith("visual."):
            halves[name.replace("visual.", "module.image_encoder.", 1)] = value
        elif name not in ("token_embedding.weight", "logit_scale"):
            halves[f"module.text_encoder.{name}"] = value
    return halves


def save_checkpoint(path, weights, **extra):
    torch.save({"model": weights, "epoch": 9, "optimizer": {"state": {}}, **extra}, path)
    return path


def without_module(weights):
    return {name.removeprefix("module."): value for name, value in weights.items()}


def same(model, other):
    expected = other.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.fixture(scope="module")
def small():
    return released("vificlip", words=len(tiny_tokenizer()))


@pytest.fixture
def base(tmp_path, small):
    """Save an untrained CLIP with the small network's token embeddings and a tokenizer, as the hub would have it."""
    model = CLIPModel(importer.clip_config_of(small))
    model.text_model.embeddings.token_embedding.weight.data.copy_(small["token_embedding.weight"])
    model.save_pretrained(tmp_path / "base")
    tiny_tokenizer().save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")


@pytest.mark.slow
@torch.no_grad()
def test_vificlip_agrees_with_its_authors_network():
    golden, model = np.load(GOLDEN / "vificlip_golden.npz"), clip_of(released("vificlip"))
    video, sentences = torch.from_numpy(golden["video"]), torch.from_numpy(golden["input_ids"])
    frames = model.get_image_features(pixel_values=video.flatten(0, 1)).pooler_output
    z_v, z_t = frames.unflatten(0, (2, 4)).mean(1), model.get_text_features(input_ids=sentences).pooler_output
    logits = model.logit_scale.exp() * F.normalize(z_v, dim=-1) @ F.normalize(z_t, dim=-1).T
    assert relative(z_v, golden["video_features"]) < 1e-4
    assert relative(z_t, golden["text_features"]) < 1e-4
    assert relative(logits, golden["logits"]) < 1e-4


@pytest.mark.slow
@torch.no_grad()
def test_xclip_agrees_with_its_authors_network():
    inputs, golden = np.load(GOLDEN / "vificlip_golden.npz"), np.load(GOLDEN / "xclip_golden.npz")
    video, sentences = torch.from_numpy(inputs["video"]), torch.from_numpy(inputs["input_ids"])
    model = xclip_of(released("xclip"))
    assert relative(model.get_video_features(video).pooler_output, golden["video_features"]) < 1e-4
    out = model(input_ids=sentences, pixel_values=video)
    assert relative(out.logits_per_video, golden["logits"]) < 1e-4
    backwards = model.get_video_features(video.flip(1)).pooler_output
    assert relative(backwards, golden["video_features"]) > 1e-3  # the order of frames counts


def test_the_network_is_read_from_the_shapes():
    """OpenAI's ViT-B/16, by shapes alone."""
    weights = {
        "positional_embedding": torch.empty(77, 512, device="meta"),
        "text_projection": torch.empty(512, 512, device="meta"),
        "ln_final.weight": torch.empty(512, device="meta"),
        "visual.conv1.weight": torch.empty(768, 3, 16, 16, device="meta"),
        "visual.positional_embedding": torch.empty(197, 768, device="meta"),
        **{f"visual.transformer.resblocks.{i}.mlp.c_fc.weight": torch.empty(3072, 768) for i in range(12)},
        **{f"transformer.resblocks.{i}.mlp.c_fc.weight": torch.empty(2048, 512) for i in range(12)},
    }
    config, usual = importer.clip_config_of(weights), CLIPConfig()
    vision = config.vision_config
    assert (vision.patch_size, vision.image_size, vision.num_attention_heads) == (16, 224, 12)
    assert config.text_config.to_dict() == usual.text_config.to_dict()
    vision.patch_size = usual.vision_config.patch_size
    assert vision.to_dict() == usual.vision_config.to_dict()


def test_xclip_s_sizes_and_frames_are_read_from_the_shapes():
    config = importer.xclip_config_of(released("xclip", words=20))
    vision = config.vision_config
    assert (vision.num_frames, vision.mit_num_hidden_layers, vision.mit_num_attention_heads) == (4, 1, 1)
    assert (config.projection_dim, config.prompt_layers, config.prompt_num_attention_heads) == (64, 2, 1)
    assert (config.text_config.vocab_size, config.text_config.eos_token_id) == (20, 19)


def test_the_archive_s_numbers_and_half_precision_are_taken_as_they_come(small):
    facts = {"input_resolution": 48, "context_length": 77, "vocab_size": len(tiny_tokenizer())}
    half = {name: value.half() for name, value in small.items()}
    model = clip_of(half | {name: torch.tensor(value) for name, value in facts.items()})
    assert model.logit_scale.dtype == torch.float32
    rounded = {name: value.float() for name, value in half.items()}
    assert same(model, clip_of(rounded))


def test_a_trainer_s_checkpoint_keeps_the_token_embeddings_of_the_model(small, base, tmp_path):
    checkpoint = read_published(save_checkpoint(tmp_path / "best.pth", trainer_checkpoint(small)))
    model = CLIPModel.from_pretrained(base)
    importer.load_openai_clip(model, checkpoint)
    assert same(model, clip_of(small))


def test_a_trainer_s_checkpoint_does_not_go_into_another_clip(small, base):
    model = CLIPModel.from_pretrained(base)
    model.text_model.embeddings.token_embedding.weight.data *= 1.1
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(PublishedWeightsError, match="of another CLIP than its prompt_learner"):
        importer.load_openai_clip(model, without_module(trainer_checkpoint(small)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_learned_prompts_have_no_place(small, base):
    prompted = without_module(trainer_checkpoint(small))
    prompted["prompt_learner.ctx"] = torch.zeros(4, 64)
    prompted["image_encoder.VPT"] = torch.zeros(4, 128)
    with pytest.raises(PublishedWeightsError, match=r"left over \['prompt_learner.ctx', 'visual.VPT'\]"):
        importer.load_openai_clip(CLIPModel.from_pretrained(base), prompted)


@pytest.mark.parametrize("name", ["transformer.resblocks.1.attn.in_proj_bias", "token_embedding.weight", "visual.proj"])
def test_a_missing_name_is_listed(small, name):
    model = CLIPModel(importer.clip_config_of(small))
    with pytest.raises(PublishedWeightsError, match=rf"missing \['{name}'\], left over nothing"):
        importer.load_openai_clip(model, {key: value for key, value in small.items() if key != name})


def test_a_name_left_over_is_listed(small):
    xclip = released("xclip", words=17)
    with pytest.raises(PublishedWeightsError, match=r"missing nothing, left over \['visual.adapter'\]"):
        clip_of(small | {"visual.adapter": torch.zeros(2)})
    with pytest.raises(PublishedWeightsError, match="missing nothing, left over .*'prompts_generator.alpha'.*'mit.pos"):
        clip_of(xclip)
    with pytest.raises(PublishedWeightsError, match=r"left over \['mit.extra'\]"):
        xclip_of(xclip | {"mit.extra": torch.zeros(2)})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "visual.proj",
            torch.zeros(32, 128),
            r"visual.proj for visual_projection.weight: \(32, 128\), expected \(128",
        ),
        ("transformer.resblocks.0.attn.in_proj_weight", torch.zeros(3, 64), r"\(3, 64\), expected \(192, 64\)"),
        ("transformer.resblocks.0.attn.in_proj_bias", torch.zeros([]), r"in_proj_bias.*expected \(192,\)"),
        ("visual.ln_pre.bias", torch.zeros(128, dtype=torch.int8), r"ln_pre.bias.*torch.int8.*expected floating-point"),
    ],
)
def test_a_wrong_tensor_is_listed_and_nothing_is_loaded(small, name, value, message):
    model = CLIPModel(importer.clip_config_of(small))
    before = model.logit_scale.item()
    wrong = small | {name: value, "visual.ln_post.bias": torch.zeros(3), "logit_scale": torch.tensor(9.0)}
    with pytest.raises(PublishedWeightsError, match=message) as error:
        importer.load_openai_clip(model, wrong)
    assert "visual.ln_post.bias" in str(error.value)
    assert model.logit_scale.item() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual.attnpool.positional_embedding": torch.zeros(50, 2048)}, "ResNet CLIP"),
        ({"visual.positional_embedding": torch.zeros(12, 128)}, "11 patches, expected a square's"),
        ({"ln_final.weight": torch.zeros(100)}, "100 wide, expected a multiple of its heads' 64"),
        ({"visual.conv1.weight": torch.zeros(128, 3)}, r"\(128, 3\), expected 4 axes"),
    ],
)
def test_no_network_is_made_up(small, change, message):
    with pytest.raises(PublishedWeightsError, match=message):
        importer.clip_config_of(small | change)


def test_other_weights_are_no_clip():
    with pytest.raises(PublishedWeightsError, match="no text_projection.*start with .'fc.weight'"):
        importer.clip_config_of({"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(PublishedWeightsError, match="no mit.resblocks.0"):
        importer.xclip_config_of({"text_projection": torch.zeros(2, 2)})


class CfgNode(dict):
    """Stands for the settings class that the trainers put into their checkpoints."""


class Harmful:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_training_checkpoint_s_settings_are_no_hindrance(tmp_path, monkeypatch):
    module = types.ModuleType("yacs.config")
    module.CfgNode = CfgNode
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
        patch.setitem(sys.modules, "yacs.config", module)
        settings = CfgNode(MODEL=CfgNode(ARCH="ViT-B/16"), AUG=[0.1, (2, 3)])
        settings.__dict__["__immutable__"] = True
        path = save_checkpoint(tmp_path / "best.pth", {"module.w": torch.ones(2)}, config=settings)
    assert torch.equal(read_published(path)["w"], torch.ones(2))


def test_other_objects_are_refused_and_not_run(tmp_path, capsys):
    path = save_checkpoint(tmp_path / "run.pth", {"w": torch.ones(2)}, config=Harmful())
    with pytest.raises(PublishedWeightsError, match="other Python objects.*print.*save its weights alone"):
        read_published(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_torchscript_archive_is_refused_with_the_remedy(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "ViT-B-16.pt")
    with pytest.raises(PublishedWeightsError, match="TorchScript archive.*torch.jit.load") as error:
        read_published(tmp_path / "ViT-B-16.pt")
    remedy = str(error.value).split('python -c "')[1].removesuffix('"')
    assert run([sys.executable, "-c", remedy], cwd=tmp_path).returncode == 0
    assert read_published(tmp_path / "weights.pt").keys() == {"weight", "bias"}


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world, no weights here", b"PK\x03\x04torn"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PublishedWeightsError, match=f"{name} is .*damaged"):
        read_published(tmp_path / name)


@pytest.mark.slow
def test_converts_a_trainer_s_checkpoint_into_a_backbone(small, base, tmp_path):
    weights = save_checkpoint(tmp_path / "best.pth", trainer_checkpoint(small))
    assert convert(["--weights", str(weights), "--base", base, "--out", str(tmp_path / "out")]) == 0
    out = str(tmp_path / "out")
    assert same(CLIPModel.from_pretrained(out), clip_of(small))
    assert normalisation(out, family="clip")[0] == [0.485, 0.456, 0.406]
    student = build_student("vificlip", backbone=out, num_frames=2)
    video = torch.randint(0, 256, (1, 2, 3, 48, 48), dtype=torch.uint8)
    assert student.eval()(video, ["drink water", "hand waving"]).similarity.shape == (1, 2)
    assert student.temperature.item() == pytest.approx(0.07)


@pytest.mark.slow
@torch.no_grad()
def test_converts_xclip_weights_into_a_backbone(base, tmp_path):
    published = released("xclip", words=len(tiny_tokenizer()))
    weights = save_checkpoint(tmp_path / "k400.pth", published)
    assert convert(["--weights", str(weights), "--base", base, "--out", str(tmp_path / "out")]) == 0
    student = build_student("xclip", backbone=str(tmp_path / "out"), num_frames=4).eval()
    video, prompts = torch.randint(0, 256, (1, 4, 3, 48, 48), dtype=torch.uint8), ["drink water", "hand waving ."]
    mean, std = (torch.tensor(values)[:, None, None] for values in importer.IMAGENET_NORMALISATION)
    sentences = student.text_encoder.tokenizer(prompts, padding=True, return_tensors="pt").input_ids
    whole = xclip_of(published)(input_ids=sentences, pixel_values=(video / 255 - mean) / std)
    cosines = whole.logits_per_video * student.temperature
    assert torch.allclose(student(video, prompts).similarity, cosines, atol=1e-5)


def test_converts_openai_s_names_without_a_base(small, tmp_path, capsys):
    torch.save(small, tmp_path / "clip.pt")
    convert(["--weights", str(tmp_path / "clip.pt"), "--out", str(tmp_path / "out")])
    assert normalisation(str(tmp_path / "out"), family="clip")[0] == [0.48145466, 0.4578275, 0.40821073]
    assert "no tokenizer" in capsys.readouterr().out
    convert(["--weights", str(tmp_path / "clip.pt"), "--out", str(tmp_path / "b"), "--normalisation", "imagenet"])
    assert normalisation(str(tmp_path / "b"), family="clip")[0] == [0.485, 0.456, 0.406]


def test_a_conversion_that_fails_leaves_nothing_behind(small, base, tmp_path):
    weights = save_checkpoint(tmp_path / "best.pth", trainer_checkpoint(small))
    with pytest.raises(ValueError, match="no token embeddings.*--base openai"):
        convert(["--weights", str(weights), "--out", str(tmp_path / "out")])
    torch.save(released("xclip", words=5), tmp_path / "few.pt")
    with pytest.raises(ValueError, match="has 17 words, the weights 5"):
        convert(["--weights", str(tmp_path / "few.pt"), "--base", base, "--out", str(tmp_path / "out")])
    assert {path.name for path in tmp_path.iterdir()} == {"best.pth", "few.pt", "base"}
    with pytest.raises(ValueError, match="base exists and is not an empty folder"):
        convert(["--weights", str(weights), "--base", base, "--out", base])
