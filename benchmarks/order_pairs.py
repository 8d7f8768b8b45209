"""Pairs of predictions with a known order: the facts in other words, and a prediction with one fault.

The worse one is in the words of the better one, or in those of the reference. Words then speak for the worse one.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.order_captions import Event, Scene, brief, other_words, reference, scenes, second_answer
from benchmarks.order_words import CLOSE, GENERAL, INVENTIONS, OTHER_THINGS, PHRASES, PLACES
from data_curation.world.actions import ACTIONS
from eval.items.predictions import Task

Draw = random.Random
Texts = dict[str, str]
Fault = Callable[[Scene, Draw], Scene | None]
QUESTION = "Describe in detail what happens in the video."
QUESTIONS = ("What happens in the video, and who is there?", "Can you tell me what you see?")
LESS_DETAIL, GENERAL_REMARK = "less detail", "general remark"
_CLIPS_PER_PAIR = 20  # clips that are looked through at most for one with the right things


@dataclass(frozen=True)
class Pair:
    """Two predictions about one clip, of which `good` must get the higher grade by the metric.

    `is_near` says that `bad` is in the reference's words.
    """

    metric: str
    fault: str
    clip: str
    is_near: bool
    good: Texts
    bad: Texts

    def tasks(self) -> tuple[Task, Task]:
        """Return the two grades that a judge gives."""
        key = f"{self.clip}, {self.fault}{', near' if self.is_near else ''}"
        return Task(self.metric, f"{key}, good", self.good), Task(self.metric, f"{key}, bad", self.bad)


def _wrong_action(scene: Scene, draw: Draw) -> Scene:
    """Replace an action by any other of as many persons that is close to neither of the two."""
    return _with_event(scene, draw.randrange(2), _event(draw.choice(_far_actions(scene)), draw))


def _far_actions(scene: Scene) -> list[int]:
    numbers = {event.number for event in scene.events}
    alike = numbers | {CLOSE[number] for number in numbers} | {n for n, close in CLOSE.items() if close in numbers}
    persons = ACTIONS[scene.events[0].number].persons
    return [number for number, action in ACTIONS.items() if action.persons == persons and number not in alike]


def _close_action(scene: Scene, draw: Draw) -> Scene | None:
    place = draw.randrange(2)
    number = CLOSE[scene.events[place].number]
    if number in {event.number for event in scene.events}:
        return None
    thing = scene.events[place].thing
    return _with_event(scene, place, Event(number, thing) if thing else _event(number, draw))


def _wrong_object(scene: Scene, draw: Draw) -> Scene | None:
    places = [place for place, event in enumerate(scene.events) if event.thing and event.thing[1] in OTHER_THINGS]
    if not places:
        return None
    event = scene.events[place := draw.choice(places)]
    assert event.thing
    return _with_event(scene, place, replace(event, thing=(event.thing[0], OTHER_THINGS[event.thing[1]])))


def _wrong_count(scene: Scene, _: Draw) -> Scene:
    return replace(scene, persons=scene.persons + 2)


def _invention(scene: Scene, draw: Draw) -> Scene:
    return replace(scene, extra=draw.choice(INVENTIONS))


def _wrong_theme(scene: Scene, draw: Draw) -> Scene:
    return replace(scene, events=tuple(_event(number, draw) for number in draw.sample(_far_actions(scene), 2)))


def _wrong_place(scene: Scene, draw: Draw) -> Scene:
    return replace(scene, place=draw.choice(PLACES))


def _wrong_order(scene: Scene, _: Draw) -> Scene:
    return replace(scene, events=scene.events[::-1])


def _missing_action(scene: Scene, _: Draw) -> Scene:
    return replace(scene, events=scene.events[1:])


def _same(scene: Scene, _: Draw) -> Scene:
    """Return the scene as it is, for predictions that tell less of it."""
    return scene


def _with_event(scene: Scene, place: int, event: Event) -> Scene:
    events = list(scene.events)
    events[place] = event
    return replace(scene, events=tuple(events))


def _event(number: int, draw: Draw) -> Event:
    """Return an action with a thing that its words can name."""
    if "{thing}" not in PHRASES[number][0]:
        return Event(number)
    thing = "cup" if number == 1 else "book" if number == 11 else draw.choice(("ball", "box"))
    return Event(number, ("", thing))


FAULTS: Final[dict[str, dict[str, Fault]]] = {
    "correctness": {
        "wrong action": _wrong_action,
        "close action": _close_action,
        "wrong object": _wrong_object,
        "wrong count": _wrong_count,
        "invented thing": _invention,
    },
    "detail": {LESS_DETAIL: _same, GENERAL_REMARK: _same},
    "context": {"wrong theme": _wrong_theme, "wrong place": _wrong_place},
    "temporal": {"wrong order": _wrong_order, "missing action": _missing_action},
    "consistency": {
        "contradiction in action": _wrong_action,
        "contradiction in object": _wrong_object,
        "contradiction in count": _wrong_count,
    },
}


def pairs(metric: str, count: int, *, seed: int) -> list[Pair]:
    """Return pairs of a metric, evenly over its faults and over both kinds of words, each about another clip."""
    faults = list(FAULTS[metric])
    texts = _consistency if metric == "consistency" else _prediction
    result: list[Pair] = []
    for scene in scenes(_CLIPS_PER_PAIR * count + len(ACTIONS), seed=seed):
        turn, place = divmod(len(result), len(faults))
        fault, is_near = faults[place], turn % 2 == 1
        draw = random.Random(f"{seed} {metric} {fault} {scene.clip}")
        worse = FAULTS[metric][fault](scene, draw)
        if worse is None:  # a clip without the thing that would be wrong
            continue
        result.append(Pair(metric, fault, scene.clip, is_near, *texts(scene, worse, fault, draw, is_near=is_near)))
        if len(result) == count:
            break
    return result


def _prediction(scene: Scene, worse: Scene, fault: str, draw: Draw, *, is_near: bool) -> tuple[Texts, Texts]:
    common = {"Q": QUESTION, "A": reference(scene)}
    if fault == LESS_DETAIL:
        prediction = brief(worse, is_reference=is_near)
    elif fault == GENERAL_REMARK:
        prediction = draw.choice(GENERAL)
    else:
        prediction = reference(worse) if is_near else other_words(worse)
    return common | {"pred": other_words(scene)}, common | {"pred": prediction}


def _consistency(scene: Scene, worse: Scene, fault: str, draw: Draw, *, is_near: bool) -> tuple[Texts, Texts]:
    common = {"Q1": QUESTIONS[0], "Q2": QUESTIONS[1], "A": reference(scene)}
    good = {"pred1": other_words(scene), "pred2": second_answer(scene, is_reference=not is_near)}
    first = reference(scene) if is_near else other_words(scene)
    return common | good, common | {"pred1": first, "pred2": second_answer(worse, is_reference=True)}
