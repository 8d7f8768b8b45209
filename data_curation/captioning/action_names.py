"""Sentences that name an action, and the search for the actions that a text names."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from data_curation.choice import choose
from ski_lvlm.datasets.action_classes import ActionClass

_ACTORS: Final = {"one": ("a person", "is"), "toward": ("one person", "is"), "both": ("two people", "are")}
_OPENINGS: Final = (
    "{subject} {be} {phrase}.",
    "The video shows {subject} {phrase}.",
    "In this video, {subject} {be} {phrase}.",
)


def action_sentence(name: str, *, action: ActionClass) -> str:
    """Return a sentence that names a clip's action. With a phrase, its form varies with the clip's name.

    Without a phrase it is the first of the class's own sentences, or the plain sentence.

    >>> action_sentence("S001C001P001R001A058", action=ActionClass("handshaking", "A58", actors="both",
    ...     phrase="shaking hands"))
    'In this video, two people are shaking hands.'
    """
    if not action.phrase:
        return _own_sentence(action)
    return _with_phrase(choose(_OPENINGS, key=f"opening {name}"), action)


def usual_sentence(action: ActionClass) -> str:
    """Return the sentence that names a class, whatever the clip.

    >>> usual_sentence(ActionClass("swipe left", "1"))
    'The action is "swipe left".'
    """
    return _with_phrase(_OPENINGS[0], action) if action.phrase else _own_sentence(action)


def _with_phrase(form: str, action: ActionClass) -> str:
    subject, be = _ACTORS[action.actors or ("both" if action.persons == 2 else "one")]
    text = form.format(subject=subject, be=be, phrase=action.phrase)
    return text[0].upper() + text[1:]


def _own_sentence(action: ActionClass) -> str:
    sentence = action.sentences[0].strip() if action.sentences else f'The action is "{action.name}".'
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


def action_finder(classes: Sequence[ActionClass]) -> Callable[[str], str | None]:
    """Return a function that finds the first class that a text names, or None.

    A class with a phrase is named by as many first words of it as distinguish it from all others: "throwing" is enough
    for throwing an object, but "shaking" is not for shaking hands. Any other class is named by its name or its own
    sentence. Where two begin at one place, the longer one counts.

    >>> find = action_finder([ActionClass("drink", "1", phrase="drinking water"), ActionClass("sit", "2")])
    >>> find("In the video, somebody is Drinking  water."), find('The action is "Sit".'), find("A person drinks.")
    ('drink', 'sit', None)
    """
    phrases = [action.phrase for action in classes if action.phrase]
    patterns = [(action.name, _search(_spellings(action, phrases))) for action in classes]

    def find(text: str) -> str | None:
        plain = _plain(text)
        matches = [(match.start(), -match.end(), name) for name, search in patterns if (match := search.search(plain))]
        return min(matches)[2] if matches else None

    return find


def _spellings(action: ActionClass, phrases: Sequence[str]) -> list[str]:
    if action.phrase:
        return [_distinctive_beginning(action.phrase, phrases)]
    return [_own_sentence(action).rstrip(".!?"), action.name]


def _search(spellings: Sequence[str]) -> re.Pattern[str]:
    longest_first = sorted(map(_plain, spellings), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")


def _distinctive_beginning(phrase: str, phrases: Sequence[str]) -> str:
    """Return the fewest first words of a phrase that no other phrase contains, or all of them."""
    other_phrases = [f" {_plain(other)} " for other in phrases if other != phrase]
    words = _plain(phrase).split()
    beginnings = (" ".join(words[:count]) for count in range(1, len(words) + 1))
    return next((text for text in beginnings if not any(f" {text} " in other for other in other_phrases)), phrase)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
