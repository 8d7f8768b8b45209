"""The prompt of a multiple-choice question: the question, its lettered options, and the request for a letter."""

import re
from pathlib import Path

from eval.choosing.items import LETTERS, ChoiceItem, Order
from ski_lvlm.storage.text_files import read_text

# Assumption: these words are ours. LLAVIDAL asks in its own, which `--prompt` takes.
PROMPT = "{question}\n{options}\nAnswer with the letter of the right option alone."
_FIELD = re.compile(r"\{(question|options|options_inline)\}")


def read_prompt(path: Path | None) -> str:
    """Read a prompt with {question} and {options}, one a line, or {options_inline}. Without a file, it is ours.

    A prompt with the question alone shows no options. Then only the likelihoods of options mean anything.

    Raises:
        ValueError: no such file, or a prompt without the question or the options.
    """
    if path is None:
        return PROMPT
    text = read_text(path).strip()
    fields = _FIELD.findall(text)
    if sorted(fields) not in (["question"], ["options", "question"], ["options_inline", "question"]):
        raise ValueError(
            f"--prompt {path}: found {fields or 'no field'}, expected {{question}} once, and {{options}} or "
            "{options_inline} at most once"
        )
    return text


def prompt_text(template: str, item: ChoiceItem, order: Order) -> str:
    """Return the prompt with the options in this order, lettered from A.

    >>> prompt_text("{question} {options_inline}", ChoiceItem("v", "Which?", ("sit", "walk"), 0), (1, 0))
    'Which? (A) walk (B) sit'
    """
    lines = [f"({letter}) {item.options[option]}" for letter, option in zip(LETTERS, order)]
    texts = {"question": item.question, "options": "\n".join(lines), "options_inline": " ".join(lines)}
    return _FIELD.sub(lambda field: texts[field[1]], template)
