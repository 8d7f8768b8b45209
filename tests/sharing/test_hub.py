"""Folders of models by path and by hub id: which comes first, what is fetched, and what is said where nothing is."""

import argparse

import huggingface_hub
import pytest

from ski_lvlm.recipe import DistillRecipe
from ski_lvlm.sharing.hub import model_argument, model_folder, with_local_models
from tests.cases.hub_double import open_hub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    hub = open_hub(monkeypatch, tmp_path / "hub")
    repository = tmp_path / "hub" / "me" / "model" / "main"
    (repository / "llm").mkdir(parents=True)
    for name in ("student.json", "model.safetensors", "llm/tokenizer.json", "modeling.py", "llm/pytorch_model.bin"):
        (repository / name).write_text("{}")
    return hub


def test_a_folder_here_comes_before_the_hub(hub, tmp_path):
    (tmp_path / "me" / "model").mkdir(parents=True)
    assert str(model_folder("me/model")) == "me/model"


def test_code_and_pickles_are_never_fetched(hub):
    folder = model_folder("me/model")
    fetched = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert fetched == {"student.json", "model.safetensors", "llm/tokenizer.json"}


@pytest.mark.parametrize("name", ["/data/run", "runs/a/b", "missing", "../me/model", "me/model/", "me /model"])
def test_what_can_be_no_hub_id_stays_a_path(hub, name):
    assert str(model_folder(name)) in (name, "me/model") or name == "me/model/"


def test_a_model_of_pickles_alone_is_refused(hub, tmp_path):
    repository = tmp_path / "hub" / "me" / "pickles" / "main"
    repository.mkdir(parents=True)
    (repository / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match=r"me/pickles: found no model.safetensors on the hub.* never loaded"):
        model_folder("me/pickles")


@pytest.mark.parametrize("name", ["me/nothing", "me/model@v9"], ids=["no such repository", "no such revision"])
def test_a_model_that_is_not_there_is_named(hub, name):
    with pytest.raises(ValueError, match=rf"found no folder {name} here, and could not fetch '{name.split('@')[0]}'"):
        model_folder(name)


def test_without_a_network_it_says_what_to_do(monkeypatch, tmp_path):
    """By huggingface_hub itself, which the tests keep offline."""
    assert huggingface_hub.constants.HF_HUB_OFFLINE
    with pytest.raises(ValueError, match=r"could not fetch 'me/model'.* Without a network, fetch it elsewhere with"):
        model_folder("me/model", cache_dir=tmp_path)


def test_a_flag_says_the_same(hub):
    with pytest.raises(argparse.ArgumentTypeError, match="found no folder me/nothing here"):
        model_argument("me/nothing")


def test_a_recipe_s_models_are_fetched_and_its_other_settings_are_left(hub):
    recipe = DistillRecipe(video_student="me/model", skeleton_clip=["me/model", "/data/run"], ntu="me/model")
    local = with_local_models(recipe)
    assert local.video_student == str(model_folder("me/model")) == local.skeleton_clip[0]
    assert local.skeleton_clip[1] == "/data/run" and local.ntu == "me/model"
