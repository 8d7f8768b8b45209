"""Question-answer pairs: read from whatever a model wraps them in, and checked before anybody trains on them."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, get_args

from data_curation.prompts import Kind

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_LEAKS = re.compile(r"\b(captions?|images?|account|the text|as an ai|placeholder)\b|<\w+>", re.IGNORECASE)
_GROUNDED = 0.3  # share of an answer's content words that its caption must hold
_SURE = 0.8  # probability from which a text counts as another language
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been being by can does for from has have he her his in into is it its of on or person
        she somebody someone that the their them there they this to video was what which while who with""",
    )
)


class Pair(NamedTuple):
    """One question and its answer, without placeholders."""

    kind: str
    question: str
    answer: str


def parse_pairs(text: str) -> list[Pair]:
    """All question-answer pairs in a reply: JSON in a code fence, with words around it, nested, or cut off half-way.

    >>> parse_pairs('Sure! [{"Q": "What?", "A": "This."}, {"Q": "Wh')
    [Pair(kind='summary', question='What?', answer='This.')]
    """
    return list(_scan(text))


def _scan(text: str) -> Iterator[Pair]:
    decoder, position = json.JSONDecoder(), text.find("{")
    while position >= 0:
        after = position + 1
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            value, end = None, after
        pair = _pair(value)
        if pair:
            yield pair
            after = end
        position = text.find("{", after)


def _pair(value: object) -> Pair | None:
    if not isinstance(value, dict):
        return None
    fields = {str(key).lower(): field.strip() for key, field in value.items() if isinstance(field, str)}
    question, answer = (fields.get(long, fields.get(long[0])) for long in ("question", "answer"))
    if question is None or answer is None:
        return None
    kind = fields.get("kind", "")
    return Pair(kind if kind in get_args(Kind) else "summary", question, answer)


def fault(pair: Pair, *, known: str, taken: Sequence[Pair] = ()) -> str | None:
    """Why a pair must not be used; None if it may. `known` is all that its writer was told of the clip.

    >>> fault(Pair("action", "What is done?", "A man repairs a bicycle."), known="A person is drinking water.")
    'the answer says what the caption does not'
    """
    if not pair.question or not pair.answer:
        return "an empty question or answer"
    if not _writable(pair.question + pair.answer):
        return "it holds halves of characters"
    if _LEAKS.search(pair.question) or _LEAKS.search(pair.answer):
        return "it speaks of a caption, an image or a placeholder"
    if _plain(pair.question) == _plain(pair.answer):
        return "the answer repeats the question"
    if any(_plain(pair.question) == _plain(other.question) for other in taken):
        return "the same question again"
    if not _english(f"{pair.question} {pair.answer}"):
        return "not English"
    if not _grounded(pair.answer, known):
        return "the answer says what the caption does not"
    return None


def _writable(text: str) -> bool:
    """JSON can spell half of a character outside the basic plane, which no file can hold."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _english(text: str) -> bool:
    """Unless another language is near certain: a short sentence is easily taken for Dutch."""
    language, probability = _identifier().classify(text)
    return language == "en" or probability < _SURE


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _grounded(answer: str, known: str) -> bool:
    said, told = _stems(answer), _stems(known)
    return bool(said) and len(said & told) >= _GROUNDED * len(said)


def _stems(text: str) -> set[str]:
    return {word[:4] for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP}
