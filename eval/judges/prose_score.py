"""Reading of a score from prose, where most numbers are something else: counts, scales, hypothetical scores.

A text asserts a score in the forms that judges use: the number alone, `Score: 4`, a sentence such as "The score is 4.",
`4/5` at the beginning, "I give it 4/5." or "I give it a score of 4.". Every other mention of a score makes the whole
text doubtful ("A score of 5 would need the sofa", "2 out of 5 events"), as does a scale other than 0 to 5.
All patterns take time in proportion to the text, because repetitions are bounded or possessive.
"""

import re
from typing import Final

from eval.metrics import METRICS

FIVE: Final = 5.0
# "on a scale from 0 to 5", "(0-5)", "(out of 5)": nothing about the caption
SCALE: Final = re.compile(
    r"(?:\bon\s++)?(?:\b(?:a|the)\s++)?(?:\bscale\s++)?(?:\b(?:from|between|of)\s++)?"
    r"\(?(?:\b(?:from|between)\s++)?\b0\s*+(?:-|–|to|and)\s*+5\b\)?(?:\s++scale\b)?|\(\s*+out\s++of\s++5\s*+\)",
    re.IGNORECASE,
)
# A number that continues, as a range, a list, a share or a tolerance, is not one number.
_ONE_NUMBER = r"(?![^\W_]|[%+±]|[.,_][0-9]|\s*+(?:-|–|—|~|,|\+|\*|\.\.+|to\b|or\b|and\b)\s*+[0-9])"
NUMBER: Final = rf"(-?[0-9]++(?:\.[0-9]++)?){_ONE_NUMBER}"
_M = r"([0-9]++(?:\.[0-9]++)?)(?![\w%])"
OF: Final = rf"(?:\s*+\(?(?:/|out\s++of\b|of\b)\s*+{_M}\)?)?"
_MARKS = r"""[\s"'*_`\\“”]*+"""
# {'score': 4.8}, Score = 4/5, **Rating:** 4, "the score is 4 out of 5", "a score of 4"
_NAMED = re.compile(rf"(?<![\w-])(?:score|rating){_MARKS}(?:(:|=)|(is|of)\b|){_MARKS}[:=]?{_MARKS}{NUMBER}{OF}", re.I)
_FRACTION = re.compile(rf"(?<![\w.,-]){NUMBER}\s*+(?:/|out\s++of)\s*+{_M}", re.IGNORECASE)
_GRADING = re.compile(
    r"\b(?:i|we)(?:['’](?:d|ll)|\s++would|\s++will)?\s++(?:give|rate|grade|assign|award)\s++"
    r"(?:(?:it|this|the|a|an|prediction|caption|answer|description|score|rating|of|as|at|with)\s++){0,6}(?=[0-9])",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"""[\s"'*_`{{}}\[\]]*+{NUMBER}[\s"'*_`{{}}\[\].]*+""")
_OTHER_SCALE = re.compile(
    r"\bout_of|\bscale|\bmax|\b(?:ten|hundred)\b|(?<![\w.,])100?(?!\w|[.,][0-9]|\s*+%)|(?:/|\bof)\s*+(?:[6-9]|[0-9]{2})",
    re.IGNORECASE,
)
# A valid score is followed by no further words of its sentence, and by no condition.
_CONTINUES = re.compile(
    r"""[ \t"'*_`]*+(?:[^\W\d_]|/|[,;(–—-][ \t]*+(?:but\s++)?(?:if|only|unless|when|were|would)\b)"""
)
_SENTENCE_ENDS = re.compile(r"""["'*_`)\]}]*+(?:[.!]["'*_`)\]}]*+(?=\s|\Z)|[ \t]*+(?=\n|\Z))""")
_CONTEXT = 80  # characters before a score that are examined
# Words that may stand before "score". Others make it a different one (BLEU, maximum, previous) or a condition.
_BEFORE_SCORE = {
    "the",
    "my",
    "our",
    "your",
    "its",
    "a",
    "and",
    "so",
    "thus",
    "therefore",
    "hence",
    "final",
    "overall",
    "total",
    *METRICS,
}


def prose_scores(text: str) -> set[float | None]:
    """Return the scores that a text asserts, with None for a doubtful one.

    >>> prose_scores("The score is 4."), prose_scores("A score of 5 would need the sofa."), prose_scores("3 people")
    ({4.0}, {None}, set())
    """
    text = SCALE.sub(" ", text)
    if alone := _ALONE.fullmatch(text):
        return {float(alone[1])}
    grading_ends = {match.end() for match in _GRADING.finditer(text) if not _sentence(text, match.start())}
    scores = {_named(text, match, grading_ends) for match in _NAMED.finditer(text)}
    scores = scores or {_fraction(text, match, grading_ends) for match in _FRACTION.finditer(text)}
    return scores | {None} if scores and _OTHER_SCALE.search(text) else scores


def _named(text: str, match: re.Match[str], grading_ends: set[int]) -> float | None:
    sign, verb, number, scale = match.groups()
    before = _sentence(text, match.start())
    if sign:  # `Score: 4`; only the word before it can make it another score
        is_valid = not before or text[match.start() - 1] not in " \t" or before[-1] in _BEFORE_SCORE
        is_valid = is_valid and not _CONTINUES.match(text, match.end())
    elif verb and verb.lower() == "of":
        is_valid = match.start(3) in grading_ends and not _CONTINUES.match(text, match.end())
    else:
        is_valid = _BEFORE_SCORE.issuperset(before) and _SENTENCE_ENDS.match(text, match.end()) is not None
    return float(number) if is_valid and float(scale or FIVE) == FIVE else None


def _fraction(text: str, match: re.Match[str], grading_ends: set[int]) -> float | None:
    is_first = not any(map(str.isalnum, text[: match.start()])) if match.start() < _CONTEXT else False
    is_valid = (is_first or match.start() in grading_ends) and not _CONTINUES.match(text, match.end())
    return float(match[1]) if is_valid and float(match[2]) == FIVE else None


def _sentence(text: str, end: int) -> list[str]:
    """Return the last words, in lower case, of the sentence or line that ends at `end`."""
    *_, last = re.split(r"[.!?\n]", text[max(0, end - _CONTEXT) : end])
    return re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", last.lower())
