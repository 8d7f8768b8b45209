"""Captions into question-answer pairs: by templates without a network, or by a language model on any server.

Paper: Sec. 4, Datasets ("creating 100K question-answer pairs using GPT 3.5 turbo").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from data_curation.asking.asker import Asker
from data_curation.captioning.kinematics import choose
from data_curation.ledger import Rejected
from data_curation.prompts import (
    KINDS,
    QA_KINDS,
    QA_MOTION,
    QA_REQUEST,
    QA_SYSTEM,
    QUESTIONS,
    Kind,
    prompt_hash,
    qa_schema,
)
from data_curation.questions.pairs import Pair, fault, parse_pairs
from ski_lvlm.servers.client import ChatRequest, Message

TEMPLATE_VERSION = prompt_hash(QUESTIONS)
LLM_VERSION = prompt_hash(QA_SYSTEM, QA_REQUEST, QA_KINDS, QA_MOTION, qa_schema(KINDS))
ROUNDS = 3  # how often a model is asked about one clip
ANSWER_TOKENS, REPLY_TOKENS = 120, 80  # room for each pair, and for the JSON around them
_ORDER: tuple[Kind, ...] = ("summary", "detail", "action", "objects", "motion", "summary", "detail")
_WARMER = 0.7  # the same question again would get the same answer


class CaptionedClip(NamedTuple):
    """A clip as a question writer sees it: its name, its caption and, if wanted, its measured motion."""

    name: str
    caption: str
    motion: str = ""

    @property
    def known(self) -> str:
        """All that is said of it."""
        return f"{self.caption} {self.motion}".strip()


class Written(NamedTuple):
    """What became of one caption: usable pairs, the others with the reason, and what it cost."""

    pairs: list[Pair]
    rejects: list[dict[str, str]]
    requests: int
    prompt_tokens: int
    completion_tokens: int

    def record(self) -> dict[str, Any]:
        """As it goes into a manifest."""
        return self._asdict() | {"pairs": [pair._asdict() for pair in self.pairs]}


@dataclass(frozen=True)
class QaWriter:
    """Makes so many pairs of a caption; `model` and `version` say who did it and with which instructions.

    A writer that was told of earlier pairs writes others. `asker` is None where no model is asked.
    """

    model: str
    version: str
    kinds: tuple[Kind, ...]
    write: Callable[[CaptionedClip, int, Sequence[Pair]], Written]
    asker: Asker | None = None


def template_writer(kinds: Sequence[Kind] = KINDS) -> QaWriter:
    """Fills question templates, without a network; asks of no objects, since its captions measure none."""

    def write(clip: CaptionedClip, count: int, earlier: Sequence[Pair]) -> Written:
        return Written(template_pairs(clip.name, caption=clip.caption, count=count, kinds=kinds), [], 0, 0, 0)

    return QaWriter("template", prompt_hash(TEMPLATE_VERSION, *kinds), tuple(kinds), write)


def model_writer(asker: Asker, kinds: Sequence[Kind] = KINDS) -> QaWriter:
    """Has a language model write pairs."""

    def write(clip: CaptionedClip, count: int, earlier: Sequence[Pair]) -> Written:
        return ask_pairs(asker, clip, count=count, kinds=kinds, earlier=earlier)

    return QaWriter(asker.model, prompt_hash(LLM_VERSION, *kinds), tuple(kinds), write, asker)


def plan(name: str, *, count: int, kinds: Sequence[Kind] = KINDS) -> list[Kind]:
    """Which kinds of questions a clip gets, of those wanted; the first names the action where it may.

    >>> plan("S001C001P001R001A001", count=4)
    ['action', 'detail', 'action', 'objects']
    """
    order = [kind for kind in _ORDER if kind in kinds]
    planned = [order[i % len(order)] for i in range(count)]
    openings: tuple[Kind, ...] = tuple(kind for kind in ("summary", "action") if kind in kinds)
    if planned and openings:
        planned[0] = choose(openings, key=f"kind {name}")
    return planned


def template_pairs(name: str, *, caption: str, count: int, kinds: Sequence[Kind] = KINDS) -> list[Pair]:
    """Fill question templates from a caption whose first sentence names the action and whose others tell the motion.

    Deterministic; the wording of the questions varies with the clip's name. There are fewer than `count` pairs where a
    caption of one sentence has no motion to ask about, or the wordings run out.
    """
    first, _, rest = caption.partition(". ")
    sentence = first.rstrip(".") + "."
    answers: dict[Kind, str] = {"summary": sentence, "action": sentence, "detail": caption, "motion": rest}
    pairs: dict[str, Pair] = {}
    for number, kind in enumerate(plan(name, count=count, kinds=[kind for kind in kinds if kind in answers])):
        unused = tuple(question for question in QUESTIONS[kind] if question not in pairs)
        if answers[kind] and unused:
            question = choose(unused, key=f"question {number} {name}")
            pairs[question] = Pair(kind, question, answers[kind])
    return list(pairs.values())


def question_messages(clip: CaptionedClip, kinds: Sequence[Kind]) -> tuple[Message, Message]:
    """What a model is told: one pair of each of `kinds` is wanted."""
    wanted = QA_REQUEST.format(
        caption=clip.caption,
        motion=QA_MOTION.format(motion=clip.motion) if clip.motion else "",
        count=len(kinds),
        kinds=", ".join(kinds),
        explained="\n".join(f"- {kind}: {QA_KINDS[kind]}" for kind in dict.fromkeys(kinds)),
    )
    return Message(QA_SYSTEM, role="system"), Message(wanted)


def question_probe(kinds: Sequence[Kind]) -> ChatRequest:
    """Return a question of the shape of a request for pairs, which shows what the server takes."""
    messages = Message(QA_SYSTEM, role="system"), Message("Say yes.")
    return ChatRequest(messages, qa_schema(kinds[:1]), reply_tokens(1))


def reply_tokens(count: int) -> int:
    """The longest reply that `count` pairs may take."""
    return ANSWER_TOKENS * count + REPLY_TOKENS


def ask_pairs(
    asker: Asker, clip: CaptionedClip, *, count: int, kinds: Sequence[Kind] = KINDS, earlier: Sequence[Pair] = ()
) -> Written:
    """Have a model write pairs until there are `count` with the `earlier` ones, asking `ROUNDS` times at most.

    Raises:
        Rejected: there is not one usable pair; the message holds the last reason.
        ChatError: the server could not answer.
    """
    pairs, rejects = list(earlier), list[dict[str, str]]()
    requests = tokens_in = tokens_out = 0
    while len(pairs) < count and requests < ROUNDS:
        missing = plan(clip.name, count=count, kinds=kinds)[len(pairs) :]
        request = ChatRequest(
            question_messages(clip, missing),
            schema=qa_schema(missing),
            max_tokens=reply_tokens(len(missing)),
            temperature=_WARMER if requests or earlier else 0.0,
            seed=requests + len(earlier),
        )
        reply = asker.ask(clip.name, request)
        requests += 1
        tokens_in, tokens_out = tokens_in + reply.prompt_tokens, tokens_out + reply.completion_tokens
        rejects += _sort_in(reply.text, pairs, known=clip.known, count=count)
    written = Written(pairs, rejects, requests, tokens_in, tokens_out)
    if not pairs:
        cost = {"rejects": rejects, "requests": requests, "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        raise Rejected(f"no usable pair in {requests} replies; the last: {rejects[-1]['reason']}", **cost)
    return written


def _sort_in(text: str, pairs: list[Pair], *, known: str, count: int) -> list[dict[str, str]]:
    """Add the usable pairs of a reply to `pairs`, at most to `count`; return the others with the reason."""
    found, rejects = parse_pairs(text), []
    if not found:
        return [{"reason": "no pair in the reply", "text": text[:500]}]
    for pair in found:
        reason = fault(pair, known=known, taken=pairs)
        if reason:
            rejects.append({"reason": reason, "text": f"{pair.question} | {pair.answer}"})
        elif len(pairs) < count:
            pairs.append(pair)
    return rejects
