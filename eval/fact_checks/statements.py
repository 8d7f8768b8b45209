"""The statements of a caption about a clip, right or wrong by the facts, and what it does not name."""

from typing import NamedTuple

from data_curation.fact_texts.clip_facts import ClipFacts
from data_curation.fact_texts.vocabulary import vocabulary
from eval.fact_checks.actions import Mention, mentions, order_of
from eval.fact_checks.persons import has_passers, told_number
from eval.fact_checks.scene import scene_statements
from eval.fact_checks.text import Token, tokens_of
from eval.fact_checks.things import ThingMention, is_colour, thing_mentions

KINDS = {
    "action": "right action",
    "count": "right number of persons",
    "object": "right thing at hand",
    "colour": "right colour of a thing",
    "order": "right order of two actions",
    "room": "right walls, floor and light",
    "surroundings": "right things around",
    "facing": "right direction of the person",
    "clothes": "right clothes and hair",
}
"""Kinds of statements, with the question that each answers."""
_ITEMS = ("action", "count", "object", "surroundings")
INVENTED = "invented"
"""The note of a thing, a person or an action that is not in the clip."""


class Statement(NamedTuple):
    """A statement of a caption. `note` says what is wrong: invented, not used, denied, or nothing."""

    kind: str
    text: str
    is_right: bool
    note: str = ""


class Reading(NamedTuple):
    """The statements of a caption, and the facts (kind and text) that it could name."""

    statements: tuple[Statement, ...]
    facts: tuple[tuple[str, str], ...]

    @property
    def not_named(self) -> tuple[tuple[str, str], ...]:
        """The facts that it does not speak of."""
        subjects = {(statement.kind, statement.text) for statement in self.statements}
        return tuple(fact for fact in self.facts if fact not in subjects)

    @property
    def named_items(self) -> int:
        """The number of actions, things and groups of persons that it says to be there."""
        return sum(s.kind in _ITEMS and s.note != "denied" for s in self.statements)

    @property
    def invented_items(self) -> int:
        """The number of these that are not in the clip."""
        return sum(statement.note == INVENTED for statement in self.statements)


def read_caption(caption: str, facts: ClipFacts) -> Reading:
    """Compare a caption with the facts of its clip. What it says twice counts once."""
    tokens = tokens_of(caption)
    actions = mentions(tokens)
    things = thing_mentions(tokens, actions)
    statements = [
        *_action_statements(actions, facts),
        *_count_statements(tokens, facts),
        *_order_statements(actions, tokens, facts),
        *_thing_statements(things, facts),
        *(Statement(kind, text, is_right) for kind, text, is_right in scene_statements(tokens, facts)),
    ]
    if has_passers(tokens):
        is_there = facts.passers_by > 0
        statements.append(Statement("surroundings", "somebody who passes", is_there, "" if is_there else INVENTED))
    return Reading(tuple(dict.fromkeys(statements)), tuple(facts_to_name(facts, things)))


def facts_to_name(facts: ClipFacts, things: list[ThingMention]) -> list[tuple[str, str]]:
    """Return the facts that a caption may name, by kind. Colours are asked only of things that it names."""
    named_kinds = {mention.kind for mention in things}
    items = [("action", f"A{number}") for number in facts.actions]
    items += [("count", "persons")]
    items += [("object", thing.kind) for thing in facts.handled]
    items += [("colour", thing.kind) for thing in facts.handled if thing.kind in named_kinds]
    items += [("order", "order")] if len(facts.actions) == 2 else []
    items += [("room", "walls"), ("room", "floor")]
    items += [("surroundings", kind) for kind in dict.fromkeys((*(t.kind for t in facts.lying), *facts.furniture))]
    items += [("facing", "facing")] if len(facts.persons) == 1 else []
    items += [("clothes", part) for part in ("shirt", "trousers", "hair")]
    return list(dict.fromkeys(items))


def _action_statements(actions: list[Mention], facts: ClipFacts) -> list[Statement]:
    present = {number for action in facts.actions for number in (action, *vocabulary().includes.get(action, ()))}
    statements = []
    for mention in actions:
        text, is_there = f"A{mention.action}", mention.action in present
        if mention.is_denied:
            # A denial of what is not there says nothing of interest.
            statements += [Statement("action", text, False, "denied")] if is_there else []
        elif is_there:
            statements += [Statement("action", text, True)] if mention.action in facts.actions else []
        else:
            statements.append(Statement("action", text, False, INVENTED))
    return statements


def _count_statements(tokens: tuple[Token, ...], facts: ClipFacts) -> list[Statement]:
    number, persons = told_number(tokens), len(facts.persons)
    if number is None:
        return []
    is_invented = number > persons + facts.passers_by
    return [Statement("count", "persons", number == persons, INVENTED if is_invented else "")]


def _order_statements(actions: list[Mention], tokens: tuple[Token, ...], facts: ClipFacts) -> list[Statement]:
    """Return the statement about the order, if there are two actions and both are named."""
    if len(facts.actions) != 2:
        return []
    first = {number: [m for m in actions if m.action == number and not m.is_denied] for number in facts.actions}
    if not all(first.values()):
        return []
    earlier, later = sorted((group[0] for group in first.values()), key=lambda mention: mention.start)
    return [Statement("order", "order", order_of(earlier, later, tokens) == facts.actions)]


def _thing_statements(things: list[ThingMention], facts: ClipFacts) -> list[Statement]:
    colours = {thing.kind: thing.colour for thing in (*facts.wrong_things, *facts.handled)}
    handled = {thing.kind for thing in facts.handled}
    statements: list[Statement] = []
    for mention in things:
        kind = _meant(mention.kind, facts)
        if mention.is_denied:
            statements += [Statement("object", kind, False, "denied")] if kind in handled else []
            continue
        if kind in handled:
            statements.append(Statement("object", kind, True))
        elif mention.is_handled:
            note = "not used" if kind in facts.kinds else INVENTED
            statements.append(Statement("object", kind, False, note))
        else:
            is_there = kind in facts.kinds
            statements.append(Statement("surroundings", kind, is_there, "" if is_there else INVENTED))
        if mention.colour and kind in colours:
            statements.append(Statement("colour", kind, is_colour(mention.colour, colours[kind])))
    return statements


def _meant(kind: str, facts: ClipFacts) -> str:
    """Return the kind that a name means in this clip: a desk may be called a table."""
    if kind in facts.kinds:
        return kind
    return next((other for other in vocabulary().also_named.get(kind, ()) if other in facts.kinds), kind)
