"""Captions from facts, in three styles.

action   names the actions and tells the motion in words of parts of the body, as pairs from NTU RGB+D do
scene    tells room, light, furniture, clothes, number and direction of persons, and no action
dense    tells both, with the order of actions, as descriptions of Charades do
"""

from collections.abc import Callable
from typing import Final

from data_curation.fact_texts import action_text, scene_text
from data_curation.fact_texts.clip_facts import ClipFacts
from data_curation.fact_texts.wording import Wording

_MOTIONS = 4
"""Sentences about the motion of a caption of one action."""
_MOTIONS_DENSE = 1


def caption(facts: ClipFacts, about: str, *, seed: int) -> str:
    """Return the caption of a clip in a style. The wording varies with the seed and the clip.

    Raises:
        ValueError: there is no such style.
    """
    if about not in STYLES:
        raise ValueError(f"found the style {about!r}, expected one of {', '.join(STYLES)}; change --facts_about")
    return STYLES[about](facts, Wording(seed, about, facts.clip))


def styles(text: str) -> tuple[str, ...]:
    """Read styles, separated by commas.

    >>> styles("scene, dense")
    ('scene', 'dense')

    Raises:
        ValueError: an unknown style, or none.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or not set(names) <= set(STYLES):
        raise ValueError(f"--facts_about is {text!r}; expected some of {','.join(STYLES)}")
    return names


def _action(facts: ClipFacts, wording: Wording) -> str:
    sentences = [action_text.action_sentence(facts, wording)]
    for place in range(len(facts.actions)):
        maximum = max(1, _MOTIONS // len(facts.actions))
        sentences += action_text.motion_sentences(facts, wording, maximum=maximum, place=place)
    return " ".join(sentences)


def _scene(facts: ClipFacts, wording: Wording) -> str:
    return _joined(
        scene_text.room_sentence(facts, wording),
        scene_text.furniture_sentence(facts, wording),
        scene_text.lying_sentence(facts, wording),
        scene_text.count_sentence(facts, wording),
        scene_text.clothes_sentence(facts, wording),
        scene_text.facing_sentence(facts, wording),
        scene_text.passers_sentence(facts),
    )


def _dense(facts: ClipFacts, wording: Wording) -> str:
    doing = [action_text.action_sentence(facts, wording), action_text.things_sentence(facts, wording)]
    for place in range(len(facts.actions)):
        doing += action_text.motion_sentences(facts, wording, maximum=_MOTIONS_DENSE, place=place)
    room = [scene_text.room_sentence(facts, wording), scene_text.lying_sentence(facts, wording)]
    looks = [scene_text.clothes_sentence(facts, wording), scene_text.facing_sentence(facts, wording)]
    is_scene_first = wording.chance("scene first", 0.5)
    return _joined(*(room + doing + looks if is_scene_first else doing + looks + room))


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


STYLES: Final[dict[str, Callable[[ClipFacts, Wording], str]]] = {"action": _action, "scene": _scene, "dense": _dense}
