"""The chat template of a language model: opening and end of an answer, roles, date and marks.

Training, describing, the terminal and the `hf:` judge write their prompts with it. A template is rendered with a sign
in the place of each text. So no text can change the template's output or be mistaken for it.
"""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.plain_tokenizer import PlainTokenizer

# Assumption: prompts that name the day name this one, the default of Llama 3.1's template, because a prompt is part of
# the model and must not change from day to day.
DATE = "2024-07-26"
_DIRECTIVES = "aAbBcdfGHIjmMpSuUVwWxXyYZz"
# The clock that templates read is a global of transformers, so a macro of that name is put before the template.
_CLOCK = (
    "{% macro strftime_now(format) %}{% set text = namespace(value=format) %}"
    "{% for directive, value in pinned_date.items() %}"
    "{% set text.value = text.value | replace(directive, value) %}"
    "{% endfor %}{{ text.value }}{% endmacro %}\n"
)
_MAX_RENDERINGS = 1000
_SIGN = re.compile("\ue000(\\d+)\ue001")
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
VICUNA = (  # v1.1, for tokenizers without a template of their own
    f"{{{{ bos_token }}}}{VICUNA_SYSTEM}{{% for m in messages %}}{{% if m['role'] == 'user' %}}"
    " USER: {{ m['content'] }} ASSISTANT:{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


class ChatTemplateError(ValueError):
    """A chat template that cannot write these turns. The message has the remedy."""


class Frame(NamedTuple):
    """Texts of a template around turns that end with a question, and around the answer.

    There is one more of `texts` than of the turns. The last one is the opening of the answer. `lead` is white space
    between opening and answer, and `tail` follows the answer.
    """

    texts: list[str]
    lead: str
    tail: str


class ChatTemplate:
    """The chat template of a tokenizer, rendered without thoughts and on a fixed day.

    Args:
        kind: "auto" (the tokenizer's own if it has one, else Vicuna v1.1) or "vicuna".
        day: the day that the prompt names, as in "2024-07-26".

    Raises:
        ChatTemplateError: there are several templates and none is the default.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, kind: str = "auto", *, day: str = DATE) -> None:
        self.tokenizer = tokenizer
        self._source = VICUNA if kind == "vicuna" or not tokenizer.chat_template else _source(tokenizer)
        self._day = date.fromisoformat(day)
        self.marks = marks_of(tokenizer, self._source)
        self.plain = PlainTokenizer(tokenizer)
        self._renderings: dict[tuple[str, ...], str] = {}  # signs stand for texts, so few conversations differ

    def frame(self, turns: Sequence[Turn]) -> Frame:
        """Lay out turns that end with a question, up to the point where the answer begins.

        The opening is the template's own where a rendered answer begins with it. Where the answer begins with more, as
        with an empty thought, that belongs to the opening. Where it begins with less, as without a thought that the
        opening begins, the opening is cut there.

        Raises:
            ChatTemplateError: the template cannot write these turns, or changes earlier ones as an answer is added.
        """
        question = self._in_order(turns, opened=True)
        *earlier, before, tail = self._in_order([*turns, Turn("assistant", "")], opened=False)
        if question[:-1] != earlier:
            raise self._error(
                f"rewrites earlier turns when turn {len(turns) + 1} is added, so the answer cannot be told from the "
                "rest; expected a template that only appends"
            )
        opening = question[-1]
        if not before.startswith(opening) or before[len(opening) :].strip():
            opening = before.rstrip(" ")
        return Frame([*earlier, opening], before[len(opening) :], tail)

    def ending(self, tail: str, gap: str | None = None) -> str:
        """Return the text that ends an answer, a part of the template's `tail` behind the last answer.

        `gap` is the template's text between this answer and a next question, if there is one. Without a mark in `tail`
        the tokenizer's end of text ends the answer, since generation must stop somewhere.
        """
        ending = tail
        if not self.marks.search(tail):
            ending = self.tokenizer.eos_token or tail
        if gap is None or gap.startswith(ending):
            return ending
        return self._leading_mark(gap) or ending

    def end_ids(self, stated: int | Sequence[int] | None = None) -> list[int]:
        """Return the ids at which generation stops.

        Those are the template's marks behind the last answer and before another question, the tokenizer's end of text,
        and those in the model's own settings.
        """
        turns = [Turn("user", ""), Turn("assistant", ""), Turn("user", "")]
        end = self.marks.search(self.frame(turns[:1]).tail)
        try:
            gap = self._in_order(turns, opened=True)[2]
        except ChatTemplateError:  # a template of one question
            gap = ""
        tokens = [end[0] if end else None, self._leading_mark(gap).strip(), self.tokenizer.eos_token]
        ids = [self.tokenizer.get_vocab()[token] for token in tokens if token]
        return sorted({*ids, *([stated] if isinstance(stated, int) else stated or ())})

    def prompt(self, turns: Sequence[Turn]) -> list[str | Turn]:
        """Lay out a conversation up to the opening of an answer, as texts of the template and turns.

        A system message that the template refuses or drops is put before the first question.

        Raises:
            ChatTemplateError: the template cannot write these turns.
        """
        try:
            return self._render(turns, opened=True)
        except ChatTemplateError:
            if len(turns) < 2 or turns[0].role != "system":
                raise
        rules, question, *later = turns
        return self._render([question._replace(text=f"{rules.text}\n\n{question.text}"), *later], opened=True)

    def _leading_mark(self, text: str) -> str:
        mark = self.marks.match(text, len(text) - len(text.lstrip()))
        if not mark:
            return ""
        return text[: len(text) - len(text[mark.end() :].lstrip())]

    def _in_order(self, turns: Sequence[Turn], *, opened: bool) -> list[str]:
        """Return the template's texts before, between and behind the turns."""
        parts = self._render(turns, opened=opened)
        if [part for part in parts if isinstance(part, Turn)] != list(turns):
            raise self._error("writes turns in another order or more than once; expected each turn once, in order")
        return [part for part in parts if isinstance(part, str)]

    def _render(self, turns: Sequence[Turn], *, opened: bool) -> list[str | Turn]:
        """Render turns as the template's own texts, with the turns between them."""
        signs = [_signed(turn.text, k) for k, turn in enumerate(turns)]
        messages = [{"role": turn.role, "content": sign} for turn, sign in zip(turns, signs, strict=True)]
        in_parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
        reasons = []
        for form in (messages, in_parts):  # templates of vision-language models may know the second alone
            try:
                rendered = self._render_messages(form, opened=opened)
            except (TemplateError, TypeError) as error:
                reasons.append(f"refuses {', '.join(turn.role for turn in turns)}: {error}")
                continue
            parts = _SIGN.split(rendered)
            if missing := set(range(len(turns))) - {int(k) for k in parts[1::2]}:
                reasons.append(f"leaves out what the {turns[min(missing)].role} says")
                continue
            return [turns[int(part)] if k % 2 else part for k, part in enumerate(parts)]
        raise self._error(reasons[0])

    def _render_messages(self, messages: list[dict[str, Any]], *, opened: bool) -> str:
        key = (str(opened), *(f"{message['role']}:{message['content']}" for message in messages))
        if key not in self._renderings:
            if len(self._renderings) >= _MAX_RENDERINGS:
                self._renderings.clear()
            self._renderings[key] = self._render_anew(messages, opened=opened)
        return self._renderings[key]

    def _render_anew(self, messages: list[dict[str, Any]], *, opened: bool) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                messages,
                chat_template=_CLOCK + self._source if "strftime_now" in self._source else self._source,
                tokenize=False,
                add_generation_prompt=opened,
                enable_thinking=False,  # Qwen3, SmolLM3, GLM-4.5 and others
                thinking=False,  # Granite, DeepSeek V3.1
                date_string=self._day.strftime("%d %b %Y"),  # Llama 3
                pinned_date={f"%{letter}": self._day.strftime(f"%{letter}") for letter in _DIRECTIVES},
            )
        )

    def _error(self, fault: str) -> ChatTemplateError:
        return ChatTemplateError(
            f"the chat template of {self.tokenizer.name_or_path!r} {fault}; train with --chat_template vicuna, "
            "or take a language model with another template"
        )


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the template's text, among several templates that of the default."""
    templates = tokenizer.chat_template
    if not isinstance(templates, dict):
        return str(templates)
    if len(templates) > 1 and "default" not in templates:
        raise ChatTemplateError(
            f"{tokenizer.name_or_path!r} has the chat templates {sorted(templates)}; expected one of them to be named "
            "'default'; name one so in its tokenizer_config.json, or use --chat_template vicuna"
        )
    return str(templates.get("default", next(iter(templates.values()))))


def _signed(text: str, number: int) -> str:
    """Return a sign for the text within the text's own white space, since many templates strip texts."""
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    return f"{text[:start]}\ue000{number}\ue001{text[max(start, end) :]}"


@lru_cache(maxsize=8)
def marks_of(tokenizer: PreTrainedTokenizerBase, source: str = "") -> re.Pattern[str]:
    """Return a pattern of the tokens that have a meaning for the template or the model.

    Those are the special tokens, tokens added on top of the vocabulary, and added tokens in the template `source`.
    White space is none, although some tokenizers add it.
    """
    added = tokenizer.added_tokens_decoder
    marks = {
        token.content
        for index, token in added.items()
        if token.special or index >= tokenizer.vocab_size or token.content in source
    }
    marks |= set(tokenizer.all_special_tokens)
    marks = {mark for mark in marks if len(mark) > 1 and not mark.isspace()}
    longest_first = sorted(marks, key=lambda mark: (-len(mark), mark))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def stretches(text: str, marks: re.Pattern[str]) -> list[str]:
    """Cut a text behind the first character of every mark in it.

    Tokenised one by one, the stretches hold no mark. A text without marks is one stretch, so its ids do not change.

    >>> stretches("He says </s>.", re.compile("</s>"))
    ['He says <', '/s>.']
    """
    cut, position = [], 0
    while mark := marks.search(text, position):
        cut.append(text[position : mark.start() + 1])
        position = mark.start() + 1
    return [*cut, text[position:]]
