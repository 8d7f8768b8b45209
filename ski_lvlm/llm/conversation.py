"""Token ids and loss mask of a conversation, in one walk over its turns.

The text is cut into pieces where training begins or ends and where a modality is spliced in, and each piece is
tokenised once. Inference tokenises the same pieces, so its prompt is that of training.
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
from ski_lvlm.llm.plain_tokenizer import PlainTokenizer
from ski_lvlm.llm.thoughts import without_thoughts

IGNORED = -100  # label of a position that is not trained
_PLACEHOLDER = re.compile("(<video>|<skeleton>)")
PLACEHOLDER_IDS = {"video": -1, "skeleton": -2}  # ids of positions that a projector fills; no new vocabulary
DELIMITER_IDS = {"video": (-3, -4), "skeleton": (-5, -6)}  # start and end token of published models
_SPLICED = {  # id of a position without a word → its name
    **{placeholder: modality for modality, placeholder in PLACEHOLDER_IDS.items()},
    **{start: f"{modality} start" for modality, (start, _) in DELIMITER_IDS.items()},
    **{end: f"{modality} end" for modality, (_, end) in DELIMITER_IDS.items()},
}


class Piece(NamedTuple):
    """A stretch of rendered text that is trained as a whole or not at all.

    `parts` are tokenised one by one. A placeholder is a part by itself, and the template's marks in a conversation's
    texts are cut in two.
    """

    parts: tuple[str, ...]
    trained: bool

    @property
    def text(self) -> str:
        """Return the stretch as one text."""
        return "".join(self.parts)


class Encoded(NamedTuple):
    """One conversation for the LLM."""

    ids: Int[Tensor, " L"]  # PLACEHOLDER_IDS where projected tokens go
    labels: Int[Tensor, " L"]  # IGNORED everywhere but the answers


def render(
    turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase, *, chat_template: str = "auto", day: str = DATE
) -> list[Piece]:
    """Lay the turns out in the LLM's chat template. Only the assistant's answers and their ends are trained.

    A conversation that ends with the user gets the assistant's opening, ready for generation. Every answer follows the
    opening of generation, also where the template writes another one before earlier answers. `chat_template` is "auto"
    (the tokenizer's own if it has one, else Vicuna v1.1) or "vicuna". `day` is the date that the template may write.

    Paper: the template [USER: Q_t Q_v Q_s, Assistant:], Sec. 3.3.
    Raises:
        ChatTemplateError: the tokenizer's template cannot write these turns, or rewrites them as turns are added.
    """
    return lay_out(turns, ChatTemplate(tokenizer, chat_template, day=day))


def lay_out(turns: Sequence[Turn], template: ChatTemplate) -> list[Piece]:
    """Lay the turns out as `render` does, in a template that is at hand already."""
    pieces: list[Piece] = []
    start, ended = 0, 0  # the first turn that is not laid out, and the length of the text before it that is
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
    """Return the indices of the answers, including one that is to be generated."""
    places = [k for k, turn in enumerate(turns) if turn.role == "assistant"]
    return places if turns[-1].role == "assistant" else [*places, len(turns)]


def _parts(texts: Sequence[str], turns: Sequence[Turn], marks: re.Pattern[str]) -> tuple[str, ...]:
    """Join the template's texts and the turns between them, cut where they must be tokenised separately."""
    parts = [texts[0]]
    for turn, after in zip(turns, texts[1:], strict=True):
        first, *later = _turn_parts(turn, marks)
        parts[-1] += first
        parts += later
        parts[-1] += after
    return tuple(part for part in parts if part)


def _turn_parts(turn: Turn, marks: re.Pattern[str]) -> list[str]:
    """Cut a turn's text in the middle of marks, and at the placeholders of a question."""
    texts = stretches(turn.text, _PLACEHOLDER) if turn.role == "assistant" else _PLACEHOLDER.split(turn.text)
    return [part for text in texts for part in ([text] if _PLACEHOLDER.fullmatch(text) else stretches(text, marks))]


def encode(
    turns: Sequence[Turn],
    tokenizer: PreTrainedTokenizerBase,
    *,
    token_counts: Mapping[str, int],
    chat_template: str = "auto",
    delimited: Collection[str] = (),
    day: str = DATE,
) -> Encoded:
    """Return token ids and labels. A placeholder becomes `token_counts[modality]` positions for a projector.

    A placeholder whose modality is not in `token_counts` is dropped with its line break. Modalities in `delimited`
    stand between a position for a start token and one for an end token.
    """
    template = ChatTemplate(tokenizer, chat_template, day=day)
    return encode_pieces(pieces_of(turns, template, token_counts), template, token_counts, delimited)


def pieces_of(turns: Sequence[Turn], template: ChatTemplate, modalities: Collection[str]) -> list[Piece]:
    """Lay out a conversation that has these modalities, without the placeholders of others."""
    absent = [modality for modality in PLACEHOLDER_IDS if modality not in modalities]
    return lay_out([_without_absent(turn, absent) for turn in turns], template)


def encode_pieces(
    pieces: Sequence[Piece], template: ChatTemplate, token_counts: Mapping[str, int], delimited: Collection[str] = ()
) -> Encoded:
    """Return token ids and labels of a laid-out conversation."""
    ids: list[int] = []
    labels: list[int] = []
    for piece in pieces:
        piece_ids = _ids(piece.parts, template.plain, token_counts, delimited)
        ids += piece_ids
        labels += piece_ids if piece.trained else [IGNORED] * len(piece_ids)
    return Encoded(torch.tensor(ids), torch.tensor(labels))


def token_spans(
    pieces: Sequence[Piece], template: ChatTemplate, token_counts: Mapping[str, int]
) -> list[tuple[int, bool]]:
    """Return the number of tokens of each piece of a laid-out conversation, and whether it is trained."""
    return [(len(_ids(piece.parts, template.plain, token_counts)), piece.trained) for piece in pieces]


def _without_absent(turn: Turn, absent: Collection[str]) -> Turn:
    text = turn.text.strip() if turn.role == "assistant" else without_placeholders(turn.text, absent)
    return turn._replace(text=text)


def without_placeholders(text: str, modalities: Collection[str] = tuple(PLACEHOLDER_IDS)) -> str:
    """Return the text without the placeholders of these modalities and their line breaks.

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
    """Return the token ids of a question about a video, between the two texts of the training's `prompt`.

    The video comes after the question, as in training. Placeholders in the question are dropped. A video of no tokens
    takes its line break along, as in training on text alone.
    """
    video = "\n<video>" if token_counts["video"] else ""
    turn = Turn("user", f"{without_placeholders(question)}{video}")
    return torch.tensor(_ids(_parts(prompt, [turn], template.marks), template.plain, token_counts, delimited))


def encode_answer(answer: str, template: ChatTemplate) -> Int[Tensor, " L"]:
    """Return the token ids that are trained for an answer to one question: the answer and its end."""
    frame = template.frame([Turn("user", "")])
    turn = Turn("assistant", answer.strip())
    parts = _parts([frame.lead, template.ending(frame.tail)], [turn], template.marks)
    return torch.tensor(_ids(parts, template.plain))


def _ids(
    parts: Sequence[str],
    plain: PlainTokenizer,
    token_counts: Mapping[str, int] = MappingProxyType({}),
    delimited: Collection[str] = (),
) -> list[int]:
    ids: list[int] = []
    is_continued = False  # the part before is a text that was cut in the middle of a mark
    for part in parts:
        if (modality := part[1:-1]) in token_counts and _PLACEHOLDER.fullmatch(part):
            slots = [PLACEHOLDER_IDS[modality]] * token_counts[modality]
            start, end = DELIMITER_IDS[modality]
            ids += [start, *slots, end] if modality in delimited else slots
            is_continued = False
        else:
            ids += plain.ids(part, is_continued=is_continued)
            is_continued = True
    return ids


def template_ids(template: ChatTemplate) -> list[int]:
    """Return the token ids of the template's own texts around one question and its answer."""
    frame = template.frame([Turn("user", "")])
    return _ids([*frame.texts, frame.lead, template.ending(frame.tail)], template.plain)


def prompt_ids(turns: Sequence[Turn], template: ChatTemplate) -> list[int]:
    """Return the prompt of a language model without projectors: texts alone, which may include system messages.

    Thoughts in earlier answers are cut, as templates of reasoning models do.

    Raises:
        ChatTemplateError: the template cannot write these turns.
    """
    turns = [turn._replace(text=without_thoughts(turn.text)) if turn.role == "assistant" else turn for turn in turns]
    parts = [""]
    for element in template.prompt(turns):
        first, *later = stretches(element.text, template.marks) if isinstance(element, Turn) else [element]
        parts[-1] += first
        parts += later
    return _ids(parts, template.plain)


def marked(encoded: Encoded, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the sample as text, with trained stretches between ⟦ and ⟧ and projected tokens as ⟨video × 65⟩.

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
