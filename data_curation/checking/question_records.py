"""One record of a question file in any spelling: its clip, its questions with answers, and its problems."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ski_lvlm.storage.clip_names import clip_name

Record = dict[str, Any]
_SPELLINGS = {  # in our files, Video-ChatGPT's, LLAVIDAL's, SKI-Models' and Parquet rows
    "Q": ("Q", "q", "question"),
    "Q1": ("Q1", "cons_Q1", "question_1"),
    "Q2": ("Q2", "cons_Q2", "question_2"),
    "A": ("A", "a", "answer"),
    "cons_A": ("cons_A",),
}


class QuestionPair(NamedTuple):
    """A question, without placeholders, and its answer."""

    question: str
    answer: str


class Entry(NamedTuple):
    """One record: clip names without extension, its pairs, and its problems.

    `record` is its index in the list, or `VIDEO[index]` if records are grouped by video. A record with problems keeps
    its readable parts.
    """

    record: int | str
    id: str | None
    video: str | None
    skeleton: str | None
    pairs: tuple[QuestionPair, ...]
    problems: tuple[str, ...]


def broken(record: int | str, problems: list[str], *, name: str | None = None) -> Entry:
    """Return an unreadable record."""
    return Entry(record, name, None, None, (), tuple(problems))


def question_entry(record: int | str, video: Any, item: Record) -> Entry:  # noqa: ANN401
    """Return a record with questions and answers about `video`.

    >>> question_entry(0, "v.mp4", {"q": "What?", "a": "This."}).pairs
    (QuestionPair(question='What?', answer='This.'),)
    """
    clip = clip_name(video) if isinstance(video, str) else ""
    fields = {name: (key, item[key]) for name, keys in _SPELLINGS.items() for key in keys if item.get(key) is not None}
    texts = {name: text for name, (_, text) in fields.items() if isinstance(text, str) and text.strip()}
    problems = [f"{key} is {text!r:.40}; expected a text" for name, (key, text) in fields.items() if name not in texts]
    if not clip:
        problems.insert(0, f"the video is {video!r:.40}; expected a clip's name")
    problems += _missing(set(fields))
    if texts.get("Q1", 1) == texts.get("Q2", 2):
        problems.append("Q1 and Q2 are the same; consistency needs two wordings of one question")
    record_id = None if item.get("id") is None else str(item["id"])
    return Entry(record, record_id, clip or None, None, tuple(dict.fromkeys(_pairs(texts))), tuple(problems))


def _missing(names: set[str]) -> Iterator[str]:
    if not {"Q", "Q1", "Q2"} & names:
        yield "there is no question; expected Q, or Q1 and Q2"
    if len({"Q1", "Q2"} & names) == 1:
        yield "only one of Q1 and Q2 is there; the consistency metric needs both"
    if not {"A", "cons_A"} & names:
        yield "there is no answer; expected A"


def _pairs(texts: dict[str, str]) -> Iterator[QuestionPair]:
    for question in ("Q", "Q1", "Q2"):
        answer = texts.get("A") if question == "Q" else texts.get("cons_A", texts.get("A"))
        if question in texts and answer is not None:
            yield QuestionPair(texts[question], answer)
