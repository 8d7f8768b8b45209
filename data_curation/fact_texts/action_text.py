"""Sentences about actions: who does what, with which things, and how the parts of the body move."""

from collections.abc import Sequence

from data_curation.fact_texts.clip_facts import ClipFacts, Part, Thing
from data_curation.fact_texts.vocabulary import part_words, vocabulary
from data_curation.fact_texts.wording import Wording, listed, sentence, with_article
from data_curation.world.actions import ACTIONS
from data_curation.world.facts import DATA_SET
from data_curation.world.grammar import steps
from ski_lvlm.datasets.catalogue import open_data_set

_OPENINGS = (
    "{who} {be} {doing}",
    "the video shows {who} {doing}",
    "{who} can be seen {doing}",
    "here, {who} {be} {doing}",
)
_TWO = (
    "first, {first}, then {second}",
    "{first}, and then {second}",
    "{first} before {second}",
    "before {second}, {first}",
)
_SILENT = ("stay", "take", "put", "release")
"""Parts that do not move the body, or that the sentence about things tells."""
_WITH_THINGS = ("with", "set", "take", "put", "release")
_LINKS = ("then", "next", "now", "afterwards")


def action_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence that names the actions in order of time."""
    clauses = [_clause(facts, place, wording) for place in range(len(facts.actions))]
    if len(clauses) == 1:
        subject, be, doing = clauses[0]
        return sentence(wording.pick("opening", _OPENINGS).format(who=subject, be=be, doing=doing))
    texts = [" ".join(clause) for clause in clauses]
    if len(texts) > 2:
        return sentence(f"first, {', then '.join(texts)}")
    form = wording.pick("order", _TWO)
    is_reversed = form.index("{second}") < form.index("{first}")
    first, second = (_the(texts[0]), texts[1]) if is_reversed else (texts[0], _the(texts[1]))
    return sentence(form.format(first=first, second=second))


def _the(clause: str) -> str:
    """Return a clause about somebody who has been named before."""
    for indefinite, definite in (("a person ", "the person "), ("somebody ", "the person "), ("two people ", "they ")):
        if clause.startswith(indefinite):
            return definite + clause.removeprefix(indefinite)
    return clause


def _clause(facts: ClipFacts, place: int, wording: Wording) -> tuple[str, str, str]:
    """Return who, is or are, and what they are doing."""
    number = facts.actions[place]
    action = open_data_set(DATA_SET).description.class_named(f"A{number}")
    doing = action_phrase(facts, place, wording)
    if len(facts.persons) == 1:
        return wording.pick("who", ("a person", "somebody")), "is", doing
    if action.actors == "toward":
        return "one person", "is", doing
    return "two people", "are", doing


def action_phrase(facts: ClipFacts, place: int, wording: Wording) -> str:
    """Return what is done in the action with this place in the order, such as "throwing a red ball"."""
    phrase = wording.pick(f"phrase {place}", vocabulary().phrases[facts.actions[place]])
    return phrase.format(thing=_main_thing(facts, facts.actions[place]))


def _main_thing(facts: ClipFacts, number: int) -> str:
    """Return the thing that an action is about, or the usual one or "something", if it is not known."""
    needs, usual = things_of_action(number), vocabulary().usual_things.get(number, "something")
    return next((thing_phrase(thing) for thing in facts.things if thing.kind in needs), usual)


def things_of_action(number: int) -> frozenset[str]:
    """Return the kinds of things that the ways of an action need, without what persons sit on or stand at."""
    phrases = (phrase for way in ACTIONS[number].ways for step in steps(way) for phrase in step.phrases)
    kinds = {phrase.words[0] for phrase in phrases if phrase.verb in _WITH_THINGS}
    return frozenset(kinds - {"chair", "table", "desk"})


def thing_phrase(thing: Thing) -> str:
    """Return a thing with its colour.

    >>> thing_phrase(Thing("cup", "red")), thing_phrase(Thing("paper", "white"))
    ('a red cup', 'a sheet of white paper')
    """
    colour = vocabulary().colours.get(thing.colour, (thing.colour,))[0]
    if form := vocabulary().thing_phrases.get(thing.kind):
        return form.format(colour=colour)
    return with_article(f"{colour} {vocabulary().things.get(thing.kind, (thing.kind,))[0]}")


def things_sentence(facts: ClipFacts, wording: Wording) -> str:
    """Return a sentence or two about the things at hand, empty where there are none."""
    subject = "the person" if len(facts.persons) == 1 else "one person"
    sentences = []
    if facts.things:
        forms = ["{who} uses {things}", "{who} handles {things}", "{things} {be} used"]
        if len(facts.persons) > 1:
            forms = ["{things} {be} used", "they use {things}"]
        things = listed([thing_phrase(thing) for thing in facts.things])
        be = "is" if len(facts.things) == 1 else "are"
        sentences.append(sentence(wording.pick("use", forms).format(who=subject, things=things, be=be)))
    if facts.held_thing:
        thing, hand = facts.held_thing
        idle = wording.pick("idle", ("all the time", "without need", "meanwhile"))
        sentences.append(sentence(f"{subject} holds {thing_phrase(thing)} in the {hand} hand {idle}"))
    return " ".join(sentences)


def motion_sentences(facts: ClipFacts, wording: Wording, *, maximum: int, place: int = 0) -> list[str]:
    """Return at most so many sentences about the motion of an action, in words of parts of the body."""
    groups: dict[tuple[float, str], list[Part]] = {}
    for part in facts.parts_of(place):
        if part.name.split()[0] not in _SILENT:
            groups.setdefault((part.start, part.name), []).append(part)
    spread = list(groups.values())
    selection = [spread[k * len(spread) // maximum] for k in range(maximum)] if len(spread) > maximum else spread
    texts = [_motion(parts, wording, num_persons=len(facts.persons)) for parts in selection]
    links = [wording.pick(f"link {place} {number}", _LINKS) for number in range(len(texts))]
    return [sentence(text if number == 0 else f"{links[number]} {text}") for number, text in enumerate(texts)]


def _motion(parts: Sequence[Part], wording: Wording, *, num_persons: int) -> str:
    """Return what a part of one person's body does, or of both persons' if they do the same."""
    words, name = part_words(), parts[0].name.split()
    whose = "each person's" if len(parts) > 1 else ("one person's", "the other person's")[parts[0].person - 1]
    owner = "the" if num_persons == 1 else whose
    if name[0] in ("bring", "thrust", "wind", "swing", "stroke"):
        is_both = name[1] == "both"
        key, place = (f"stroke {name[2]}", "") if name[0] == "stroke" else (name[0], words.places[" ".join(name[2:])])
        forms = [both if is_both else one for one, both in words.hands[key]]
        verb = wording.pick(f"verb {parts[0].start}", forms).format(where=place)
        if is_both:
            return f"{'both' if num_persons == 1 else owner} hands {verb}"
        hand = "hand" if len({part.hand for part in parts}) > 1 else f"{parts[0].hand} hand".strip()
        return f"{owner} {hand} {verb}"
    body, move = words.body[" ".join(name[:2])]
    return f"{owner} {body} {move}"
