"""The offline captioner: an action's name and the measured motion, in one to three English sentences.

It looks at no picture. Its first sentence always names the action, in words that `named_action` finds again; the others
say what the body did. The same clip always gets the same caption.
"""

import hashlib
import re
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.measured_motion import Meeting, Motion, measure, measure_meeting

VERSION = "kinematics-1"

_NAMED = {"one": ("a person", "is"), "toward": ("one person", "is"), "both": ("two people", "are")}
_OPENINGS = (
    "{subject} {be} {phrase}.",
    "The video shows {subject} {phrase}.",
    "In this video, {subject} {be} {phrase}.",
)
_PLACES = {
    ("head", False): "to the head",
    ("head", True): "to the head and {stay} there",
    ("overhead", False): "above the head",
    ("overhead", True): "above the head and {stay} there",
    ("together", False): "together in front of the body",
    ("together", True): "together in front of the body",
    ("forward", False): "away from the body",
    ("forward", True): "away from the body and {stay} there",
    ("down", False): "down below the hips",
    ("down", True): "down below the hips",
}
_HEIGHTS = {
    "rises": "the hips rise",
    "sinks": "the hips sink",
    "dips": "the hips dip and come up again",
    "jumps": "the feet leave the floor",
}
_LEGS = {"still": "the legs hardly move", "steps": "the feet move a little", "walk": "the person walks"}
_MEETINGS = {
    "closer": "The two people come closer to each other",
    "apart": "The two people move away from each other",
    "same": "The distance between the two people stays about the same",
}
_TOUCH = 0.2  # metres from a wrist to the other's head or trunk

Choice = TypeVar("Choice")


def choose(options: tuple[Choice, ...], *, key: str) -> Choice:
    """One of the options, evenly and always the same for the same key."""
    return options[int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % len(options)]


def caption(name: str, *, action: int, joints: Float[np.ndarray, "T M J 3"]) -> str:
    """Describe a clip from its action (A1 is 1) and its cleaned skeleton in metres (NaN: absent).

    Raises:
        ValueError: an action outside 1 to 120, or nobody in the skeleton.
    """
    if action not in ACTION_PHRASES:
        raise ValueError(f"{name}: action {action} is unknown, expected 1 to {len(ACTION_PHRASES)}")
    present = [m for m in range(joints.shape[1]) if np.isfinite(joints[:, m]).all(axis=(1, 2)).sum() >= 2]
    if not present:
        raise ValueError(f"{name}: nobody is in the skeleton for two frames; leave the clip out")
    motions = [measure(joints[:, m]) for m in present]
    busiest = max(motions, key=lambda motion: motion.amount)
    meeting = measure_meeting(joints[:, present[:2]]) if len(present) > 1 else None
    return " ".join([action_sentence(name, action=action), *motion_sentences(busiest, meeting=meeting)])


def action_sentence(name: str, *, action: int) -> str:
    """The sentence that names the action; its form varies with the clip's name.

    >>> action_sentence("S001C001P001R001A058", action=58)
    'In this video, two people are shaking hands.'
    """
    who, phrase = ACTION_PHRASES[action]
    subject, be = _NAMED[who]
    return _sentence(choose(_OPENINGS, key=f"opening {name}").format(subject=subject, be=be, phrase=phrase))


def motion_sentences(motion: Motion, *, meeting: Meeting | None = None) -> list[str]:
    """One sentence on the person who moved most, and one on the two people where there are two."""
    sentences = [_hand_and_body(motion, who="One person's" if meeting else "The")]
    if meeting:
        touch = ", and a hand touches the other person" if meeting.nearest_hand < _TOUCH else ""
        sentences.append(f"{_MEETINGS[meeting.change]}{touch}.")
    return sentences


def _hand_and_body(motion: Motion, *, who: str) -> str:
    parts = []
    if motion.height:
        parts.append(_HEIGHTS[motion.height])
    if motion.leans:
        parts.append("the trunk leans over")
    if motion.legs == "walk" or not parts:
        parts.append(_LEGS[motion.legs])
    *most, last = parts
    body = f"{', '.join(most)} and {last}" if most else last
    return f"{_hands(motion, who=who)}; {body}."


def _hands(motion: Motion, *, who: str) -> str:
    if motion.hands is None:
        return f"{who} hands hardly move"
    several = motion.hands == "both"
    subject = f"{who} hands" if several else f"{who} {motion.hands} hand"
    often = f" back and forth about {_count(motion.swings)} times" if motion.swings >= 3 else ""
    if motion.place is None or (often and motion.place == "down"):
        return f"{subject} {'move' if several else 'moves'}{often}"
    where = _PLACES[motion.place, motion.stays and not often].format(stay="stay" if several else "stays")
    verb = "come" if motion.place == "together" else "go" if motion.place == "down" else "reach" if often else "rise"
    if motion.place == "forward":
        verb = "stretch"
    verb = verb if several else {"go": "goes", "reach": "reaches", "stretch": "stretches"}.get(verb, f"{verb}s")
    return f"{subject} {verb} {where}" + (f" and {'move' if several else 'moves'}{often}" if often else "")


def _count(number: int) -> str:
    words = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number - 3] if number <= 10 else str(number)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


_SEARCH = {action: re.compile(rf"\b{re.escape(phrase.lower())}\b") for action, (_, phrase) in ACTION_PHRASES.items()}


def named_action(text: str) -> int | None:
    """The action that a text names in the words of `ACTION_PHRASES`, the first if several; None if it names none.

    >>> named_action("In the video, somebody is Drinking  water."), named_action("A person drinks.")
    (1, None)
    """
    plain = " ".join(text.lower().split())
    found = [(match.start(), action) for action, search in _SEARCH.items() if (match := search.search(plain))]
    return min(found)[1] if found else None
