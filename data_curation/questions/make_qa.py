"""Writers of question-answer pairs from captions: templates without a network, or a language model on a server.

Paper: Sec. 4, Datasets ("creating 100K question-answer pairs using GPT 3.5 turbo").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from data_curation.asking.asker import Asker
from data_curation.choice import choose
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
ROUNDS = 3  # requests about one clip
ANSWER_TOKENS, REPLY_TOKENS = 120, 80  # room for each pair, and for the JSON around them
_ORDER: tuple[Kind, ...] = ("summary", "detail", "action", "objects", "motion", "summary", "detail")
_RETRY_TEMPERATURE = 0.7  # at 0 the same question would get the same answer


class CaptionedClip(NamedTuple):
    """A clip as a question writer sees it: name, caption and optionally its measured motion."""

    name: str
    caption: str
    motion: str = ""

    @property
    def text(self) -> str:
        """The caption and the motion."""
        return f"{self.caption} {self.motion}".strip()


class Written(NamedTuple):
    """The usable pairs of one caption, the rejected ones with reasons, and the cost."""

    pairs: list[Pair]
    rejects: list[dict[str, str]]
    requests: int
    prompt_tokens: int
    completion_tokens: int

    def record(self) -> dict[str, Any]:
        """Return the fields of a manifest record."""
        return self._asdict() | {"pairs": [pair._asdict() for pair in self.pairs]}


@dataclass(frozen=True)
class QaWriter:
    """A writer of so many pairs of a caption, in addition to earlier ones.

    `version` is a digest of its instructions. `asker` is None without a model.
    """

    model: str
    version: str
    kinds: tuple[Kind, ...]
    write: Callable[[CaptionedClip, int, Sequence[Pair]], Written]
    asker: Asker | None = None


def template_writer(kinds: Sequence[Kind] = KINDS) -> QaWriter:
    """Return a writer that fills question templates. It asks about no objects, as measured captions have none."""

    def write(clip: CaptionedClip, count: int, earlier: Sequence[Pair]) -> Written:
        return Written(template_pairs(clip.name, caption=clip.caption, count=count, kinds=kinds), [], 0, 0, 0)

    return QaWriter("template", prompt_hash(TEMPLATE_VERSION, *kinds), tuple(kinds), write)


OFFLINE_WRITERS: Final = {"template": template_writer}  # by the name of --qa; other names are models on servers


def model_writer(asker: Asker, kinds: Sequence[Kind] = KINDS) -> QaWriter:
    """Return a writer that asks a language model."""

    def write(clip: CaptionedClip, count: int, earlier: Sequence[Pair]) -> Written:
        return ask_pairs(asker, clip, count=count, kinds=kinds, earlier=earlier)

    return QaWriter(asker.model, prompt_hash(LLM_VERSION, *kinds), tuple(kinds), write, asker)


def plan(name: str, *, count: int, kinds: Sequence[Kind] = KINDS) -> list[Kind]:
    """Return the kinds of questions of a clip, beginning with one that names the action if possible.

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
    """Fill question templates from a caption whose first sentence names the action and the others its motion.

    The wording of the questions varies with the clip's name. There are fewer than `count` pairs if a caption of one
    sentence has no motion, or if the wordings run out.
    """
    first, _, motion = caption.partition(". ")
    sentence = first.rstrip(".") + "."
    answers: dict[Kind, str] = {"summary": sentence, "action": sentence, "detail": caption, "motion": motion}
    pairs: dict[str, Pair] = {}
    for number, kind in enumerate(plan(name, count=count, kinds=[kind for kind in kinds if kind in answers])):
        unused = tuple(question for question in QUESTIONS[kind] if question not in pairs)
        if answers[kind] and unused:
            question = choose(unused, key=f"question {number} {name}")
            pairs[question] = Pair(kind, question, answers[kind])
    return list(pairs.values())


def question_messages(clip: CaptionedClip, kinds: Sequence[Kind]) -> tuple[Message, Message]:
    """Return the request for one pair of each of `kinds`."""
    request = QA_REQUEST.format(
        caption=clip.caption,
        motion=QA_MOTION.format(motion=clip.motion) if clip.motion else "",
        count=len(kinds),
        kinds=", ".join(kinds),
        explained="\n".join(f"- {kind}: {QA_KINDS[kind]}" for kind in dict.fromkeys(kinds)),
    )
    return Message(QA_SYSTEM, role="system"), Message(request)


def question_probe(kinds: Sequence[Kind]) -> ChatRequest:
    """Return a question in the form of a request for pairs, which tests the server's options."""
    messages = Message(QA_SYSTEM, role="system"), Message("Say yes.")
    return ChatRequest(messages, qa_schema(kinds[:1]), reply_tokens(1))


def reply_tokens(count: int) -> int:
    """Return the maximum length of a reply with `count` pairs."""
    return ANSWER_TOKENS * count + REPLY_TOKENS


def ask_pairs(
    asker: Asker, clip: CaptionedClip, *, count: int, kinds: Sequence[Kind] = KINDS, earlier: Sequence[Pair] = ()
) -> Written:
    """Ask a model at most `ROUNDS` times, until there are `count` pairs with the `earlier` ones.

    Raises:
        Rejected: there is no usable pair. The message has the last reason.
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
            temperature=_RETRY_TEMPERATURE if requests or earlier else 0.0,
            seed=requests + len(earlier),
        )
        reply = asker.ask(clip.name, request)
        requests += 1
        tokens_in, tokens_out = tokens_in + reply.prompt_tokens, tokens_out + reply.completion_tokens
        rejects += _sort_in(reply.text, pairs, context=clip.text, count=count)
    result = Written(pairs, rejects, requests, tokens_in, tokens_out)
    if not pairs:
        cost = {"rejects": rejects, "requests": requests, "prompt_tokens": tokens_in, "completion_tokens": tokens_out}
        raise Rejected(f"no usable pair in {requests} replies; the last: {rejects[-1]['reason']}", **cost)
    return result


def _sort_in(text: str, pairs: list[Pair], *, context: str, count: int) -> list[dict[str, str]]:
    """Add the usable pairs of a reply to `pairs`, up to `count`, and return the others with reasons."""
    reply, rejects = parse_pairs(text), []
    if not reply:
        return [{"reason": "no pair in the reply", "text": text[:500]}]
    for pair in reply:
        reason = fault(pair, context=context, earlier=pairs)
        if reason:
            rejects.append({"reason": reason, "text": f"{pair.question} | {pair.answer}"})
        elif len(pairs) < count:
            pairs.append(pair)
    return rejects
