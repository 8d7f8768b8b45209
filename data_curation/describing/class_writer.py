"""Requests for the sentences of a class, and their replies, of which only whole ones are used."""

from data_curation.asking.asker import Asker
from data_curation.describing.class_prompt import SENTENCES, class_messages, class_schema
from data_curation.ledger import Rejected
from data_curation.questions.loose_json import objects
from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.class_texts import PARTS, ClassTexts, is_about
from ski_lvlm.llm.thoughts import without_thoughts
from ski_lvlm.servers.client import ChatRequest

ROUNDS = 3  # requests about one class
_TOKENS = 800  # of a reply with eight sentences
_RETRY_TEMPERATURE = 0.7  # at 0 the same question would get the same answer
_WORDS = (4, 45)  # of a sentence. Assumption: wider than what is asked for, to refuse placeholders and essays only


class UnusableReply(ValueError):
    """A reply that lacks a sentence."""


def request(action: ActionClass, *, turn: int = 0) -> ChatRequest:
    """Return the request for the sentences of a class. Later turns are less predictable."""
    temperature = _RETRY_TEMPERATURE if turn else 0.0
    return ChatRequest(class_messages(action), class_schema(), _TOKENS, temperature, seed=turn)


def ask_texts(asker: Asker, action: ActionClass) -> ClassTexts:
    """Ask a model at most `ROUNDS` times, until a reply has all sentences of a class.

    Raises:
        Rejected: no reply is usable. The message has the last reason.
        Failed: the server could not answer now.
        BudgetSpent: the budget does not cover the request.
        ChatError: the run must stop.
    """
    reason = ""
    for turn in range(ROUNDS):
        try:
            return texts_in(asker.ask(action.name, request(action, turn=turn)).text)
        except UnusableReply as error:
            reason = str(error)
    raise Rejected(f"no usable reply in {ROUNDS}, the last: {reason}; try another --model, or write the line by hand")


def texts_in(reply: str) -> ClassTexts:
    """Return the sentences of a reply.

    Raises:
        UnusableReply: one is missing, too short, too long, repeated, or about another part than its field.
    """
    fields = next((o.fields for o in objects(without_thoughts(reply)) if set(SENTENCES) <= set(o.fields)), None)
    if fields is None:
        raise UnusableReply(f"no object with {', '.join(SENTENCES)} in {reply[:60]!r}")
    texts = {field: " ".join(str(fields[field]).split()) for field in SENTENCES}
    for field, text in texts.items():
        if not isinstance(fields[field], str) or not text.isprintable():
            raise UnusableReply(f"{field} is {fields[field]!r:.60}, which is no text")
        if not _WORDS[0] <= len(text.split()) <= _WORDS[1]:
            raise UnusableReply(f"{field} has {len(text.split())} words, expected {_WORDS[0]} to {_WORDS[1]}")
        if field in PARTS and not is_about(text, field):
            raise UnusableReply(f"{field} begins with {text[:20]!r}, expected {field.title()!r}")
    if len(set(texts.values())) < len(texts):
        raise UnusableReply("a sentence stands in two fields")
    return ClassTexts(texts["definition"], texts["motion"], {part: texts[part] for part in PARTS})
