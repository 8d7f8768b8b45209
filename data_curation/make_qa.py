"""Captions into question-answer pairs: by templates without a network, or by a language model on any server.

Paper: Sec. 4, Datasets ("creating 100K question-answer pairs using GPT 3.5 turbo").
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, get_args

from data_curation.asking import one_clip
from data_curation.kinematics import choose
from data_curation.ledger import Rejected
from data_curation.prompts import QA_REQUEST, QA_SCHEMA, QA_SYSTEM, QUESTIONS, Kind, prompt_hash
from ski_lvlm.chat_client import ChatClient, Message

TEMPLATE_VERSION = prompt_hash(QUESTIONS)
LLM_VERSION = prompt_hash(QA_SYSTEM, QA_REQUEST, QA_SCHEMA)
ROUNDS = 3  # how often a model is asked about one clip
_PLAN: tuple[Kind, ...] = ("summary", "detail", "action", "motion", "summary", "detail")
_LEAKS = re.compile(r"\b(captions?|images?|account|the text|as an ai|placeholder)\b|<\w+>", re.IGNORECASE)
_GROUNDED = 0.3  # share of an answer's content words that its caption must hold
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


class Written(NamedTuple):
    """What a model made of one caption: usable pairs, the others with the reason, and what it cost."""

    pairs: list[Pair]
    rejects: list[dict[str, str]]
    requests: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class QaWriter:
    """Makes pairs of a clip's name and caption; `model` and `version` say who did it and with which instructions."""

    model: str
    version: str
    pairs_per_clip: int
    write: Callable[[str, str], Written]


def load_qa(name: str, *, pairs_per_clip: int, base_url: str | None = None) -> QaWriter:
    """The writer called `template`, `openai:MODEL`, `ollama:MODEL`, or `gpt-3.5-turbo` (the paper's, at OpenAI).

    Raises:
        ValueError: no pairs wanted, or the writer cannot be used: no key, server not running.
    """
    if pairs_per_clip < 1:
        raise ValueError(f"--pairs_per_clip is {pairs_per_clip}; expected 1 or more")
    if name == "template":
        return QaWriter(name, TEMPLATE_VERSION, pairs_per_clip, partial(_from_templates, count=pairs_per_clip))
    client = ChatClient(f"openai:{name}" if name.startswith("gpt-") else name, base_url=base_url)
    client.ping()
    return QaWriter(client.name, LLM_VERSION, pairs_per_clip, partial(_from_model, client, count=pairs_per_clip))


def _from_templates(clip: str, caption: str, *, count: int) -> Written:
    return Written(template_pairs(clip, caption=caption, count=count), [], 0, 0, 0)


def _from_model(client: ChatClient, clip: str, caption: str, *, count: int) -> Written:
    with one_clip(client):
        return ask_pairs(client, name=clip, caption=caption, count=count)


def plan(name: str, *, count: int) -> list[Kind]:
    """Which kinds of questions a clip gets: the first names the action, half are summaries, half go into detail.

    >>> plan("S001C001P001R001A001", count=2)
    ['action', 'detail']
    """
    kinds = [_PLAN[i % len(_PLAN)] for i in range(count)]
    kinds[0] = choose(("summary", "action"), key=f"kind {name}")
    return kinds


def template_pairs(name: str, *, caption: str, count: int) -> list[Pair]:
    """Fill question templates from a caption whose first sentence names the action and whose others tell the motion.

    Deterministic; the wording of the questions varies with the clip's name. There are fewer than `count` pairs where a
    caption of one sentence has no motion to ask about, or the wordings run out.
    """
    first, _, rest = caption.partition(". ")
    sentence = first.rstrip(".") + "."
    answers: dict[Kind, str] = {"summary": sentence, "action": sentence, "detail": caption, "motion": rest}
    pairs: dict[str, Pair] = {}
    for number, kind in enumerate(plan(name, count=count)):
        unused = tuple(question for question in QUESTIONS[kind] if question not in pairs)
        if answers[kind] and unused:
            question = choose(unused, key=f"question {number} {name}")
            pairs[question] = Pair(kind, question, answers[kind])
    return list(pairs.values())


def ask_pairs(client: ChatClient, *, name: str, caption: str, count: int) -> Written:
    """Have a model write pairs, and ask again for the missing ones at most `ROUNDS` times in all.

    Raises:
        Rejected: not one usable pair came back; the message holds the last reason.
        ChatError: the server could not answer.
    """
    pairs: list[Pair] = []
    rejects: list[dict[str, str]] = []
    prompt_tokens = completion_tokens = requests = 0
    while len(pairs) < count and requests < ROUNDS:
        missing = plan(name, count=count)[len(pairs) :]
        wanted = QA_REQUEST.format(caption=caption, count=len(missing), kinds=", ".join(missing))
        reply = client.chat(
            [Message(QA_SYSTEM, role="system"), Message(wanted)],
            schema=QA_SCHEMA,
            max_tokens=120 * len(missing) + 80,
            temperature=0.0 if requests == 0 else 0.7,  # the same question again would get the same answer
        )
        requests += 1
        prompt_tokens, completion_tokens = (
            prompt_tokens + reply.prompt_tokens,
            completion_tokens + reply.completion_tokens,
        )
        found = parse_pairs(reply.text)
        if not found:
            rejects.append({"reason": "no pair in the reply", "text": reply.text[:500]})
        for pair in found:
            reason = fault(pair, caption=caption, taken=pairs)
            if reason:
                rejects.append({"reason": reason, "text": f"{pair.question} | {pair.answer}"})
            elif len(pairs) < count:
                pairs.append(pair)
    if not pairs:
        raise Rejected(f"no usable pair in {requests} replies; the last: {rejects[-1]['reason']}")
    return Written(pairs, rejects, requests, prompt_tokens, completion_tokens)


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


def fault(pair: Pair, *, caption: str, taken: Sequence[Pair] = ()) -> str | None:
    """Why a pair must not be used; None if it may.

    >>> fault(Pair("action", "What is done?", "A man repairs a bicycle."), caption="A person is drinking water.")
    'the answer says what the caption does not'
    """
    if not pair.question or not pair.answer:
        return "an empty question or answer"
    if _LEAKS.search(pair.question) or _LEAKS.search(pair.answer):
        return "it speaks of a caption, an image or a placeholder"
    if any(pair.question.casefold() == other.question.casefold() for other in taken):
        return "the same question again"
    if _share_of_ascii(pair.question + pair.answer) < 0.9:
        return "not English"
    if not _grounded(pair.answer, caption):
        return "the answer says what the caption does not"
    return None


def _share_of_ascii(text: str) -> float:
    letters = [letter for letter in text if letter.isalpha()]
    return sum(letter.isascii() for letter in letters) / max(1, len(letters))


def _grounded(answer: str, caption: str) -> bool:
    said, known = _stems(answer), _stems(caption)
    return bool(said) and len(said & known) >= _GROUNDED * len(said)


def _stems(text: str) -> set[str]:
    return {word[:4] for word in re.findall(r"[a-z]+", text.lower()) if word not in _STOP}
