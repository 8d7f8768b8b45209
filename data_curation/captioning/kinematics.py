"""The offline captioner: an action's name and the measured motion, in one to three English sentences.

It uses no picture. The first sentence names the action, in words that `named_action` finds again. The others describe
the movement of the body. The same clip always gets the same caption.
"""

import re
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.captioning.measured_motion import Meeting, Motion, measure, measure_meeting
from ski_lvlm.storage.digests import digest_number

_NAMED = {"one": ("a person", "is"), "toward": ("one person", "is"), "both": ("two people", "are")}
_OPENINGS = (
    "{subject} {be} {phrase}.",
    "The video shows {subject} {phrase}.",
    "In this video, {subject} {be} {phrase}.",
)
_PLACES = {  # verb, direction, whether a hand may stay there
    "head": ("rise", "to the head", True),
    "overhead": ("rise", "above the head", True),
    "together": ("come", "together in front of the body", True),
    "forward": ("stretch", "away from the body", True),
    "down": ("go", "down below the hips", False),
}
_HEIGHTS = {
    "rises": "the hips rise",
    "sinks": "the hips sink",
    "dips": "the hips dip and come up again",
    "jumps": "the feet leave the floor",
}
_LEGS = {"still": "the legs hardly move", "steps": "the feet move a little", "walk": "{who} walks"}
_TRAVELS = {"up": "up", "down": "down", "up and down": "up and down again", "down and up": "down and up again"}
_MEETINGS = {
    "closer": "The two people come closer to each other",
    "apart": "The two people move away from each other",
    "same": "The distance between the two people stays about the same",
}
_TOUCH = 0.25  # metres from a wrist to the other's hand, head or trunk

Choice = TypeVar("Choice")


def choose(options: tuple[Choice, ...], *, key: str) -> Choice:
    """Return one of the options, evenly distributed and always the same for a key."""
    return options[digest_number(key, num_bytes=4) % len(options)]


def caption(name: str, *, action: int, joints: Float[np.ndarray, "T M J 3"]) -> str:
    """Describe a clip from its action (A1 is 1) and its cleaned skeleton in metres (NaN: absent).

    Raises:
        ValueError: an action outside 1 to 120, or nobody in the skeleton.
    """
    if action not in ACTION_PHRASES:
        raise ValueError(f"{name}: action {action} is unknown, expected 1 to {len(ACTION_PHRASES)}")
    return f"{action_sentence(name, action=action)} {measured_sentences(name, joints=joints)}"


def measured_sentences(name: str, *, joints: Float[np.ndarray, "T M J 3"]) -> str:
    """Describe the motion of a cleaned skeleton (metres, NaN: absent), without naming the action.

    Raises:
        ValueError: nobody in the skeleton.
    """
    present = [m for m in range(joints.shape[1]) if np.isfinite(joints[:, m]).all(axis=(1, 2)).sum() >= 2]
    if not present:
        raise ValueError(f"{name}: nobody is in the skeleton for two frames; remove the clip")
    motions = [measure(joints[:, m]) for m in present]
    busiest = max(motions, key=lambda motion: motion.amount)
    meeting = measure_meeting(joints[:, present[:2]]) if len(present) > 1 else None
    return " ".join(motion_sentences(busiest, meeting=meeting))


def action_sentence(name: str, *, action: int) -> str:
    """Return the sentence that names the action, in a form that varies with the clip's name.

    >>> action_sentence("S001C001P001R001A058", action=58)
    'In this video, two people are shaking hands.'
    """
    actor, phrase = ACTION_PHRASES[action]
    subject, be = _NAMED[actor]
    return _sentence(choose(_OPENINGS, key=f"opening {name}").format(subject=subject, be=be, phrase=phrase))


def motion_sentences(motion: Motion, *, meeting: Meeting | None = None) -> list[str]:
    """Return a sentence on the person who moved most, and one on the two people if there are two."""
    person = "one person" if meeting else "the person"
    owner, body = f"{person}'s" if meeting else "the", _body(motion, person=person)
    if motion.legs == "walk" and motion.place is None:  # the arms only swing along
        sentences = [_sentence(f"{body}.")]
    else:
        sentences = [_sentence(f"{_hands(motion, whose=owner)}; {body}.")]
    if meeting:
        sentences.append(f"{_MEETINGS[meeting.change]}{_contact(meeting)}.")
    return sentences


def _contact(meeting: Meeting) -> str:
    if meeting.hands < _TOUCH:
        return ", and their hands meet"
    return ", and a hand touches the other person" if meeting.touch < _TOUCH else ""


def _body(motion: Motion, *, person: str) -> str:
    parts = []
    if motion.height:
        parts.append(_HEIGHTS[motion.height])
    if motion.leans:
        parts.append("the trunk leans over")
    if motion.legs == "walk" or not parts:
        parts.append(_LEGS[motion.legs].format(who=person))
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _hands(motion: Motion, *, whose: str) -> str:
    if motion.hands is None:
        return f"{whose} hands hardly move"
    several = motion.hands == "both"
    subject = f"{whose} hands" if several else f"{whose} {motion.hands} hand"
    often = motion.swings >= 3
    repeated = f"back and forth about {_count(motion.swings)} times"
    if motion.place is None:
        direction = repeated if often else _TRAVELS.get(motion.travel or "", "a little")
        return f"{subject} {_verb('move', several)} {direction}"
    verb, direction, may_stay = _PLACES[motion.place]
    reached = f"{subject} {_verb(verb, several)} {direction}"
    if often:
        return f"{reached} and {_verb('move', several)} {repeated}"
    return f"{reached} and {_verb('stay', several)} there" if motion.stays and may_stay else reached


def _verb(base: str, several: bool) -> str:
    return base if several else {"go": "goes", "stretch": "stretches"}.get(base, f"{base}s")


def _count(number: int) -> str:
    words = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number - 3] if number <= 10 else str(number)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _distinctive_beginning(phrase: str) -> str:
    """Return the fewest first words of a phrase that no other action's phrase contains."""
    other_phrases = [f" {other.lower()} " for _, other in ACTION_PHRASES.values() if other != phrase]
    words = phrase.lower().split()
    beginnings = (" ".join(words[:count]) for count in range(1, len(words) + 1))
    return next(text for text in beginnings if not any(f" {text} " in other for other in other_phrases))


_SEARCH = {
    action: re.compile(rf"\b{re.escape(_distinctive_beginning(phrase))}\b")
    for action, (_, phrase) in ACTION_PHRASES.items()
}


def named_action(text: str) -> int | None:
    """Return the first action that a text names, or None.

    An action is named by as many first words of its phrase in `ACTION_PHRASES` as distinguish it from all others:
    "throwing" is enough for throwing an object, but "shaking" is not for shaking hands.

    >>> named_action("In the video, somebody is Drinking  water."), named_action("A person drinks.")
    (1, None)
    """
    plain = " ".join(text.lower().split())
    matches = [(match.start(), action) for action, search in _SEARCH.items() if (match := search.search(plain))]
    return min(matches)[1] if matches else None
