"""Estimates of the remaining requests, tokens and dollars of a step, from text lengths, then from real replies."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from data_curation.asking.asker import Asker
from data_curation.asking.prices import image_tokens, text_tokens
from data_curation.captioning.captioner import MAX_TOKENS
from data_curation.ledger import Record
from data_curation.prompts import CAPTION_PROMPT, Kind
from data_curation.questions.make_qa import CaptionedClip, plan, question_messages, reply_tokens

SAMPLE = 20  # clips that are processed first, to base the estimate on real replies
_PAIR_TOKENS = 45  # of a question and its answer as JSON, as GPT-3.5 and SmolLM2 write them
_MAX_TEXTS = 400  # of which the length is measured
_TOKENS = ("prompt_tokens", "completion_tokens")


class Estimate(NamedTuple):
    """An estimate and its `basis`. `dollars` is None where the price is unknown."""

    step: str
    model: str
    clips: int
    requests: float
    prompt_tokens: float
    completion_tokens: float
    dollars: float | None
    basis: str

    def __str__(self) -> str:
        money = "price unknown" if self.dollars is None else f"about ${self.dollars:.2f}"
        return (
            f"{self.step} by {self.model}: {self.clips} clips, about {self.requests:.0f} requests, "
            f"{self.prompt_tokens:.0f} tokens in and {self.completion_tokens:.0f} out, {money} ({self.basis})"
        )


def estimate_captions(asker: Asker, clips: int, *, pictures: int) -> Estimate:
    """Estimate captioning so many clips from some pictures each."""
    tokens = text_tokens(CAPTION_PROMPT) + image_tokens(asker.model) * pictures
    basis = f"{pictures} {'picture' if pictures == 1 else 'pictures'} each and the longest caption allowed"
    return _estimate(asker, clips, (1.0, float(tokens), float(MAX_TOKENS)), basis, longest={MAX_TOKENS})


def estimate_pairs(
    asker: Asker,
    names: Sequence[str],
    *,
    clip: Callable[[str], CaptionedClip],
    shares: Mapping[str, int],
    kinds: Sequence[Kind],
) -> Estimate:
    """Estimate writing the pairs of these clips. `clip` is called for some of them."""
    texts = [
        sum(text_tokens(message.text) for message in question_messages(clip(name), planned))
        for name in names[:: max(1, len(names) // _MAX_TEXTS)]
        if (planned := plan(name, count=shares[name], kinds=kinds))
    ]
    pairs = sum(shares[name] for name in names) / max(1, len(names))
    guess = (1.0, sum(texts) / max(1, len(texts)), _PAIR_TOKENS * pairs)
    basis = f"the lengths of {len(texts)} requests, each answered at once"
    return _estimate(asker, len(names), guess, basis, longest={reply_tokens(shares[name]) for name in names})


def _estimate(
    asker: Asker, clips: int, guess: tuple[float, float, float], basis: str, *, longest: Collection[int]
) -> Estimate:
    """Scale the use of one clip, from the log if enough clips had similar requests, else from `guess`.

    Requests are similar if their reply limit is in `longest`.
    """
    by_clip: dict[str, list[Record]] = defaultdict(list)
    for record in asker.log.records:
        if (record["step"], record["model"]) == (asker.step, asker.model):
            by_clip[record["name"]].append(record)
    alike = [replies for replies in by_clip.values() if max(reply["max_tokens"] for reply in replies) in longest]
    logged, answered = [reply for replies in alike for reply in replies], len(alike)
    if answered >= SAMPLE:
        tokens_in, tokens_out = (_sum(logged, field) / answered for field in _TOKENS)
        guess = (len(logged) / answered, tokens_in, tokens_out)
        basis = f"measured on {answered} clips"
    requests, tokens_in, tokens_out = (clips * value for value in guess)
    dollars = asker.price.dollars(tokens_in, tokens_out) if asker.price else None
    return Estimate(asker.step, asker.model, clips, requests, tokens_in, tokens_out, dollars, basis)


def _sum(records: Sequence[Record], field: str) -> float:
    return float(sum(record[field] for record in records))
