"""Stage 3 on tiny students: what learns, what a folder then holds, and what is refused before anything is trained."""

import dataclasses
import math

import pytest
import torch

from ski_lvlm.dual_encoders.checkpoints import load_student
from ski_lvlm.dual_encoders.language import DualEncoder
from ski_lvlm.dual_encoders.vificlip import ViFiCLIP
from ski_lvlm.recipe import VideoFinetuneRecipe
from ski_lvlm.videos.frame_cache import FrameCache
from ski_lvlm.vlm.video_finetune import video_finetune
from tests.cases.recognition_case import ntu_videos
from tests.cases.skeleton_case import SPLIT
from tests.cases.student_case import changed, left_alone_by_mathematics, starting_with, trainer, weights, write_case

pytestmark = pytest.mark.slow

TEXT, ANCHORS = "student.text_encoder.", ["student.anchor.frames.", "student.anchor.text_encoder."]
MESSAGES = (".message_", ".mit.", ".prompts_")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp("students"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "freeze", "frozen"),
    [
        ("vificlip", "auto", []),
        ("xclip", "auto", [TEXT]),
        ("xclip", "none", []),
        ("froster", "auto", ANCHORS),
        ("vificlip", "text", [TEXT]),
        ("froster", "video", [*ANCHORS, "student.frames."]),
    ],
)
def test_training_changes_what_learns_and_not_one_bit_else(case, tmp_path, kind, freeze, frozen):
    stage = video_finetune(case.finetune(student=kind, freeze=freeze), seed=0)
    before = weights(stage.loss)
    trainer(stage, tmp_path / "run").train()
    constant, unchanged = starting_with(frozen, stage.loss), set(before) - changed(before, stage.loss)
    assert constant <= unchanged <= constant | left_alone_by_mathematics(stage.loss)
    after = weights(stage.loss.student)
    stage.save(tmp_path / "saved")
    loaded, card = load_student(tmp_path / "saved")
    assert not changed(after, loaded)
    assert (card.stage, card.student, card.seen) == ("video_finetune", kind, SPLIT.seen)
    omitted = {name for name in ("text_encoder", "frames") if f"student.{name}." in frozen}
    assert set(card.frozen) == omitted, "a folder names what it does not hold"


@pytest.mark.parametrize("kind", ["vificlip", "xclip"])
def test_double_precision_tells_what_mathematics_leaves_alone_from_small_gradients(case, kind):
    """The second block's messages have gradients of 1e-8. Those that are 0 in mathematics come out below 1e-15."""
    stage = video_finetune(case.finetune(student=kind, freeze="none"), seed=0)
    batch = stage.collate([stage.train[k] for k in range(4)])
    torch.set_default_dtype(torch.float64)
    try:
        stage.loss.double().train()(**batch)["loss"].backward()
    finally:
        torch.set_default_dtype(torch.float32)
    largest = {name: p.grad.abs().max().item() for name, p in stage.loss.named_parameters()}
    zero = left_alone_by_mathematics(stage.loss)
    assert zero and max(largest[name] for name in zero) < 1e-15
    assert min(largest[name] for name in largest.keys() - zero) > 1e-11


@pytest.mark.parametrize(("kind", "fresh"), [("vificlip", ()), ("xclip", MESSAGES), ("froster", ("_residual.",))])
def test_weights_that_no_model_gave_learn_ten_times_faster(case, tmp_path, kind, fresh):
    stage = video_finetune(case.finetune(student=kind), seed=0)
    optimizer = trainer(stage, tmp_path).create_optimizer()
    names = {id(p): name for name, p in stage.loss.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    fast = {name for name in rates if any(part in name for part in fresh)}
    assert {name for name, rate in rates.items() if rate == pytest.approx(0.1)} == fast
    assert {rates[name] for name in rates.keys() - fast} == {0.01} and bool(fast) == bool(fresh)


@pytest.mark.slow
def test_a_batch_of_four_is_the_same_whole_or_one_by_one(case, tmp_path):
    trained = {}
    for per_device in (4, 1):
        stage = video_finetune(case.finetune(), seed=0)
        short = {"batch_size": 4, "per_device_train_batch_size": per_device, "max_steps": 6, "learning_rate": 0.1}
        run = trainer(stage, tmp_path, optim="sgd", **short)
        before = weights(stage.loss)
        run.train()
        trained[per_device] = weights(stage.loss)
        assert run.state.global_step == 6
    change = max((trained[4][name] - before[name]).abs().max() for name in before)
    difference = max((trained[4][name] - trained[1][name]).abs().max() for name in before)
    assert difference < 1e-5 < 1e-3 < change


@property
def temperature_clamped_on_read(model):
    """The temperature of a model whose weight is clamped whenever it is read."""
    with torch.no_grad():
        model.log_scale.clamp_(max=math.log(100.0))
    return DualEncoder.temperature.fget(model)


@pytest.mark.slow
def test_a_temperature_clamped_after_each_step_trains_as_one_clamped_when_read(case, tmp_path, monkeypatch):
    trained = []
    for clamp in ("after the step", "on read"):
        if clamp == "on read":
            monkeypatch.setattr("ski_lvlm.vlm.trainer.clamp_temperatures", lambda _: None)
            monkeypatch.setattr(ViFiCLIP, "temperature", temperature_clamped_on_read)
        stage = video_finetune(case.finetune(), seed=0)
        log_scale = stage.loss.student.log_scale
        log_scale.data.fill_(math.log(100.0) - 0.005)  # a step is 0.01
        log_scale.register_hook(lambda gradient: -gradient.abs())  # towards the bound and beyond
        trainer(stage, tmp_path, max_steps=6).train()
        _ = stage.loss.student.temperature
        trained.append(weights(stage.loss))
    assert all(trained[0][name].equal(trained[1][name]) for name in trained[0])
    assert trained[0]["student.log_scale"].item() == pytest.approx(math.log(100.0))


@pytest.mark.slow
def test_frames_come_from_the_cache_if_one_is_named(case, tmp_path):
    decoded = video_finetune(case.finetune(), seed=0).train
    cache = FrameCache.create(tmp_path, num_frames=2, side=8, framing="whole")
    for k, name in enumerate(decoded.names):
        cache.write(name, torch.full((2, 3, 8, 8), k, dtype=torch.uint8))
    cached = video_finetune(case.finetune(augment=False, ntu="", frames_cache=str(tmp_path)), seed=0).train
    assert cached.names == decoded.names
    assert [cached[k]["video"].unique().tolist() for k in (0, 5)] == [[0], [5]]


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Return a folder of caches without the frames that anybody needs."""
    folder = tmp_path_factory.mktemp("caches")
    FrameCache.create(folder / "centre", num_frames=2, side=8, framing="centre")
    FrameCache.create(folder / "empty", num_frames=2, side=8, framing="whole")
    small = FrameCache.create(folder / "small", num_frames=2, side=4, framing="whole")
    small.write("S001C001P001R001A001", torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    ntu_videos(folder / "test_only", actions=(1, 6), performers=(9,))
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ntu": ""}, "give --ntu DIR, the folder with rgb/, --frames_cache DIR"),
        ({"ntu": "{}/empty"}, "no videos .* check the folder"),
        ({"ntu": "{}/test_only"}, "none of the 2 videos shows a seen action of synthetic that synthetic trains on"),
        ({"split": "ntu60/50-10"}, "unknown split 'ntu60/50-10' of ntu60; expected one of"),
        ({"frames_cache": "{}/centre"}, "holds frames framed 'centre', asked were 'whole'; pass --framing centre"),
        ({"frames_cache": "{}/small"}, "found frames of 4 px, expected at least the 8 that the model takes"),
        ({"frames_cache": "{}/empty"}, "none of the 0 videos"),
        ({"frames_cache": "{}/nowhere"}, "no frame cache"),
        ({"student": "xclip", "side": 16}, "takes frames of 8 pixels, asked were 16"),
        ({"student": "xclip", "freeze": "video"}, "weights that were never pretrained"),
        ({"prompt": "a photo"}, "has no {name} in it"),
        ({"names": "mine"}, "mine"),
        ({"backbone": "efficientnet-lite0"}, "give --text_encoder, for example minilm"),
    ],
)
def test_mistakes_are_told(case, caches, change, message):
    settings = {
        name: value.format(caches) if name in ("ntu", "frames_cache") else value for name, value in change.items()
    }
    with pytest.raises(ValueError, match=message):
        video_finetune(case.finetune(**settings), seed=0)


def test_the_papers_student_is_the_default():
    recipe = dataclasses.asdict(VideoFinetuneRecipe())
    assert (recipe["student"], recipe["backbone"]) == ("vificlip", "openai/clip-vit-base-patch16")
    assert (recipe["num_frames"], recipe["side"], recipe["framing"]) == (16, 0, "centre")
