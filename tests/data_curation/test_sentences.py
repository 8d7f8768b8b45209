import pytest

from data_curation.captioning.sentences import whole_sentences


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("A man sits down.", "A man sits down."),
        ("A man sits down. He then lif", "A man sits down."),
        ('He says "stop!" He walks', 'He says "stop!"'),
        ("Is he tired? (He sits.) The", "Is he tired? (He sits.)"),
        ("He lifts a cup. It weighs 2.5 k", "He lifts a cup."),
        ("He lifts a cup. Next to him Mr. Smith", "He lifts a cup."),
        ("He takes something, e.g. a", ""),
        ("1. He sits. 2. He", "1. He sits."),
        ("He waits... and wai", ""),
        ("Un homme s'est levé. Il", "Un homme s'est levé."),
        ("file.name and others", ""),
        ("", ""),
    ],
)
def test_text_ends_with_its_last_whole_sentence(text, whole):
    assert whole_sentences(text) == whole


def test_a_long_text_without_an_end_takes_no_time():
    assert whole_sentences("vs. " * 50_000 + "word " * 50_000) == ""
