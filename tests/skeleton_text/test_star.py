import math

import numpy as np
import pytest
import torch

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.encoders.clip_maps import mean_map, scrambled_map
from ski_lvlm.skeleton_text.class_strings import class_strings
from ski_lvlm.skeleton_text.method import Sizes, Step
from ski_lvlm.skeleton_text.methods.star import STAR

SIZES = Sizes(skeleton_width=12, text_width=8, num_texts=7, num_classes=3, latent=6, layout="ntu-25")


def method(*published, **changes):
    torch.manual_seed(0)
    return STAR(SIZES._replace(**changes), published=frozenset(published), seed=0)


def maps(clips=6, joints=25):
    return torch.rand(clips, 12, 4, joints, generator=torch.Generator().manual_seed(1))


def texts(classes=3):
    return torch.randn(classes, 7, 8, generator=torch.Generator().manual_seed(2))


def loss_of(star, *, vectors=None, labels=(0, 1, 2, 0, 1, 2), joints=25):
    random = np.random.default_rng(0)
    vectors = texts() if vectors is None else vectors
    return star.loss(maps(joints=joints), torch.tensor(labels), vectors, step=Step(0, 0, 1, 40), random=random)


def test_a_class_is_known_by_its_name_and_the_sentences_of_six_parts():
    strings = class_strings(open_data_set("ntu60"), "parts")
    name, *parts = strings.of("hand waving")
    assert name == "hand waving" and len(parts) == 6
    assert parts[0].startswith("hand waving,Head") and parts[5].startswith(("hand waving,Foot", "hand waving,Feet"))
    assert strings.of("Pickup") == strings.of("pickup") and strings.of("Pickup")[1].startswith("pickup,Head")
    assert strings.of("Fry eggs") == ("Fry eggs", *["Fry eggs,Fry eggs"] * 6)


def test_all_names_of_a_data_set_have_part_sentences():
    data = open_data_set("ntu120")
    table = class_strings(data, "parts").table
    names = {name for action in data.description.classes for name in (action.name, *action.spellings.values())}
    assert all(table[name.casefold()][0].casefold() == name.casefold() for name in names)
    assert all(len(row) == 7 for row in table.values())


@pytest.mark.parametrize("rounds", [30, 40])
def test_the_rate_falls_at_the_published_epochs(rounds):
    rates = [method().rate_multiplier(Step(epoch, 0, 1, rounds)) for epoch in (0, 9, 10, 19, 20, 29)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_another_number_of_epochs_has_its_quarter_and_half():
    rates = [method().rate_multiplier(Step(epoch, 0, 1, 8)) for epoch in range(8)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


def test_the_optimiser_is_the_published_one():
    (group,) = method().optimizer(0.01).param_groups
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.01, 0.9, True, 5e-4)


def test_the_published_map_and_temperature_are_chosen():
    assert method().encoding(frozenset()) is mean_map
    assert method().encoding(frozenset({"scrambled_map"})) is scrambled_map
    assert method().temperature.item() == pytest.approx(0.1) and method("no_temperature").temperature == 1
    assert loss_of(method()) > loss_of(method("no_temperature"))


def test_a_few_steps_lower_the_loss():
    star = method()
    optimizer = star.optimizer(0.01)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = loss_of(star)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_texts_of_unseen_classes_are_read_in_training_if_it_is_transductive():
    star = method("transductive", num_unseen=2)
    loss = loss_of(star, vectors=texts(5))
    loss.backward()
    assert star.network.class_offsets["leg"].grad.abs().sum(1).bool().all()
    assert len(star.network.class_offsets["leg"]) == 5


def test_scores_are_cosines_of_any_number_of_names():
    star = method()
    with torch.no_grad():
        scores = star.scorer(texts(9))(maps())
        names_alone = texts(9)
        names_alone[:, 1:] = math.nan
        assert torch.equal(star.scorer(names_alone)(maps()), scores)
    assert scores.shape == (6, 9) and scores.abs().max() <= 1 + 1e-6


def test_a_layout_without_hands_ignores_their_sentences():
    star = method(layout="coco-17")
    vectors = texts()
    vectors[:, 2] = math.nan
    loss = loss_of(star, vectors=vectors, joints=17)
    assert loss.isfinite() and "hand" not in star.network.parts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_width": 10}, "expected 2 or more, and a width that divides by 4"),
        ({"latent": 1}, "1 queries of width 8"),
        ({"layout": "none"}, "unknown joint layout 'none'"),
    ],
)
def test_sizes_that_do_not_fit_are_told(changes, message):
    with pytest.raises(ValueError, match=message):
        method(**changes)


def test_a_deviation_that_it_has_not_is_told():
    with pytest.raises(ValueError, match="has scrambled_map, no_temperature, transductive to choose"):
        method("relu")
