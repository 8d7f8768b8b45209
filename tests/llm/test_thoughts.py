"""Thoughts of reasoning models are cut from what they write."""

import time

import pytest

from ski_lvlm.llm.thoughts import without_thoughts

ANSWER = "A person drinks."
MARKS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<Thought>", "</Thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]


@pytest.mark.parametrize(("opening", "closing"), MARKS)
@pytest.mark.parametrize("thought", ["", "\n\n", "Is it water?\nIt <b>is</b>, [so] I <say> it."])
def test_a_thought_before_the_answer_is_cut(opening, closing, thought):
    assert without_thoughts(f"{opening}{thought}{closing}\n\n{ANSWER}") == ANSWER


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_thought_that_the_template_opened_is_cut(opening, closing):
    assert without_thoughts(f"Is it water? It is.{closing}{ANSWER}") == ANSWER


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_thought_without_an_end_leaves_what_stands_before_it(opening, closing):
    assert without_thoughts(f"{opening}Is it water?") == ""
    assert without_thoughts(f"{ANSWER}\n{opening}Is it water?") == ANSWER


@pytest.mark.parametrize(
    "text",
    [
        f"<think>one</think><think>two</think>{ANSWER}",
        f"<think>outer <think>inner</think> outer</think>{ANSWER}",
        f"<think>[THINK] is no mark here, <thought> neither</think>{ANSWER}",
        f"<think>a</thinking> b</think>{ANSWER}",
        f"{ANSWER}<think>Was that right?</think>",
        f"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>"
        f"<|start|>assistant<|channel|>final <|constrain|>json<|message|>{ANSWER}",
        f"analysisThe user asks.assistantfinal{ANSWER}",
        f"Here is my thought process:\nIt is water.\nHere is my response:\n{ANSWER}",
    ],
)
def test_several_thoughts_and_thoughts_in_thoughts_are_cut(text):
    assert without_thoughts(text) == ANSWER


@pytest.mark.parametrize(
    "text",
    [" A person thinks. ", "a < b and b > c\n", "analysis of the video", "the answer is assistantfinal", "", "think"],
)
def test_a_text_without_thoughts_stays_as_it_is(text):
    assert without_thoughts(text) == text


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "<think>a</thinking>", "<|channel|>final", "analysis", "[THINK]"]
)
def test_hostile_texts_take_no_time(piece):
    started = time.process_time()
    without_thoughts(piece * 20_000)
    assert time.process_time() - started < 5
