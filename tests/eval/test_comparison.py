import argparse
from dataclasses import replace

import pytest
import torch

from eval.recognition.comparison import Comparison
from eval.recognition.generalised import groups_of_classes
from ski_lvlm.dual_encoders.language import DualEncoder, InLanguage
from ski_lvlm.recognition.recogniser import Recogniser
from tests.cases.skeleton_case import SELECTION, SPLIT

CLIPS = ["clip0", "clip1", "clip2"]


class Lengths(DualEncoder):
    """Scores a class by the length of its sentence."""

    temperature = torch.tensor(0.5)

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, prompts):
        self.calls.append(len(prompts))
        return InLanguage(x, x + torch.tensor([float(len(prompt)) for prompt in prompts]))


class Shares(Lengths):
    """Scores a class by the share of its sentence in all letters: a score that depends on the classes beside it."""

    def forward(self, x, names):
        self.calls.append(len(names))
        lengths = torch.tensor([float(len(name)) for name in names])
        return InLanguage(x, x + lengths / lengths.sum())


def number_of(name):
    return torch.tensor([float(name.removeprefix("clip"))])


def comparison(folder, *models):
    args = argparse.Namespace(
        names=None,
        prompt=None,
        descriptions=None,
        out=folder,
        device="cpu",
        batch_size=4,
        workers=0,
        shard=None,
        gpus=None,
    )
    recognisers = [
        Recogniser(modality, model, "weights", CLIPS, number_of, "here", "{name}", "canonical", SPLIT.seen)
        for modality, model in zip(("skeleton", "video"), models, strict=False)
    ]
    recognisers = [replace(r, scores_depend_on_classes=isinstance(r.model, Shares)) for r in recognisers]
    return Comparison(args, SELECTION, recognisers, clips=CLIPS, classes=SELECTION.data.class_names)


def groups(of):
    return groups_of_classes(of, calibration="gate", is_test=True)


def test_independent_scores_are_computed_once(tmp_path):
    model = Lengths()
    scores = comparison(tmp_path, model)
    for group in groups(scores):
        expected = torch.arange(3.0)[:, None] + torch.tensor([float(len(name)) for name in group])
        torch.testing.assert_close(scores.among(group), expected)
        torch.testing.assert_close(scores.logits_among(group), expected / 0.5)
    assert model.calls == [16]


def test_scores_that_depend_on_each_other_are_computed_for_each_group(tmp_path):
    model = Shares()
    scores = comparison(tmp_path, model)
    for group in groups(scores):
        lengths = torch.tensor([float(len(name)) for name in group])
        torch.testing.assert_close(scores.among(group), torch.arange(3.0)[:, None] + lengths / lengths.sum())
    assert sorted(model.calls) == [4, 12, 16]
    again = Shares()
    comparison(tmp_path, again).among(SPLIT.unseen)
    assert again.calls == [], "a finished comparison is read from the folder"


def test_logits_of_two_models_have_each_its_own_temperature(tmp_path):
    one, other = Lengths(), Lengths()
    other.temperature = torch.tensor(0.25)
    scores = comparison(tmp_path, one, other)
    expected = scores.among(SPLIT.unseen) * (1 / 0.5 + 1 / 0.25) / 2
    torch.testing.assert_close(scores.logits_among(SPLIT.unseen), expected)


@pytest.mark.parametrize(
    ("calibration", "is_test", "sizes"),
    [
        ("none", True, [4, 16]),
        ("stacking", True, [4, 16]),
        ("gate", True, [4, 16, 12]),
        ("published_gate", False, [12, 4]),
    ],
)
def test_a_calibration_needs_no_more_groups_than_it_looks_at(tmp_path, calibration, is_test, sizes):
    scores = comparison(tmp_path, Lengths())
    assert [len(group) for group in groups_of_classes(scores, calibration=calibration, is_test=is_test)] == sizes
