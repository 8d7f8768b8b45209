import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.skeleton_text.class_strings import class_strings
from ski_lvlm.skeleton_text.methods import METHODS

KINDS = sorted({kind for method in METHODS.values() for kind in method.text_kinds})


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_and_spelling_has_as_many_texts(kind):
    data = open_data_set("ntu120")
    strings = class_strings(data, kind)
    names = [*data.class_names, "A23", "feed the cat", "VYPNOUT světlo"]
    counts = {len(strings.of(name)) for name in names}
    assert len(counts) == 1 and all(text for name in names for text in strings.of(name))
    with pytest.raises(ValueError, match="expected at least one word"):
        strings.of(" ")


def test_words_are_the_hand_made_ones_for_ntu_and_follow_a_rule_elsewhere():
    strings = class_strings(open_data_set("ntu60"), "words")
    assert strings.of("Drink water") == ("water", "drink") and strings.of("sneeze/cough")[0] == "#"
    assert strings.of("feed the cat") == ("cat", "feed")


def test_sentences_speak_of_the_class():
    strings = class_strings(open_data_set("ntu60"), "all")
    name, definition, motion = strings.of("drink water")
    assert name == "drink water" and len(definition.split()) > 5 and motion != definition
    assert strings.of("juggle") == ("juggle",) * 3
