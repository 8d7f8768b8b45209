"""Reading the score out of whatever a judge wrote, or nothing at all.

A score that is not beyond doubt is None, never 0: an unread reply says nothing about the caption. Decimals are kept as
they are (4.8 stays 4.8), also where whole numbers were asked for.
Deviation: the published evaluation cuts decimals to whole numbers.
"""

import re

# Some templates open the thought themselves, so that a reply may hold the closing tag alone.
_TAG = "(?:think|thinking|reasoning)"
_THOUGHT = re.compile(rf"<({_TAG})>.*?(?:</\1>|\Z)|\A(?:(?!<{_TAG}>).)*</{_TAG}>", re.DOTALL)
_SCALE = re.compile(r"\(?(?:from\s+|between\s+)?\b0\s*(?:-|–|to|and)\s*5\b\)?|\(\s*out\s+of\s+5\s*\)")
# A number that goes on, as a range, a list, a share or a tolerance, is not one number.
_ONE_NUMBER = r"(?![^\W_]|[%+±]|[.,_][0-9]|\s*(?:-|–|—|~|,|\.\.+|to\b|or\b|and\b)\s*[0-9])"
_NUMBER = rf"(-?[0-9]+(?:\.[0-9]+)?){_ONE_NUMBER}"
_OF = r"(?:\s*(?:/|out\s+of|of)\s*([0-9]+(?:\.[0-9]+)?))?"
# {"score": 4}, {''score': 4.8}, Score = 4/5, **Rating:** 4, "the score is 4 out of 5"
_NAMED = re.compile(
    rf"""(?<![a-z_])(?:score|rating)[\s"'*_`\\:=]*+(?:is|of)?[\s"'*_`\\:=]*+{_NUMBER}{_OF}""", re.IGNORECASE
)
_FRACTION = re.compile(rf"(?<![\w.,-]){_NUMBER}\s*(?:/|out\s+of)\s*([0-9]+(?:\.[0-9]+)?)(?![\w.])", re.IGNORECASE)
_ALONE = re.compile(rf"""[\s"'*_`{{}}\[\]]*{_NUMBER}[\s"'*_`{{}}\[\].]*""")
_UNFINISHED = re.compile(r"[0-9][.,]?\s*\Z")
_LONGEST = 20_000  # characters; beyond that it is no grade


def parse_score(reply: str, *, cut: bool = False) -> float | None:
    """The one score from 0 to 5 that a reply gives; None when there is none, two different ones, or one out of range.

    `cut` says that the reply ran into its limit: a number at its very end may not be whole.

    >>> parse_score('{"score": 4}'), parse_score("Score: 4.5/5"), parse_score("```json\\n3\\n```")
    (4.0, 4.5, 3.0)
    >>> parse_score("I cannot say."), parse_score("score: 45"), parse_score("score: 8/10"), parse_score("4? or 2?")
    (None, None, None, None)
    """
    if len(reply) > _LONGEST or (cut and _UNFINISHED.search(reply)):
        return None
    text = _SCALE.sub(" ", _THOUGHT.sub(" ", reply)).replace("```json", "```")
    found = [match.groups() for match in _NAMED.finditer(text)] or [
        match.groups() for match in _FRACTION.finditer(text)
    ]
    if not found and (alone := _ALONE.fullmatch(text)):
        found = [(alone[1], None)]
    scores = {float(number) for number, _ in found}
    if len(scores) != 1 or any(scale is not None and float(scale) != 5 for _, scale in found):
        return None
    score = scores.pop()
    return score if 0 <= score <= 5 else None
