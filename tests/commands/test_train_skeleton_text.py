import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import train_ski_vlm
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, read_card
from ski_lvlm.skeleton_text.folder import SkeletonTextCard, load_recogniser
from tests.cases.command_case import ROOT, kill_at, run
from tests.cases.skeleton_case import SPLIT
from tests.cases.skeleton_text_commands import encoder_home, flags, zero_shot_result

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return encoder_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trained(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "synse"
    train_ski_vlm.main(flags(home, folder, "--select", "last"))
    return folder


def test_the_folder_says_what_was_trained_and_how_it_was_chosen(trained):
    card = json.loads((trained / SkeletonTextCard.FILE).read_text())
    assert (card["method"], card["published"], card["select"], card["rounds"]) == ("synse", [], "last", 1)
    assert card["sizes"]["latent"] == 20 and tuple(card["seen"]) == SPLIT.seen
    result = json.loads((trained / "result.json").read_text())
    assert result["unseen_test"]["classes"] == 4 and result["unseen_test"]["clips"] == 4
    assert result["seen_test"]["clips"] == 12 and "note" not in result["choice"]


def test_zero_shot_measures_what_training_did(home, trained, tmp_path):
    result = zero_shot_result(home, trained, tmp_path)
    expected = json.loads((trained / "result.json").read_text())["unseen_test"]["top1"]
    assert result["unseen"]["top1"] == pytest.approx(expected, abs=1e-4)
    assert result["sentences"]["skeleton"][SPLIT.unseen[0]] == [SPLIT.unseen[0]]


@pytest.mark.parametrize("flag", [["--prompt", "a {name}"], ["--descriptions", "own.json"]])
def test_zero_shot_refuses_what_names_cannot_do(home, trained, tmp_path, flag):
    with pytest.raises(ValueError, match=f"leave out {flag[0]}"):
        zero_shot_result(home, trained, tmp_path, *flag)


def test_held_out_seen_classes_choose_by_default(home, tmp_path):
    train_ski_vlm.main(flags(home, tmp_path / "run"))
    choice = json.loads((tmp_path / "run" / "result.json").read_text())["choice"]
    assert choice["select"] == "held_out" and choice["rounds"] == 1 and len(choice["held_out"]) == 3
    assert set(choice["held_out"]) < set(SPLIT.seen)
    rehearsal = read_card(tmp_path / "run" / "rehearsal", SkeletonTextCard)
    assert set(rehearsal.seen) == set(SPLIT.seen) - set(choice["held_out"])
    load_recogniser(tmp_path / "run" / "rehearsal")


def test_choosing_on_unseen_clips_is_called_optimistic(home, tmp_path, capsys):
    train_ski_vlm.main(flags(home, tmp_path / "run", "--select", "unseen_test", "--published", "all"))
    assert "optimistic" in capsys.readouterr().out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["choice"]["accuracy_after_round"] == [result["unseen_test"]["top1"]]
    assert load_recogniser(tmp_path / "run").method.has_relu


def test_features_are_computed_once(home, trained, tmp_path):
    shutil.copytree(trained / "features", tmp_path / "run" / "features")
    file = tmp_path / "run" / "features" / "seen_test.safetensors"
    damaged = tmp_path / "run" / "features" / "seen_train.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    before = file.stat().st_mtime_ns
    train_ski_vlm.main(flags(home, tmp_path / "run", "--select", "last"))
    assert file.stat().st_mtime_ns == before
    whole, again = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "run"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_killed_and_started_again_it_ends_with_the_same_weights(home, trained, tmp_path):
    again = [sys.executable, str(ROOT / "train_ski_vlm.py"), *flags(home, tmp_path / "run", "--select", "last")]
    kill_at(again, "checkpoint.pt", 3, folder=tmp_path)
    assert not (tmp_path / "run" / "result.json").exists() and (tmp_path / "run" / "checkpoint.pt").exists()
    assert run(again).returncode == 0
    whole, killed = (load_file(folder / "model.safetensors") for folder in (trained, tmp_path / "run"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


STAR = ["--method", "star", "--rounds", "2", "--round_length", "0", "--latent", "4"]


@pytest.fixture(scope="module")
def star(home, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "star"
    train_ski_vlm.main(flags(home, folder, *STAR))
    return folder


def test_star_is_trained_on_maps_and_tested_by_names(home, star, tmp_path):
    card = read_card(star, SkeletonTextCard)
    assert (card.method, card.published, card.sizes["latent"], card.sizes["num_unseen"]) == ("star", [], 4, 0)
    assert len(card.texts[SPLIT.seen[0].casefold()]) == 7
    maps = np.load(star / "features" / "seen_train.npy", mmap_mode="r")
    assert maps.dtype == np.float16 and maps.shape[1::2] == (card.sizes["skeleton_width"], 25)
    expected = json.loads((star / "result.json").read_text())["unseen_test"]["top1"]
    assert zero_shot_result(home, star, tmp_path)["unseen"]["top1"] == pytest.approx(expected, abs=1e-4)


def test_star_as_published_reads_the_texts_of_unseen_classes(home, tmp_path):
    train_ski_vlm.main(flags(home, tmp_path / "run", *STAR, "--published", "all"))
    classes = {"run": (12, 4), "run/rehearsal": (9, 3)}
    for folder, (seen, unseen) in classes.items():
        card = read_card(tmp_path / folder, SkeletonTextCard)
        assert (card.sizes["num_classes"], card.sizes["num_unseen"]) == (seen, unseen)
        assert len(load_recogniser(tmp_path / folder).method.network.class_offsets["head"]) == seen + unseen


@pytest.mark.parametrize(("file", "count"), [("seen_train.json", 1), ("checkpoint.pt", 2)])
def test_star_killed_and_started_again_ends_with_the_same_bytes(home, star, tmp_path, file, count):
    again = [sys.executable, str(ROOT / "train_ski_vlm.py"), *flags(home, tmp_path / "run", *STAR)]
    kill_at(again, file, count, folder=tmp_path)
    assert not (tmp_path / "run" / "result.json").exists()
    assert run(again).returncode == 0
    for name in ("model.safetensors", "features/seen_train.npy", "features/unseen_test.npy"):
        assert (tmp_path / "run" / name).read_bytes() == (star / name).read_bytes()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--skeleton_encoder", ""], "give --skeleton_encoder DIR"),
        (["--latent", "7"], "expected a multiple of 2"),
        (["--round_length", "900"], "would never have it"),
        (["--class_texts", "name"], "--method synse takes words"),
        (["--method", "smie", "--published", "relu"], "has rolled_negatives, raw_test to choose"),
        (["--track", "own"], "--method synse has none"),
        (["--track", "own", "--method", "smie", "--num_shortened", "0"], "--num_shortened 0: expected 1 or more"),
        (["--encoder_rate", "-1"], "expected 0, or a multiplier"),
        (["--method", "ridge", "--rounds", "0", "--encoder_rate", "1"], "has a closed form; leave it 0"),
        (["--method", "smie", "--track", "own", "--encoder_rate", "1"], "leave --encoder_rate 0"),
        (["--held_out", "hand waving,pickup"], "is not a seen class"),
        (["--prepared", "nowhere"], "make them with scripts/prepare_ntu.py"),
    ],
)
def test_mistakes_are_told(home, tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        train_ski_vlm.main(flags(home, tmp_path / "run", *more))


def test_an_encoder_that_saw_unseen_classes_is_refused(home, tmp_path):
    shutil.copytree(home / "encoder", tmp_path / "encoder")
    file = tmp_path / "encoder" / SkeletonEncoderCard.FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seen": [*SPLIT.seen, SPLIT.unseen[0]]}))
    with pytest.raises(ValueError, match="pretrained on actions that are unseen"):
        train_ski_vlm.main(flags(home, tmp_path / "run", "--skeleton_encoder", str(tmp_path / "encoder")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": [3]}, "cannot be read"),
        ({"sizes": {"latent": 40}}, "cannot be read"),
        ({"method": "none"}, "unknown method 'none'"),
        ({"published": 3}, "cannot be read"),
        ({"extra": 1}, "cannot be read"),
    ],
)
def test_a_card_of_another_model_is_told(trained, tmp_path, change, message):
    shutil.copytree(trained, tmp_path / "run")
    file = tmp_path / "run" / SkeletonTextCard.FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_recogniser(tmp_path / "run")


@pytest.mark.parametrize(("method", "rounds"), [("msf", "1"), ("smie", "2"), ("ridge", "0")])
def test_every_method_is_trained_and_tested_by_the_same_commands(home, tmp_path, method, rounds):
    length = "1700" if method == "msf" else "0"
    more = ["--method", method, "--rounds", rounds, "--round_length", length]
    train_ski_vlm.main(flags(home, tmp_path / "run", *more))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["choice"]["select"] == ("last" if method == "ridge" else "held_out")
    tested = zero_shot_result(home, tmp_path / "run", tmp_path / "test")
    assert tested["unseen"]["top1"] == pytest.approx(result["unseen_test"]["top1"], abs=1e-4)


def test_smie_s_own_track_learns_from_shortened_clips_and_survives_a_kill(home, tmp_path):
    own = ["--method", "smie", "--track", "own", "--num_shortened", "2", "--rounds", "6", "--round_length", "0"]
    whole = tmp_path / "whole"
    train_ski_vlm.main(flags(home, whole, *own, "--learning_rate", "1e-3", "--select", "last"))
    features = [load_file(file)["features"] for file in sorted((whole / "features").glob("seen_train*"))]
    assert len(features) == 3 and not torch.equal(features[0], features[1])
    assert not torch.equal(features[1], features[2])
    assert json.loads((whole / SkeletonTextCard.FILE).read_text())["sizes"]["num_shortened"] == 2
    tested = zero_shot_result(home, whole, tmp_path / "test")
    result = json.loads((whole / "result.json").read_text())
    assert tested["unseen"]["top1"] == pytest.approx(result["unseen_test"]["top1"], abs=1e-4)

    again = flags(home, tmp_path / "killed", *own, "--learning_rate", "1e-3", "--select", "last")
    again = [sys.executable, str(ROOT / "train_ski_vlm.py"), *again]
    kill_at(again, "checkpoint.pt", 4, folder=tmp_path)
    assert not (tmp_path / "killed" / "result.json").exists()
    assert run(again).returncode == 0
    weights, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


def test_smie_s_own_track_can_hold_classes_out(home, tmp_path):
    own = ["--method", "smie", "--track", "own", "--num_shortened", "1", "--rounds", "1", "--round_length", "0"]
    train_ski_vlm.main(flags(home, tmp_path / "run", *own))
    choice = json.loads((tmp_path / "run" / "result.json").read_text())["choice"]
    assert choice["select"] == "held_out" and len(choice["accuracy_after_round"]) == 1


def test_a_method_brings_its_own_schedule(home):
    _, recipe, args = train_ski_vlm.parse(["--stage", "skeleton_text", "--method", "smie"])
    assert (recipe.rounds, recipe.learning_rate, args.seed) == (100, 1e-5, 0)


def encoder_weights(folder):
    return {k: v for k, v in load_file(folder / "model.safetensors").items() if k.startswith("encoder.")}


@pytest.mark.parametrize("method", ["smie", "star"])
def test_the_encoder_learns_too_where_it_is_asked_to(home, tmp_path, method):
    more = ["--method", method, "--rounds", "3", "--round_length", "0", "--learning_rate", "0.01"]
    train_ski_vlm.main(flags(home, tmp_path / "run", *more, "--encoder_rate", "0.1"))
    start, end = encoder_weights(home / "encoder"), encoder_weights(tmp_path / "run" / "skeleton_encoder")
    assert start.keys() == end.keys()
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert any(name.endswith("weight") for name in changed)
    assert not any("running_" in name for name in changed), "statistics of batch norms are those of pretraining"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    tested = zero_shot_result(home, tmp_path / "run", tmp_path / "test")
    assert tested["unseen"]["top1"] == pytest.approx(result["unseen_test"]["top1"], abs=1e-4)
    assert not (tmp_path / "run" / "features").exists()


def test_killed_while_the_encoder_learns_it_ends_with_the_same_weights(home, tmp_path):
    more = ["--method", "smie", "--rounds", "12", "--round_length", "0", "--encoder_rate", "1", "--select", "last"]
    commands = {
        name: [sys.executable, str(ROOT / "train_ski_vlm.py"), *flags(home, tmp_path / name, *more)]
        for name in ("whole", "killed")
    }
    assert run(commands["whole"]).returncode == 0
    kill_at(commands["killed"], "checkpoint.pt", 2, folder=tmp_path)
    assert run(commands["killed"]).returncode == 0
    for part in ("", "skeleton_encoder"):
        whole, killed = (load_file(tmp_path / name / part / "model.safetensors") for name in commands)
        assert all(torch.equal(whole[name], killed[name]) for name in whole)
