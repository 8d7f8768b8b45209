"""Every kind of model to a double of the hub and back: equal outputs, one folder format, nothing private."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ski_lvlm
from ski_lvlm.dual_encoders.checkpoints import (
    load_skeleton_clip,
    load_skeleton_encoder,
    load_student,
)
from ski_lvlm.dual_encoders.language import Student
from ski_lvlm.dual_encoders.skeleton_classifier import SkeletonClassifier
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.dual_encoders.xclip import XCLIP
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.settings import ProjectorSettings
from ski_lvlm.recipe import AdapterRecipe
from ski_lvlm.sharing.hub import model_folder
from ski_lvlm.sharing.kinds import kind_of
from ski_lvlm.sharing.push import push_folder
from ski_lvlm.skeleton_text.folder import load_recogniser
from ski_lvlm.skeleton_text.recogniser import SkeletonTextRecogniser
from ski_lvlm.video_llm.model import SkiVideoLlm
from tests.cases.encoder_case import clips
from tests.cases.hub_double import open_hub
from tests.cases.recognition_case import PROMPT, encoder_run, student_run, whole_run
from tests.cases.skeleton_case import SPLIT
from tests.cases.skeleton_text_case import skeleton_text_run
from tests.cases.text_case import tiny_clip
from tests.cases.tiny_llm import tiny_llm
from tests.cases.video_llm_case import write_video_case

NAMES = ["drink water", "clapping"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return open_hub(monkeypatch, tmp_path / "hub")


@pytest.fixture
def clip(tmp_path):
    """A CLIP at a path of this machine, and again where its hub id leads to."""
    tiny_clip(tmp_path / "bases" / "clip")
    return tiny_clip(tmp_path / "private" / "clip")


def bases(path, hub_id="bases/clip"):
    return {str(path): hub_id}


def same(a, b):
    return all(value.equal(b.state_dict()[name]) for name, value in a.state_dict().items())


def test_a_student_comes_back_with_equal_outputs(hub, clip, tmp_path):
    student, _ = load_student(student_run(tmp_path / "run", backbone=clip))
    student.push_to_hub("me/student", bases=bases(clip), private=True)
    again = Student.from_pretrained("me/student")
    video = torch.randint(0, 256, (2, 2, 3, 8, 8), dtype=torch.uint8)
    assert again(video, [PROMPT]).similarity.equal(student(video, [PROMPT]).similarity)
    assert again.card.seen == SPLIT.seen and again.card.backbone == "bases/clip"
    assert hub.private == {"me/student": True}
    assert hub.files("me/student") == ["README.md", "config.json", "model.safetensors", "student.json"]


def test_a_distilled_student_takes_its_skeleton_clip_along(hub, clip, tmp_path):
    whole_run(tmp_path / "run", tmp_path / "private" / "clip")
    (tmp_path / "run" / "checkpoint-7").mkdir()
    for name in ("recipe.json", "checkpoint-7/optimizer.pt", "checkpoint-7/model.safetensors", "train.py"):
        (tmp_path / "run" / name).write_text("{}")
    push_folder(tmp_path / "run", "me/ski", bases=bases(clip), commit_message="First")
    folder = model_folder("me/ski")
    assert {str(path) for path in map(str, hub.files("me/ski"))} == {
        *("README.md", "config.json", "model.safetensors", "student.json"),
        *(f"skeleton_clip/{name}" for name in ("config.json", "model.safetensors", "skeleton_encoder.json")),
    }
    assert hub.messages == ["First"]
    model, _ = load_skeleton_clip(folder / "skeleton_clip")
    assert same(load_skeleton_clip(tmp_path / "run" / "skeleton_clip")[0], model)


def test_a_skeleton_clip_comes_back_with_equal_outputs(hub, clip, tmp_path):
    whole_run(tmp_path / "run", tmp_path / "private" / "clip")
    model = SkeletonCLIP.from_pretrained(tmp_path / "run" / "skeleton_clip")
    model.push_to_hub("me/skeleton_clip", bases=bases(clip))
    again = SkeletonCLIP.from_pretrained("me/skeleton_clip")
    assert again(clips(), [PROMPT]).similarity.equal(model(clips(), [PROMPT]).similarity)


def test_a_skeleton_encoder_comes_back_with_its_classifier(hub, tmp_path):
    model = SkeletonClassifier.from_pretrained(encoder_run(tmp_path / "run"))
    model.push_to_hub("me/encoder")
    again = SkeletonClassifier.from_pretrained("me/encoder")
    assert again(clips()).equal(model(clips())) and again.card == model.card
    encoder, _ = load_skeleton_encoder(model_folder("me/encoder"))  # as all commands open it
    assert encoder(clips()).tokens.equal(model.encoder(clips()).tokens)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ridge", "smie"])
def test_a_skeleton_text_model_comes_back_with_equal_outputs(hub, clip, tmp_path, method):
    run = skeleton_text_run(tmp_path / "run", encoder=encoder_run(tmp_path / "encoder"), text=clip, method=method)
    assert (run / "README.md").read_text().startswith("---\n")
    model = SkeletonTextRecogniser.from_pretrained(run)
    model.push_to_hub("me/text", bases=bases(clip))
    again = SkeletonTextRecogniser.from_pretrained("me/text")
    assert again(clips(), NAMES).similarity.equal(model(clips(), NAMES).similarity)
    assert same(load_recogniser(run), load_recogniser(model_folder("me/text")))


def lvlm(folder, llm, **settings):
    torch.manual_seed(0)
    tuning = AdapterRecipe(**settings) if settings else None
    model = SkiLvlm.build(base_llm=str(llm), token_widths={"video": 12, "skeleton": 8}, tuning=tuning)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return SkiLvlm.from_pretrained(folder)


@pytest.mark.parametrize("settings", [{}, {"lora_rank": 4}, {"train": "llm"}], ids=["projectors", "adapter", "llm"])
def test_a_ski_lvlm_comes_back_with_equal_answers(hub, tmp_path, settings):
    tiny_llm(tmp_path / "bases" / "llm")
    model = lvlm(tmp_path / "run", tiny_llm(tmp_path / "private" / "llm"), **settings)
    model.push_to_hub("me/lvlm", bases=bases(tmp_path / "private" / "llm", "bases/llm"))
    again = SkiLvlm.from_pretrained("me/lvlm")
    tokens = [torch.from_numpy(np.random.default_rng(0).normal(size=(6, 12))).float()]
    assert again.answer(tokens, ["What?"], max_new_tokens=5) == model.answer(tokens, ["What?"], max_new_tokens=5)
    assert again.embed_prompts(tokens, ["What?"])[0].equal(model.embed_prompts(tokens, ["What?"])[0])
    assert same(model, again) and set(again.projectors) == {"video", "skeleton"}
    config = json.loads((hub.folder / "me" / "lvlm" / "main" / "config.json").read_text())
    assert config["base_llm"] == "bases/llm" and config["model_type"] == "ski_lvlm"


@pytest.mark.slow
def test_a_video_llm_comes_back_with_equal_answers(hub, tmp_path):
    case = write_video_case(tmp_path / "private")
    shutil.copytree(case["base_vlm"], tmp_path / "bases" / "vlm")
    sizes = {"skeleton_width": 8, "num_frames": 5, "frame_side": 40}
    settings = {"projector": ProjectorSettings("linear"), "tuning": AdapterRecipe(lora_rank=4)}
    SkiVideoLlm.build(base_vlm=case["base_vlm"], **sizes, **settings).save_pretrained(tmp_path / "run")
    model = SkiVideoLlm.from_pretrained(tmp_path / "run")
    model.push_to_hub("me/vlm", bases=bases(case["base_vlm"], "bases/vlm"))
    again, video = ski_lvlm.from_pretrained("me/vlm"), next((tmp_path / "private" / "videos").iterdir())
    frames = [again.read(video)]
    assert again.model.answer(frames, ["Why?"], max_new_tokens=4) == model.answer(frames, ["Why?"], max_new_tokens=4)
    assert same(SkiVideoLlm.from_pretrained("me/vlm"), model)


def test_no_file_of_a_pushed_model_names_a_folder_of_this_machine(hub, tmp_path):
    llm = tiny_llm(tmp_path / "private" / "llm")
    model = lvlm(tmp_path / "run", llm, lora_rank=4)
    model.config.manifest = {"skeleton": {"encoder": str(tmp_path / "private" / "encoder"), "digest": "0" * 16}}
    model.push_to_hub("me/lvlm", bases=bases(llm, "bases/llm"))
    for file in hub.files("me/lvlm"):
        assert str(tmp_path).encode() not in (hub.folder / "me" / "lvlm" / "main" / file).read_bytes(), file


def test_a_base_without_a_hub_id_is_refused(hub, clip, tmp_path):
    with pytest.raises(ValueError, match=r"found backbone .*private/clip.* expected a hub id.*=user/name"):
        push_folder(student_run(tmp_path / "run", backbone=clip), "me/student")
    assert not hub.messages


def test_another_copy_of_a_base_is_refused_by_its_digest(hub, tmp_path):
    tiny_llm(tmp_path / "bases" / "llm", seed=1)
    llm = tiny_llm(tmp_path / "private" / "llm")
    lvlm(tmp_path / "run", llm).push_to_hub("me/lvlm", bases=bases(llm, "bases/llm"))
    with pytest.raises(ValueError, match="weights with digest"):
        SkiLvlm.from_pretrained("me/lvlm")


def test_a_push_without_a_token_is_refused(monkeypatch, tmp_path):
    open_hub(monkeypatch, tmp_path / "hub", token=None)
    with pytest.raises(ValueError, match="found no token for the hub, expected one: run `hf auth login`"):
        push_folder(encoder_run(tmp_path / "run"), "me/encoder")


def test_a_hub_that_refuses_gives_one_line(hub, monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("403\nForbidden")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", refuse)
    with pytest.raises(ValueError, match=r"could not push .* to 'me/encoder' \(403 Forbidden\)"):
        push_folder(encoder_run(tmp_path / "run"), "me/encoder")


def test_a_folder_without_weights_is_refused(hub, tmp_path):
    run = encoder_run(tmp_path / "run")
    (run / "model.safetensors").unlink()
    (run / "model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=r"found no model.safetensors, expected a finished skeleton encoder"):
        push_folder(run, "me/encoder")


@pytest.mark.parametrize("content", [b"\x80\x04K\x01.", b"", b"PK\x03\x04" + b"0" * 60], ids=["pickle", "empty", "zip"])
def test_weights_that_are_no_safetensors_are_refused(hub, tmp_path, content):
    run = encoder_run(tmp_path / "run")
    (run / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="damaged or not copied"):
        push_folder(run, "me/encoder")
    with pytest.raises(ValueError, match="damaged or not copied"):
        SkeletonClassifier.from_pretrained(run)


@pytest.mark.parametrize("name", ["notes.txt", "config.json"])
def test_a_folder_of_something_else_is_refused(hub, tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"found (no trained model|a model of type 'bert'), expected the --output_dir"):
        push_folder(tmp_path / "other", "me/other")


def test_a_model_of_another_kind_is_refused(hub, clip, tmp_path):
    student_run(tmp_path / "run", backbone=clip)
    with pytest.raises(ValueError, match="found a ViFiCLIP, expected a XCLIP"):
        XCLIP.from_pretrained(tmp_path / "run")
    with pytest.raises(ValueError, match="holds no finished skeleton encoder"):
        SkeletonCLIP.from_pretrained(tmp_path / "run")
    with pytest.raises(ValueError, match="a model of type 'ski_student'"):
        SkiLvlm.from_pretrained(tmp_path / "run")


def test_a_student_that_nobody_trained_has_nothing_to_save(clip, tmp_path):
    with pytest.raises(ValueError, match="found a ViFiCLIP without a card, expected one that was loaded"):
        build_student("vificlip", backbone=clip, num_frames=2).save_pretrained(tmp_path / "out")


def test_the_model_card_comes_along(hub, tmp_path):
    run = encoder_run(tmp_path / "run")
    (run / "README.md").write_text("---\nlicense: mit\n---\nWritten by hand.\n")
    SkeletonClassifier.from_pretrained(run).save_pretrained(tmp_path / "copy", push_to_hub=True, repo_id="me/encoder")
    for card in (tmp_path / "copy", hub.folder / "me" / "encoder" / "main"):
        assert (card / "README.md").read_text().endswith("Written by hand.\n")


def test_a_branch_is_pushed_and_found_again(hub, tmp_path):
    push_folder(encoder_run(tmp_path / "run"), "me/encoder", revision="v1")
    assert hub.files("me/encoder") == [] and "model.safetensors" in hub.files("me/encoder", "v1")
    assert kind_of(model_folder("me/encoder@v1")).model_type == "ski_skeleton_encoder"
    assert SkeletonClassifier.from_pretrained("me/encoder", revision="v1").card.split == "synthetic"


def test_weights_are_written_as_they_were(hub, tmp_path):
    run = encoder_run(tmp_path / "run")
    SkeletonClassifier.from_pretrained(run).save_pretrained(tmp_path / "copy")
    a, b = (load_file(folder / "model.safetensors") for folder in (run, tmp_path / "copy"))
    assert a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)
