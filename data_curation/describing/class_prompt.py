"""The instructions that have a language model describe an action class in sentences.

Assumption: STAR's sentences come from GPT-3.5 by the names of its files, and its instructions are not published. The
wording is ours.
"""

from typing import Any

from ski_lvlm.datasets.action_classes import ActionClass
from ski_lvlm.datasets.class_texts import COLUMNS, PARTS
from ski_lvlm.servers.client import Message

SYSTEM = (
    "You describe human actions for a program that recognises them by the movement of the body's joints. You write "
    "plain English sentences about what a body that carries out the action really does. You mention a movement only if "
    "the action needs it, and you say of a part that rests how it rests."
)
REQUEST = (
    "The action: {name}\n{persons}"
    "Write one sentence for each of these fields:\n{fields}\n"
    'Reply with one JSON object only: {{"definition": "...", "motion": "...", "head": "...", and so on}}.'
)
PERSONS = "Two persons take part. Say what each of them does.\n"
SENTENCES = COLUMNS[1:]
FIELDS = {
    "definition": "what the action is and what it is for, in 10 to 25 words.",
    "motion": "how the body moves from the beginning to the end, in 10 to 30 words.",
} | {part: f'what this part does, in 7 to 20 words. The first word is "{part.title()}".' for part in PARTS}


def class_messages(action: ActionClass) -> tuple[Message, Message]:
    """Return the request for the sentences of a class."""
    fields = "\n".join(f"- {field}: {meaning}" for field, meaning in FIELDS.items())
    persons = PERSONS if action.persons == 2 else ""
    return Message(SYSTEM, role="system"), Message(REQUEST.format(name=action.name, persons=persons, fields=fields))


def class_schema() -> dict[str, Any]:
    """Return the JSON schema of a reply."""
    texts = {field: {"type": "string"} for field in SENTENCES}
    return {"type": "object", "properties": texts, "required": list(texts), "additionalProperties": False}
