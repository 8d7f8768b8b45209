"""A conversation becomes token ids and a loss mask in one walk over its turns.

The text is cut into pieces where training begins or ends and where a modality is spliced in, and each piece is
tokenised once. Inference tokenises the very same pieces, so the prompt a model was trained on is the prompt it is
asked with.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from ski_lvlm.instruction_file import Turn

IGNORED = -100  # label of a position that is not trained
PLACEHOLDER_IDS = {"video": -1, "skeleton": -2}  # ids of positions that a projector fills; no new vocabulary
DELIMITER_IDS = {"video": (-3, -4), "skeleton": (-5, -6)}  # start and end token of published models
_SPLICED = {  # id of a position that no word fills → how it is shown
    **{placeholder: modality for modality, placeholder in PLACEHOLDER_IDS.items()},
    **{start: f"{modality} start" for modality, (start, _) in DELIMITER_IDS.items()},
    **{end: f"{modality} end" for modality, (_, end) in DELIMITER_IDS.items()},
}
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


class Piece(NamedTuple):
    """A stretch of rendered text that is trained as a whole or not at all."""

    text: str
    trained: bool


class Encoded(NamedTuple):
    """One conversation for the LLM."""

    ids: Int[Tensor, " L"]  # PLACEHOLDER_IDS where projected tokens go
    labels: Int[Tensor, " L"]  # IGNORED everywhere but the answers


def render(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase, *, chat_template: str = "auto") -> list[Piece]:
    """Lay the turns out in the LLM's chat template; only what the assistant says, and its end, is trained.

    A conversation that ends with the user gets the assistant's opening, ready for generation. `chat_template` is
    "auto" (the tokenizer's own if it has one, else Vicuna v1.1) or "vicuna".

    Paper: the template [USER: Q_t Q_v Q_s, Assistant:], Sec. 3.3.
    Raises:
        ValueError: the tokenizer's template is not a sequence of turns (earlier text changes as turns are added).
    """
    if chat_template == "vicuna" or tokenizer.chat_template is None:
        return _vicuna(turns, tokenizer)
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    pieces, done = [], ""
    for k, turn in enumerate(turns):
        asking = turn.role == "user"
        whole = str(tokenizer.apply_chat_template(messages[: k + 1], tokenize=False, add_generation_prompt=asking))
        if not whole.startswith(done):
            raise ValueError(
                f"the chat template of {tokenizer.name_or_path!r} rewrites earlier turns when turn {k + 1} is added, "
                "so the answers cannot be told from the rest; expected a template that only appends; "
                "use --chat_template vicuna or one turn a conversation"
            )
        pieces.append(Piece(whole[len(done) :], turn.role == "assistant"))
        done = whole
    return pieces


def _vicuna(turns: Sequence[Turn], tokenizer: PreTrainedTokenizerBase) -> list[Piece]:
    pieces = [Piece(f"{tokenizer.bos_token or ''}{VICUNA_SYSTEM}", False)]
    for turn in turns:
        if turn.role == "user":
            pieces.append(Piece(f" USER: {turn.text} ASSISTANT:", False))
        else:
            pieces.append(Piece(f" {turn.text}{tokenizer.eos_token or ''}", True))
    return pieces


def encode(
    turns: Sequence[Turn],
    tokenizer: PreTrainedTokenizerBase,
    *,
    token_counts: Mapping[str, int],
    chat_template: str = "auto",
    delimited: Collection[str] = (),
) -> Encoded:
    """Token ids and labels together; a placeholder becomes `token_counts[modality]` positions for a projector.

    A placeholder whose modality is not in `token_counts` is left out, with the line break that sets it off. Modalities
    in `delimited` stand between a position for a start token and one for an end token.
    """
    absent = [modality for modality in PLACEHOLDER_IDS if modality not in token_counts]
    turns = [turn._replace(text=without_placeholders(turn.text, absent)) for turn in turns]
    ids: list[int] = []
    labels: list[int] = []
    for piece in render(turns, tokenizer, chat_template=chat_template):
        piece_ids = _piece_ids(piece.text, tokenizer, token_counts, delimited)
        ids += piece_ids
        labels += piece_ids if piece.trained else [IGNORED] * len(piece_ids)
    return Encoded(torch.tensor(ids), torch.tensor(labels))


def without_placeholders(text: str, modalities: Collection[str] = tuple(PLACEHOLDER_IDS)) -> str:
    """The text without the placeholders of these modalities, each with the line break that sets it off.

    >>> without_placeholders("<video>\\nWhat happens?\\n<skeleton>")
    'What happens?'
    """
    for modality in modalities:
        text = re.sub(rf"\n?<{modality}>", "", text)
    return text.strip()


def _piece_ids(
    text: str, tokenizer: PreTrainedTokenizerBase, token_counts: Mapping[str, int], delimited: Collection[str]
) -> list[int]:
    ids: list[int] = []
    for part in re.split("(<video>|<skeleton>)", text):
        if part in ("<video>", "<skeleton>"):
            modality = part[1:-1]
            slots = [PLACEHOLDER_IDS[modality]] * token_counts[modality]
            start, end = DELIMITER_IDS[modality]
            ids += [start, *slots, end] if modality in delimited else slots
        elif part:
            ids += tokenizer(_spaced(part, tokenizer), add_special_tokens=False)["input_ids"]
    return ids


def _spaced(text: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """Sentencepiece puts a space before whatever it tokenises; one of our own would make two."""
    return text.removeprefix(" ") if _adds_space(tokenizer) else text


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
