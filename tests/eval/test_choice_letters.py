"""Which option an answer names. A doubtful answer names none."""

import pytest

from eval.choosing.letter import letter_of

OPTIONS = ["sit down", "sit down on a chair", "walk", "read a book"]

CLEAR = {
    "B": 1, "b": 1, "(B)": 1, "B.": 1, "**B**": 1, "[[C]]": 2, "\\boxed{D}": 3, "<answer>A</answer>": 0, "Ｂ": 1,
    "Option C": 2, "Answer: D": 3, "answer: (d)": 3, " (A)\n": 0, "A</s>": 0, '"C"': 2,
    "B) sit down on a chair": 1, "(A) sit down": 0, "C. walk": 2, "D: read a book": 3, "A\nHe sits.": 0,
    "A) He sits.": 0, "**C** – he walks": 2,
    "The answer is C.": 2, "The correct option is (D).": 3, "the right answer would be **B**": 1,
    "I think the best choice is option D because he reads.": 3, '{"answer": "C"}': 2,
    "He moves through the room, so (C) fits.": 2, "(A) is wrong. The answer is (B).": 1,
    "<think>A? No, B.</think>C": 2, "A is not right. The answer is D.": 3,
    "sit down": 0, "Walk.": 2, "Sit down on a chair": 1, "The person is seen to sit down on a chair": 1,
    "The person will read a book.": 3, "Read_a_book": 3, "The answer is walk": None, "The answer is (C) walk": 2,
}  # fmt: skip
DOUBTFUL = [
    "", "   ", "E", "(Z)", "The answer is E.", "A or B", "(A) or (C)", "Answer: A. Answer: B.", "A person walks in.",
    "A man is reading.", "I do not know.", "not (A)", "(A) is wrong", "The answer is not B.", "It isn't (C).",
    "(A) walk", "C. read a book", "He could sit down or read a book.", "The person does not read a book.",
    "He walks and reads.", "answer", "The answer is a person who walks", "ABCD", "A B", "1", "<think>B",
    "B" * 30_000, "\ud800", "All of (A), (B)", "Both A and B",
]  # fmt: skip


@pytest.mark.parametrize("reply", CLEAR)
def test_a_clear_answer_names_its_option(reply):
    assert letter_of(reply, OPTIONS) == CLEAR[reply]


@pytest.mark.parametrize("reply", DOUBTFUL, ids=range(len(DOUBTFUL)))
def test_a_doubtful_answer_names_none(reply):
    assert letter_of(reply, OPTIONS) is None


def test_options_of_the_same_text_do_not_make_an_answer_doubtful():
    assert letter_of("The answer is B.", ["walk", "Walk", "sit"]) == 1
    assert letter_of("walk", ["sit", "Walk", "walk"]) == 1


def test_a_hostile_answer_is_read_at_once():
    for piece in ("(A", "answer is ", "**", "\\boxed{", "A. ", "<think>"):
        assert letter_of(piece * (19_000 // len(piece)), OPTIONS) in (None, 0)
