import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ski_lvlm.skeleton_text.method import Sizes, Step
from ski_lvlm.skeleton_text.methods.pair_scorer import (
    PairScorer,
    information,
    margin_loss,
    next_ones,
    normalised,
    other_classes,
    rate_at,
)
from ski_lvlm.skeleton_text.methods.smie import SMIE
from tests.cases.reference_weights import reference, relative

pytestmark = pytest.mark.slow

LAYERS = {"l0": "layers.0", "l1": "layers.2", "l2": "layers.4"}


def published_scorer(weights):
    scorer = PairScorer(256, 768)
    names = [name for name in weights if name.startswith("global_D.")]
    parts = {name: name.removeprefix("global_D.").split(".") for name in names}
    scorer.load_state_dict({f"{LAYERS[layer]}.{leaf}": weights[name] for name, (layer, leaf) in parts.items()})
    return scorer


@pytest.fixture
def golden():
    arrays, weights = reference("smie")
    texts = F.normalize(arrays["language"], dim=-1)
    return published_scorer(weights), arrays, texts


def bounds(golden):
    scorer, arrays, texts = golden
    whole, part, text = normalised(arrays["visual"]), normalised(arrays["visual_masked"]), texts[arrays["label"]]
    skeletons, texts_of = next_ones(arrays["label"])
    negatives = whole[skeletons], text[texts_of]
    return information(scorer, whole, text, *negatives), information(scorer, part, text, *negatives)


def test_scores_and_bounds_are_the_published_ones(golden):
    scorer, arrays, texts = golden
    whole, text = normalised(arrays["visual"]), texts[arrays["label"]]
    assert relative(whole, arrays["layer_norm"]) < 1e-5
    with torch.no_grad():
        assert relative(scorer(whole, text), arrays["score_positive"]) < 1e-5
        assert relative(scorer(whole[next_ones(arrays["label"])[0]], text), arrays["score_negative"]) < 1e-5
        full, masked = bounds(golden)
    assert relative(full, arrays["dim_full"]) < 1e-5 and relative(masked, arrays["dim_masked"]) < 1e-5
    assert relative(margin_loss(full, masked), arrays["loss_main"]) < 1e-5
    assert relative(-full, arrays["loss_sota"]) < 1e-5


def method_of(golden, **changes):
    sizes = Sizes(**{"skeleton_width": 256, "text_width": 768, "num_texts": 1, "num_classes": 20, **changes})
    method = SMIE(sizes, published=frozenset({"rolled_negatives"}), seed=0)
    method.network.load_state_dict(golden[0].state_dict())
    return method


def loss_of(method, golden, features):
    random = np.random.default_rng(0)
    step = Step(0, 0, 1, 1)
    return method.loss(features, golden[1]["label"], golden[2][:, None], step=step, random=random)


@pytest.mark.parametrize("track", ["sota", "main"])
def test_the_loss_of_each_track_and_five_steps_are_the_published_ones(golden, track):
    arrays = golden[1]
    versions = [arrays["visual"], arrays["visual_masked"], arrays["visual_masked"]]
    features = arrays["visual"] if track == "sota" else torch.stack(versions, -1)
    method = method_of(golden, num_shortened=0 if track == "sota" else 2)
    optimizer, losses = method.optimizer(1e-5), []
    for _ in range(5):
        loss = loss_of(method, golden, features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(float(arrays[f"loss_{track}"]), rel=1e-5)
    assert relative(losses, arrays[f"adam_losses_{track}"]) < 1e-5


def test_each_step_draws_one_of_the_shortened_versions(golden):
    method, arrays = method_of(golden, num_shortened=3), golden[1]
    other = arrays["visual"].flip(-1)
    features = torch.stack([arrays["visual"], arrays["visual_masked"], other, other * 2 + 1], -1)
    step, texts = Step(0, 0, 1, 1), golden[2][:, None]
    losses = [
        method.loss(features, arrays["label"], texts, step=step, random=np.random.default_rng(seed)).item()
        for seed in (0, 0, 1, 2, 3)
    ]
    assert losses[0] == losses[1] and len(set(losses)) > 2
    with torch.no_grad():
        assert torch.equal(method.scorer(texts)(features), method.scorer(texts)(arrays["visual"]))


@pytest.mark.parametrize(("way", "prediction"), [("raw", "published"), ("normalised", "normalised")])
def test_tests_with_and_without_normalisation_are_the_published_ones(golden, way, prediction):
    scorer, arrays, texts = golden
    sizes = Sizes(skeleton_width=256, text_width=768, num_texts=1, num_classes=20)
    method = SMIE(sizes, published=frozenset({"raw_test"} if way == "raw" else ()), seed=0)
    method.network.load_state_dict(scorer.state_dict())
    with torch.no_grad():
        scores = method.scorer(texts[arrays["unseen"], None])(arrays["visual"])
    assert relative(scores, F.logsigmoid(arrays[f"test_scores_{way}"])) < 1e-5
    assert torch.equal(arrays["unseen"][scores.argmax(-1)], arrays[f"pred_{prediction}"])


def test_negatives_are_of_another_class_where_there_is_one():
    labels = torch.tensor([0, 0, 1, 2, 0, 1])
    for seed in range(20):
        skeletons, texts = other_classes(labels, np.random.default_rng(seed))
        assert texts.tolist() == [0, 1, 2, 3, 4, 5] and (labels[skeletons] != labels[texts]).all()
    assert len(other_classes(torch.zeros(4, dtype=torch.int64), np.random.default_rng(0))[0]) == 0
    assert (labels[next_ones(labels)[0]] == labels).any(), "the published ones are of the same class now and then"


def test_without_negatives_the_bound_is_that_of_the_positives(golden):
    scorer, arrays, texts = golden
    whole, text = normalised(arrays["visual"]), texts[arrays["label"]]
    assert information(scorer, whole, text, whole[:0], text[:0]) == F.logsigmoid(scorer(whole, text)).mean()


def test_the_rate_is_the_published_one():
    arrays, _ = reference("smie")
    rates = [rate_at(epoch, rate=1e-5) for epoch in arrays["lr_epochs"].tolist()]
    assert relative(rates, arrays["lr_values"]) < 1e-6


def test_the_size_is_the_published_one():
    assert sum(p.numel() for p in PairScorer(256, 768).parameters()) == 1_574_913
