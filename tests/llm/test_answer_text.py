"""Answers as text: ended where the template ends them, without thoughts, whole or word by word."""

import pytest
import torch

from ski_lvlm.llm.answer_text import AnswerStreamer, answer_text, reply_text
from tests.cases.template_case import CHATML, template_tokenizer

ANSWER = "A person drinks water."


@pytest.fixture(scope="module")
def tokenizer():
    return template_tokenizer(CHATML)


def ids_of(text, tokenizer):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


WRITTEN = [
    f"{ANSWER}<|im_end|>\n<|im_start|>user\nThanks.",
    f"<think>\n\n</think>\n\n{ANSWER}<|im_end|>",
    f"[THINK]Is it milk? No.[/THINK]{ANSWER}<|im_end|>",
    f"<|channel|>analysis<|message|>Is it milk?<|start|>assistant<|channel|>final<|message|>{ANSWER}<|im_end|>",
    f"<|channel>thought\nMilk?<channel|>{ANSWER}<|im_end|>",
    f"<s>{ANSWER}<|eot_id|>",
    f"  {ANSWER}\n",
]


@pytest.mark.parametrize("reply", WRITTEN)
def test_the_answer_is_what_stands_between_thoughts_and_end(reply, tokenizer):
    ends = [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert answer_text(ids_of(reply, tokenizer), tokenizer, ends) == ANSWER


def test_a_mark_that_is_no_special_token_ends_an_answer_as_well(tokenizer):
    ends = [tokenizer.convert_tokens_to_ids("</think>")]
    assert answer_text(ids_of(f"{ANSWER}</think> and on", tokenizer), tokenizer, ends) == ANSWER


def test_a_reply_keeps_its_thoughts_apart(tokenizer):
    reply = "<s>[THINK]score: 1?[/THINK]score: 4</s>"
    assert reply_text(ids_of(reply, tokenizer), tokenizer, []) == "[THINK]score: 1?[/THINK]score: 4"


@pytest.mark.parametrize("reply", [*WRITTEN, "Zwei\nZeilen 🙂 und mehr <|im_end|>", "他喝水。<|im_end|>", "<|im_end|>"])
def test_a_streamed_answer_is_the_whole_answer(reply, tokenizer, capsys):
    ends = [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    streamer = AnswerStreamer(tokenizer, ends)
    for _ in range(2):  # one streamer prints one answer after another
        streamer.put(torch.empty(1, 0, dtype=torch.long))
        parts = []
        for k in ids_of(reply, tokenizer):
            streamer.put(torch.tensor([k]))
            parts.append(capsys.readouterr().out)
        streamer.end()
        printed = "".join(parts) + capsys.readouterr().out
        assert printed == answer_text(ids_of(reply, tokenizer), tokenizer, ends) + "\n"
        assert ANSWER not in reply or any(parts), "nothing was printed before the end"


def test_an_answer_begins_anew_when_what_was_printed_was_a_thought(tokenizer, capsys):
    streamer = AnswerStreamer(tokenizer, [])
    streamer.put(torch.empty(1, 0, dtype=torch.long))
    for k in ids_of(f"Is it milk? No.</think>{ANSWER}", tokenizer):
        streamer.put(torch.tensor([k]))
    streamer.end()
    assert capsys.readouterr().out.endswith(f"\n{ANSWER}\n")
