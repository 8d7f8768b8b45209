"""Parsing of question-answer pairs from a model's reply, and checks of their content."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from data_curation.prompts import Kind
from data_curation.questions.loose_json import objects
from ski_lvlm.llm.thoughts import without_thoughts

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_LEAKS = re.compile(r"\b(captions?|images?|account|the text|as an ai|placeholder)\b|<\w+>", re.IGNORECASE)
_KEY = re.compile(r"(?P<name>question|answer|q|a)[ _-]?(?P<number>\d{0,3})")
_MARK = r"[ \t>*_#-]{0,9}(?:\d{1,2}[.)][ \t]{0,9})?[*_]{0,3}"
_COLON = r"(?:[ \t]?\d{1,2})?[*_]{0,3}:[*_]{0,3}"
# An answer must end with its sentence, which excludes those that were cut.
_LINES = re.compile(
    rf"^{_MARK}(?:Q|Question){_COLON}(?P<q>[^\n]+)\n\s*{_MARK}(?:A|Answer){_COLON}(?P<a>[^\n]+[.!?])[*_\"' \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
_GROUNDED = 0.3  # minimum share of an answer's content words that occur in its caption
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
    """Return all question-answer pairs in a reply: JSON in a code fence, inside prose, nested or cut.

    Thoughts are ignored. JSON may be loose or Python's. Without any, lines `Q: ...` and `A: ...` are read.

    >>> parse_pairs('Sure! [{"Q": "What?", "A": "This."}, {"Q": "Wh')
    [Pair(kind='summary', question='What?', answer='This.')]
    """
    answer = without_thoughts(text)
    return list(_scan(answer)) or [Pair("summary", m["q"].strip(), m["a"].strip()) for m in _LINES.finditer(answer)]


def _scan(text: str) -> Iterator[Pair]:
    after = 0
    for item in objects(text):
        if item.start >= after and (pairs := _pairs(item.fields)):
            yield from pairs
            after = item.end


def _pairs(fields: dict[Any, Any]) -> list[Pair]:
    """Return the pairs of an object: one, or several whose keys are numbered (`Q1`, `answer_2`)."""
    texts: dict[str, dict[str, str]] = {}
    for key, value in fields.items():
        match = _KEY.fullmatch(str(key).strip().lower())
        if match and isinstance(value, str):
            texts.setdefault(match["number"], {}).setdefault(match["name"][0], value.strip())
    kind = str(fields.get("kind", fields.get("Kind", "")))
    kind = kind if kind in get_args(Kind) else "summary"
    return [Pair(kind, text["q"], text["a"]) for text in texts.values() if text.keys() == {"q", "a"}]


def fault(pair: Pair, *, context: str, earlier: Sequence[Pair] = ()) -> str | None:
    """Return why a pair must not be used, or None. `context` is all that its writer had of the clip.

    >>> fault(Pair("action", "What is done?", "A man repairs a bicycle."), context="A person is drinking water.")
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
    if any(_plain(pair.question) == _plain(other.question) for other in earlier):
        return "the same question again"
    if not _english(f"{pair.question} {pair.answer}"):
        return "not English"
    if not _grounded(pair.answer, context):
        return "the answer says what the caption does not"
    return None


def _writable(text: str) -> bool:
    # JSON can spell lone surrogates, which no file can hold.
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _english(text: str) -> bool:
    # Another language must be near certain, because short sentences are easily taken for Dutch.
    language, probability = _identifier().classify(text)
    return language == "en" or probability < _SURE


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _grounded(answer: str, context: str) -> bool:
    stems = _stems(answer)
    return bool(stems) and len(stems & _stems(context)) >= _GROUNDED * len(stems)


def _stems(text: str) -> set[str]:
    return {word[:4] for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP}
