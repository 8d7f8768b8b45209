"""Published score files: `{key: [{"score": n}, {"q", "a", "pred"}]}`, where key is VIDEO_k.

Scores may be text ("4"). Anything but a number from 0 to 5 is unscored and counted. Decimals are kept.
Deviation: the published evaluation cuts decimals to whole numbers.
"""

from pathlib import Path
from typing import Any

from eval.items.predictions import video_of
from eval.judges.grade_file import is_score
from eval.results.aggregate import Graded
from eval.results.score_json import GradesError, read_json

_EXPECTED = '{"VIDEO_0": [{"score": 4}, {"q": ..., "a": ..., "pred": ...}], ...}'


def read_score_file(path: Path) -> list[Graded]:
    """Return the items of a published score file, in its order.

    Raises:
        GradesError: it is no such file.
    """
    content = read_json(path, expected=_EXPECTED)
    if not isinstance(content, dict) or not content:
        raise GradesError(f"{path} holds {content!r:.60}; expected {_EXPECTED}")
    if not any(_holds_score(entry) for entry in content.values()):
        raise GradesError(f"{path}: none of the {len(content)} entries holds a score; expected {_EXPECTED}")
    return [_graded(key, entry) for key, entry in content.items()]


def _holds_score(entry: Any) -> bool:  # noqa: ANN401
    return "score" in _first(entry)


def _first(entry: Any) -> dict[str, Any]:  # noqa: ANN401
    first = entry[0] if isinstance(entry, list) and entry else entry
    return first if isinstance(first, dict) else {}


def _graded(key: str, entry: Any) -> Graded:  # noqa: ANN401
    first = _first(entry)
    if "score" not in first:
        return Graded(video_of(key), (None,), "no score in the file")
    score = read_score(first["score"])
    return Graded(video_of(key), (score,), None if score is not None else "no number from 0 to 5")


def read_score(value: Any) -> float | None:  # noqa: ANN401
    """Return a score from 0 to 5, also from text, or None for anything else.

    >>> [read_score(v) for v in (4, "4", " 4.5 ", "4/5", 6, True, None)]
    [4.0, 4.0, 4.5, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if is_score(score) else None
