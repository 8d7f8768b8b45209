import json

import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.description import read_description
from ski_lvlm.skeleton_text.words import Words, look_up, words_by_name, words_of, words_of_name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pick up the bag", ("pick up", "bag")),
        ("jumping", ("jump", "")),
        ("Pour hot tea", ("pour", "tea")),
        ("sitting down", ("sit down", "")),
        ("hand waving", ("wave", "hand")),
        ("swipe left", ("swipe", "")),
        ("put something into a bag", ("put", "something")),
        ("wearing a hat/cap (in a shop)", ("wear", "hat")),
        ("(both hands)", ("both", "hands")),
        ("VYPNOUT světlo", ("vypnout", "světlo")),
    ],
)
def test_a_name_is_split_by_rule(name, words):
    assert words_of_name(name) == words


def test_a_name_without_words_is_told():
    with pytest.raises(ValueError, match="expected at least one word"):
        words_of_name("  ")


def test_all_classes_of_ntu_have_a_verb_and_most_a_noun():
    words = [words_of(action) for action in open_data_set("ntu120").description.classes]
    assert all(entry.verb for entry in words)
    assert sum(not entry.noun for entry in words) == 17


def test_the_rule_agrees_with_most_of_the_hand_made_table():
    classes = open_data_set("ntu120").description.classes
    pairs = [(words_of_name(action.name), words_of(action)) for action in classes]
    verbs, nouns = (sum(rule[part] == table[part] for rule, table in pairs) for part in (0, 1))
    assert verbs >= 70 and nouns >= 60  # of 120. The table has words that no name has


def test_a_name_is_found_under_each_spelling():
    table = words_by_name(open_data_set("ntu60"))
    assert look_up("Pickup", table) == look_up("pick up", table) == Words("pick up", "object")
    assert look_up("water plants", table) == ("water", "plants")


def described(folder, **fields):
    (folder / "dataset.json").write_text(
        json.dumps({"name": "own", "classes": [{"name": "make tea", **fields}, "sit"]})
    )
    return read_description(folder).classes[0]


def test_a_data_set_overrides_the_rule(tmp_path):
    assert words_of(described(tmp_path)) == ("make", "tea")
    assert words_of(described(tmp_path, verb="brew", noun="drink")) == ("brew", "drink")
    assert words_of(described(tmp_path, verb="brew")) == ("brew", "")


@pytest.mark.parametrize("fields", [{"noun": "tea"}, {"verb": 3}, {"verb": "brew", "noun": ["tea"]}])
def test_words_that_are_none_are_told(tmp_path, fields):
    with pytest.raises(ValueError, match="expected texts, no noun without verb"):
        described(tmp_path, **fields)
