"""Marks that judges put around a score, replaced by the plain words that `prose_score` reads.

MT-bench's `[[4]]`, mathematics' `\\boxed{4}`, Prometheus' `[RESULT] 4`, tags such as `<score>4</score>`, GLM's box, and
end-of-turn tokens in the text. A mark alone on its line names the score. Within a sentence it is removed, and the
sentence says what the number is.
"""

import re

from eval.judges.prose_score import NUMBER, OF

_END_OF_TURN = re.compile(r"(?:<\|[a-z_]{1,30}\|>|</s>|<end_of_turn>|<eos>)\s{0,9}\Z", re.IGNORECASE)
_ANSWER = re.compile(r"</?(?:answer|response|output|final|final_answer)>", re.IGNORECASE)
_STYLE = re.compile(r"\\(?:text|textbf|mathrm|mathbf|bf|rm)\{([^{}]{0,100})\}")
_BOX = re.compile(r"(?:(?:\$\$?|\\[(\[])\s{0,9})?\\boxed\{([^{}]{0,100})\}(?:\s{0,9}(?:\$\$?|\\[)\]]))?")
_SCORED = rf"\s*{NUMBER}{OF}\s*"
_DOUBLE = re.compile(rf"\[\[({_SCORED})\]\]")
_GLM = re.compile(r"<\|begin_of_box\|>(.{0,100}?)<\|end_of_box\|>", re.DOTALL)
_TAG = re.compile(rf"<(score|rating|grade|result|final_score)>({_SCORED})</\1>", re.IGNORECASE)
_LABEL = r"(?:(?:final|overall|my)\s)?(?:score|rating|grade|verdict)|final\sanswer"
_BRACKETED = rf"\[{{1,2}}(?:{_LABEL}|(?:final\s)?result)\]{{1,2}}"
_AT_END = re.compile(rf"(?<=[.!?])[ \t]+(?={_BRACKETED}[\s*_:]{{0,9}}{NUMBER}{OF}\s*\Z)", re.IGNORECASE)
# `[RESULT] 4`, `Final verdict: [[4]]`, `**Grade:** 4` and a marked number: nothing else may be on the line.
_ALONE = re.compile(
    rf"""^[ \t>#*_`"']*+(?:{_BRACKETED}[ \t*_:]*+|(?:{_LABEL})[ \t*_`]*+[:=][ \t*_`]*+)?"""
    rf"""\ufdd0?({NUMBER}{OF})[ \t*_`"'.]*+$""",
    re.IGNORECASE | re.MULTILINE,
)
_MARKED = "\ufdd0"  # a character that no text has: a mark stood here


def plain_marks(text: str) -> str:
    """Return the text with each mark of a score turned into plain words.

    >>> plain_marks("Good.\\n\\n[[4]]"), plain_marks("The final score is \\\\boxed{4}.")
    ('Good.\\n\\nScore: 4', 'The final score is 4.')
    """
    text = _GLM.sub(rf"{_MARKED}\1", text.replace(_MARKED, " "))
    text = _ANSWER.sub("\n", _without_ends(text))
    if not any(sign in text for sign in (_MARKED, "[", "\\", "<", ":", "=")):
        return text.strip()
    text = _STYLE.sub(r"\1", text)
    for mark in (_BOX, _DOUBLE):
        text = mark.sub(lambda match: _MARKED + match[1].strip(), text)
    text = _TAG.sub(lambda match: f"\n{_MARKED}{match[2].strip()}\n", text)
    return _ALONE.sub(_score_line, _AT_END.sub("\n", text)).replace(_MARKED, "").strip()


def _without_ends(text: str) -> str:
    """Return the text without end-of-turn tokens after it."""
    end = len(text)
    while mark := _END_OF_TURN.search(text, max(0, end - 50), end):
        end = mark.start()
    return text[:end]


def _score_line(match: re.Match[str]) -> str:
    """Return the line of a lone number, named as a score if it has a mark or a label."""
    bare = match[0].strip("\t >#*_`\"'.")
    return match[0] if bare == match[1] else f"Score: {match[1]}"
