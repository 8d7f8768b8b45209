import numpy as np
import pytest

from ski_lvlm.recognition.gate import TEMPERATURES, Gate, GateScores, Line, choose_gate, fit
from tests.cases.command_case import ROOT
from tests.cases.reference_weights import relative

UNSEEN = [10, 11, 19, 26, 56]  # of the 55/5 split, from 0


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests" / "golden" / "synse_golden.npz", allow_pickle=False) as file:
        return {name.removeprefix("gate_"): file[name] for name in file.files if name.startswith("gate_")}


@pytest.fixture(scope="module")
def rows(golden):
    parts = [
        np.concatenate([golden[f"{name}_{kind}"] for kind in ("unseen", "seen")])
        for name in ("seen_logits", "unseen_probs")
    ]
    return GateScores(*parts), np.arange(len(parts[0])) >= len(golden["seen_logits_unseen"])


@pytest.fixture(scope="module")
def test_scores(golden):
    return GateScores(golden["test_seen_logits"], golden["test_unseen_probs"])


def test_the_full_fit_is_the_published_one(golden, rows, test_scores):
    scores, is_seen = rows
    line = fit(scores.features(size=5, temperature=float(golden["full_temp"])), is_seen)
    assert relative(line.weights, golden["full_weights"]) < 1e-3
    assert line.bias == pytest.approx(float(golden["full_bias"]), abs=1e-3)
    unseen = line.unseen(test_scores.features(size=5, temperature=float(golden["full_temp"])))
    np.testing.assert_allclose(1 - unseen, golden["full_prob_seen_on_test"], atol=1e-3)


def published(golden):
    """The published coefficients are of a form for several classes, which counts each twice."""
    line = Line(2 * golden["coef"][0], 2 * float(golden["intercept"][0]))
    return Gate(line, 5, float(golden["temp"]), float(golden["thresh"]), accuracy=0.0)


def test_the_published_gate_gives_the_published_answers(golden, test_scores):
    gate = published(golden)
    features = test_scores.features(size=5, temperature=gate.temperature)
    np.testing.assert_allclose(features, golden["test_features"], atol=1e-6)
    np.testing.assert_allclose(gate.line.unseen(features), golden["test_prob_unseen"], atol=1e-6)
    is_unseen = gate.is_unseen(test_scores, as_published=True)
    assert is_unseen.tolist() == (golden["test_is_seen"] == 0).tolist()
    seen = np.setdiff1d(np.arange(60), UNSEEN)
    best_seen = seen[golden["test_seen_logits"][:, seen].argmax(1)]
    answers = np.where(is_unseen, np.array(UNSEEN)[golden["test_unseen_probs"].argmax(1)], best_seen)
    assert answers.tolist() == golden["test_pred"].tolist()
    is_right, is_of_unseen = answers == golden["test_label"], np.isin(golden["test_label"], UNSEEN)
    assert is_right[~is_of_unseen].mean() == pytest.approx(float(golden["seen_acc"]))
    assert is_right[is_of_unseen].mean() == pytest.approx(float(golden["unseen_acc"]))


@pytest.mark.parametrize(("threshold", "mended", "as_published"), [(0.5, [1, 1], [1, 1]), (0.7, [0, 1], [1, 1])])
def test_the_published_threshold_is_applied_the_wrong_way_round(threshold, mended, as_published):
    """P(unseen) is 0.6 and 0.8. Above a threshold of 0.7 is the second alone, above 0.3 are both."""
    line = Line(np.array([-np.log(0.6 / 0.4), 0.0]), 0.0)
    two = GateScores(np.zeros((2, 3)), np.array([[1.0, 0.0], [np.log(4) / np.log(1.5), 0.0]]))
    gate = Gate(line, 1, 1.0, threshold, accuracy=0.0)
    assert gate.is_unseen(two).tolist() == [bool(answer) for answer in mended]
    assert gate.is_unseen(two, as_published=True).tolist() == [bool(answer) for answer in as_published]


def test_a_gate_is_chosen_on_rows_set_aside(rows):
    scores, is_seen = rows
    gate, again = (choose_gate(scores, is_seen, size=5) for _ in range(2))
    assert gate.temperature in TEMPERATURES and 0.25 <= gate.threshold <= 0.74
    assert gate.accuracy > 0.55 and gate.threshold == again.threshold
    assert np.mean(gate.is_unseen(scores) != is_seen) > 0.55


def test_a_smaller_number_of_features_fits_other_numbers_of_classes(rows):
    scores, is_seen = rows
    gate = choose_gate(scores, is_seen, size=2)
    fewer = GateScores(scores.seen[:, :4], scores.unseen[:, :2])
    assert gate.is_unseen(fewer).shape == is_seen.shape


def test_too_few_clips_are_told():
    scores = GateScores(np.zeros((6, 3)), np.full((6, 2), 0.5))
    with pytest.raises(ValueError, match="found 2 clips of held-out classes, .*--calibration stacking"):
        choose_gate(scores, np.arange(6) >= 2, size=2)
