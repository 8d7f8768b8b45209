"""A conversation becomes token ids and a loss mask in one walk over its turns.

The text is cut into pieces where training begins or ends and where a modality is spliced in, and each piece is
tokenised once. Inference tokenises the very same pieces, so the prompt a model was trained on is the prompt it is
asked with.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ski_lvlm.datasets.instruction_file import Turn
from ski_lvlm.llm.chat_template import DATE, ChatTemplate, stretches
from ski_lvlm.llm.thoughts import without_thoughts

IGNORED = -100  # label of a position that is not trained
_PLACEHOLDER = re.compile("(<video>|<skeleton>)")
PLACEHOLDER_IDS = {"video": -1, "skeleton": -2}  # ids of positions that a projector fills; no new vocabulary
DELIMITER_IDS = {"video": (-3, -4), "skeleton": (-5, -6)}  # start and end token of published models
_SPLICED = {  # id of a position that no word fills → how it is shown
    **{placeholder: modality for modality, placeholder in PLACEHOLDER_IDS.items()},
    **{start: f"{modality} start" for modality, (start, _) in DELIMITER_IDS.items()},
    **{end: f"{modality} end" for modality, (_, end) in DELIMITER_IDS.items()},
}


class Piece(NamedTuple):
    """A stretch of rendered text that is trained as a whole or not at all.

    `parts` are tokenised one by one. A placeholder is a part of its own, and marks of the template that stand in a
    conversation's own words are cut in two.
    """

    parts: tuple[str, ...]
    trained: bool

    @property
    def text(self) -> str:
        """The stretch as one text."""
        return "".join(self.parts)


class Encoded(NamedTuple):
    """One conversation for the LLM."""

    ids: Int[Tensor, " L"]  # PLACEHOLDER_IDS where projected tokens go
    labels: Int[Tensor, " L"]  # IGNORED everywhere but the answers


def render(
    turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase, *, chat_template: str = "auto", day: str = DATE
) -> list[Piece]:
    """Lay the turns out in the LLM's chat template; only what the assistant says, and its end, is trained.

    A conversation that ends with the user gets the assistant's opening, ready for generation. Every answer follows the
    opening that it is asked with, also where the template writes another one before earlier answers. `chat_template`
    is "auto" (the tokenizer's own if it has one, else Vicuna v1.1) or "vicuna". `day` is the date that the template may
    write.

    Paper: the template [USER: Q_t Q_v Q_s, Assistant:], Sec. 3.3.
    Raises:
        ChatTemplateError: the tokenizer's template cannot write these turns, or rewrites them as turns are added.
    """
    template = ChatTemplate(tokenizer, chat_template, day=day)
    pieces: list[Piece] = []
    start, ended = 0, 0  # the first turn that is not laid out, and how much of the text before it is
    for stop in _answers(turns):
        frame = template.frame(turns[:stop])
        texts = [frame.texts[start][ended:], *frame.texts[start + 1 :]]
        pieces.append(Piece(_parts(texts, turns[start:stop], template.marks), False))
        if stop == len(turns):
            break
        gap = template.frame(turns[: stop + 2]).texts[stop + 1] if stop + 1 < len(turns) else None
        ending = template.ending(frame.tail, gap)
        pieces.append(Piece(_parts([frame.lead, ending], turns[stop : stop + 1], template.marks), True))
        start, ended = stop + 1, len(ending) if gap is not None and gap.startswith(ending) else 0
    return pieces


def _answers(turns: Sequence[Turn]) -> list[int]:
    """Where the answers stand, the one that is to be generated included."""
    places = [k for k, turn in enumerate(turns) if turn.role == "assistant"]
    return places if turns[-1].role == "assistant" else [*places, len(turns)]


def _parts(texts: Sequence[str], turns: Sequence[Turn], marks: re.Pattern[str]) -> tuple[str, ...]:
    """The template's texts with the turns between them, cut where they must be tokenised apart."""
    parts = [texts[0]]
    for turn, after in zip(turns, texts[1:], strict=True):
        first, *rest = _own_parts(turn, marks)
        parts[-1] += first
        parts += rest
        parts[-1] += after
    return tuple(part for part in parts if part)


def _own_parts(turn: Turn, marks: re.Pattern[str]) -> list[str]:
    """What a turn says, cut in the middle of marks, and at the placeholders of a question."""
    cut = stretches(turn.text, _PLACEHOLDER) if turn.role == "assistant" else _PLACEHOLDER.split(turn.text)
    return [part for text in cut for part in ([text] if _PLACEHOLDER.fullmatch(text) else stretches(text, marks))]


def encode(
    turns: Sequence[Turn],
    tokenizer: PreTrainedTokenizerBase,
    *,
    token_counts: Mapping[str, int],
    chat_template: str = "auto",
    delimited: Collection[str] = (),
    day: str = DATE,
) -> Encoded:
    """Token ids and labels together; a placeholder becomes `token_counts[modality]` positions for a projector.

    A placeholder whose modality is not in `token_counts` is left out, with the line break that sets it off. Modalities
    in `delimited` stand between a position for a start token and one for an end token.
    """
    absent = [modality for modality in PLACEHOLDER_IDS if modality not in token_counts]
    turns = [_without_absent(turn, absent) for turn in turns]
    ids: list[int] = []
    labels: list[int] = []
    for piece in render(turns, tokenizer, chat_template=chat_template, day=day):
        piece_ids = _ids(piece.parts, tokenizer, token_counts, delimited)
        ids += piece_ids
        labels += piece_ids if piece.trained else [IGNORED] * len(piece_ids)
    return Encoded(torch.tensor(ids), torch.tensor(labels))


def _without_absent(turn: Turn, absent: Collection[str]) -> Turn:
    text = turn.text.strip() if turn.role == "assistant" else without_placeholders(turn.text, absent)
    return turn._replace(text=text)


def without_placeholders(text: str, modalities: Collection[str] = tuple(PLACEHOLDER_IDS)) -> str:
    """The text without the placeholders of these modalities, each with the line break that sets it off.

    >>> without_placeholders("<video>\\nWhat happens?\\n<skeleton>")
    'What happens?'
    """
    for modality in modalities:
        text = re.sub(rf"\n?<{modality}>", "", text)
    return text.strip()


def encode_question(
    question: str,
    template: ChatTemplate,
    prompt: Sequence[str],
    *,
    token_counts: Mapping[str, int],
    delimited: Collection[str] = (),
) -> Int[Tensor, " L"]:
    """Token ids of a question about a video, between the two texts of the `prompt` that the model was trained with.

    The video comes after the question, as in training; placeholders that a question brings along are left out.
    """
    turn = Turn("user", f"{without_placeholders(question)}\n<video>")
    return torch.tensor(_ids(_parts(prompt, [turn], template.marks), template.tokenizer, token_counts, delimited))


def _ids(
    parts: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    token_counts: Mapping[str, int] = MappingProxyType({}),
    delimited: Collection[str] = (),
) -> list[int]:
    ids: list[int] = []
    is_continued = False  # whether the part before is a text that was cut in the middle of a mark
    for part in parts:
        if (modality := part[1:-1]) in token_counts and _PLACEHOLDER.fullmatch(part):
            slots = [PLACEHOLDER_IDS[modality]] * token_counts[modality]
            start, end = DELIMITER_IDS[modality]
            ids += [start, *slots, end] if modality in delimited else slots
            is_continued = False
        else:
            ids += _text_ids(part, tokenizer, is_continued=is_continued)
            is_continued = True
    return ids


def _text_ids(text: str, tokenizer: PreTrainedTokenizerBase, *, is_continued: bool) -> list[int]:
    """Sentencepiece puts a space before whatever it tokenises; one of our own would make two, and of one word two."""
    if not _adds_space(tokenizer):
        return _plain_ids(text, tokenizer)
    if not is_continued:
        return _plain_ids(text.removeprefix(" "), tokenizer)
    line_break = _plain_ids("\n", tokenizer)
    ids = _plain_ids(f"\n{text}", tokenizer)
    return ids[len(line_break) :] if ids[: len(line_break)] == line_break else _plain_ids(text, tokenizer)


def _plain_ids(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def written_ids(template: ChatTemplate) -> list[int]:
    """Token ids of what the template itself writes around one question and its answer."""
    frame = template.frame([Turn("user", "")])
    return _ids([*frame.texts, frame.lead, template.ending(frame.tail)], template.tokenizer)


def prompt_ids(turns: Sequence[Turn], template: ChatTemplate) -> list[int]:
    """Return what a language model without projectors is asked with: texts alone, system messages among them.

    Thoughts in earlier answers are cut, as templates of reasoning models do.

    Raises:
        ChatTemplateError: the template cannot write these turns.
    """
    turns = [turn._replace(text=without_thoughts(turn.text)) if turn.role == "assistant" else turn for turn in turns]
    parts = [""]
    for written in template.prompt(turns):
        first, *rest = stretches(written.text, template.marks) if isinstance(written, Turn) else [written]
        parts[-1] += first
        parts += rest
    return _ids(parts, template.tokenizer)


def _adds_space(tokenizer: PreTrainedTokenizerBase) -> bool:
    return tokenizer.tokenize("a")[0].startswith("▁")


def marked(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> str:
    """The sample as text, trained stretches between ⟦ and ⟧, runs of projected tokens as ⟨video × 65⟩.

    Start and end tokens are ⟨video start⟩ and ⟨video end⟩.

    Print one before training: a wrong template shows here long before it shows in the loss.
    """
    out, position = "", 0
    while position < len(encoded.ids):
        kind = _kind(encoded, position)
        end = position
        while end < len(encoded.ids) and _kind(encoded, end) == kind:
            end += 1
        out += _decode(encoded.ids[position:end], kind, tokenizer)
        position = end
    return out


def _kind(encoded: Encoded, position: int) -> str:
    if (spliced := _SPLICED.get(int(encoded.ids[position]))) is not None:
        return spliced
    return "text" if encoded.labels[position] == IGNORED else "trained"


def _decode(ids: Int[Tensor, " n"], kind: str, tokenizer: PreTrainedTokenizerBase) -> str:
    if kind in PLACEHOLDER_IDS:
        return f"⟨{kind} × {len(ids)}⟩"
    if kind in _SPLICED.values():
        return f"⟨{kind}⟩"
    text = str(tokenizer.decode(ids))
    return f"⟦{text}⟧" if kind == "trained" else text
