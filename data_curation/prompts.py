"""The instructions of captioners and question writers as data with a digest, and the template questions."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from ski_lvlm.storage.digests import digest

Kind = Literal["summary", "action", "detail", "objects", "motion"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Paper: App. D, word for word.
CAPTION_PROMPT = (
    "Give a detailed description of the actions happening and describe the image, include motions and the objects "
    "interacted by the person."
)

# Assumption: the paper shows one picture only. The wording for several is ours, before the paper's.
SEVERAL_FRAMES = "The {count} pictures are frames of one video, in order of time. "

# Assumption: the paper names GPT-3.5-turbo but not its instructions. The wording is ours.
QA_SYSTEM = (
    "You write training data for an assistant that watches videos of everyday activities. You are given a written "
    "account of one video. From it alone you write questions that somebody who watches the video might ask, each with "
    "the answer that the assistant should give. Use nothing that the account does not say; where it is silent, do not "
    "ask. Write as if both speakers see the video: never mention the account, a caption, a text, an image or a frame."
)
QA_REQUEST = (
    "Account of the video:\n{caption}\n{motion}\n"
    "Write {count} different question-answer pairs, one of each of these kinds: {kinds}.\n"
    "{explained}\n"
    'Reply with one JSON object only: {{"pair_1": {{"kind": "...", "question": "...", "answer": "..."}}}}, and so on '
    "up to pair_{count}."
)
QA_KINDS: dict[Kind, str] = {  # only the requested kinds are explained
    "summary": "asks what happens; the answer is one sentence that names the action.",
    "action": "asks which activity is carried out; the answer is one short sentence.",
    "detail": "asks for a full description; the answer has two or three sentences.",
    "objects": "asks what the person handles or uses; the answer names the things and what is done with them.",
    "motion": "asks how the body, the hands or the legs move; the answer speaks of movement only.",
}
QA_MOTION = "Measured on the body's joints: {motion}\n"  # replaces {motion} if joints were measured


def qa_schema(kinds: Sequence[Kind]) -> dict[str, Any]:
    """Return the JSON schema of a reply with one pair of each of `kinds`.

    >>> qa_schema(["motion", "detail"])["required"]
    ['pair_1', 'pair_2']
    """
    # A field for every pair, because not all strict modes support the maximum length of a list.
    pairs = {f"pair_{number}": _pair_schema(kind) for number, kind in enumerate(kinds, start=1)}
    return {"type": "object", "properties": pairs, "required": list(pairs), "additionalProperties": False}


def _pair_schema(kind: Kind) -> dict[str, Any]:
    fields = {
        "kind": {"type": "string", "enum": [kind]},
        "question": {"type": "string"},
        "answer": {"type": "string"},
    }
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


QUESTIONS: dict[Kind, tuple[str, ...]] = {
    "summary": (
        "What happens in this video?",
        "What is going on in the video?",
        "Can you summarise the video in one sentence?",
        "What does this video show?",
        "Briefly, what takes place here?",
    ),
    "action": (
        "What is the person doing?",
        "Which activity is carried out in the video?",
        "Which action can be seen?",
        "What is being done in this video?",
        "Name the action in the video.",
    ),
    "detail": (
        "Describe the video in detail.",
        "What happens in the video, and how does the body move?",
        "Give a full description of what you see in the video.",
        "Tell me everything about the action in this video.",
        "Explain what happens and how it is carried out.",
    ),
    "objects": (
        "Which objects does the person use?",
        "What is the person holding or handling?",
        "Are there any objects in the person's hands, and what happens to them?",
        "What does the person interact with?",
        "Which things matter for the action, and how are they used?",
    ),
    "motion": (
        "How do the hands and the body move?",
        "Describe the body motion in the video.",
        "Which parts of the body move, and how?",
        "What can you say about the movement of the body?",
        "How is the movement carried out?",
    ),
}

# The questions about held-out clips: a description, and two wordings for the consistency metric.
DESCRIBE = "What happens in this video?"
CONSISTENCY = ("What is the person doing?", "Which activity is carried out in the video?")


def prompt_hash(*texts: object) -> str:
    """Return the version of a set of instructions. If a word changes, results are made again.

    >>> prompt_hash("a") != prompt_hash("b")
    True
    """
    return digest(*texts, length=12)
