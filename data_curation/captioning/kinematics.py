"""The offline captioner: an action's name and the measured motion, in one to three English sentences.

It uses no picture. The first sentence names the action, in words that `action_finder` finds again. The others describe
the movement of the body, where there are joints to measure. The same clip always gets the same caption.
"""

import numpy as np

from data_curation.captioning.action_names import action_sentence
from data_curation.captioning.key_joints import KeyJoints
from data_curation.captioning.measured_motion import Meeting, Motion, measure, measure_meeting
from ski_lvlm.datasets.action_classes import ActionClass

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


def caption(name: str, *, action: ActionClass, joints: KeyJoints | None) -> str:
    """Describe a clip from its action and its cleaned skeleton in metres (NaN: absent), if it has one.

    Raises:
        ValueError: nobody in the skeleton.
    """
    sentences = [action_sentence(name, action=action)]
    if joints is not None:
        sentences.append(measured_sentences(name, joints=joints))
    return " ".join(filter(None, sentences))


def measured_sentences(name: str, *, joints: KeyJoints) -> str:
    """Describe the motion of a cleaned skeleton (metres, NaN: absent), without naming the action.

    A frame without one of a person's key joints is not measured. The text is empty where that leaves nobody.

    Raises:
        ValueError: nobody in the skeleton.
    """
    if not (np.isfinite(joints).any(axis=(2, 3)).sum(axis=0) >= 2).any():
        raise ValueError(f"{name}: nobody is in the skeleton for two frames; remove the clip")
    present = [m for m in range(joints.shape[1]) if np.isfinite(joints[:, m]).all(axis=(1, 2)).sum() >= 2]
    if not present:
        return ""
    motions = [measure(joints[:, m]) for m in present]
    busiest = max(motions, key=lambda motion: motion.amount)
    meeting = measure_meeting(joints[:, present[:2]]) if len(present) > 1 else None
    return " ".join(motion_sentences(busiest, meeting=meeting))


def motion_sentences(motion: Motion, *, meeting: Meeting | None = None) -> list[str]:
    """Return a sentence on the person who moved most, and one on the two people if there are two."""
    person = "one person" if meeting else "the person"
    owner, body = f"{person}'s" if meeting else "the", _body(motion, person=person)
    if motion.legs == "walk" and motion.place is None:  # the arms only swing along
        sentences = [_sentence(f"{body}.")]
    else:
        sentences = [_sentence(f"{_hands(motion, whose=owner)}{f'; {body}' if body else ''}.")]
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
    if motion.legs == "walk" or (motion.legs and not parts):
        parts.append(_LEGS[motion.legs].format(who=person))
    if not parts:
        return ""
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
