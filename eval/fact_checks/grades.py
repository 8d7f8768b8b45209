"""Grades of a run's captions by exact facts: shares of right statements with intervals over clips."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from data_curation.fact_texts.clip_facts import ClipFacts
from eval.fact_checks.statements import KINDS, Reading, read_caption
from eval.items.predictions import video_of
from eval.items.records import Item
from ski_lvlm.recognition.intervals import grouped, mean_interval
from ski_lvlm.storage.clip_names import clip_name

Record = Mapping[str, Any]


class Graded(NamedTuple):
    """The records of all captions, and how many predictions had no answer or no facts."""

    records: list[dict[str, Any]]
    without_answer: int
    without_facts: tuple[str, ...]


def grade(predictions: Sequence[Item], facts: Mapping[str, ClipFacts], *, answer: str) -> Graded:
    """Compare each answer with the facts of its clip. A record has a key, the caption and what was found.

    Raises:
        ValueError: no prediction has an answer and facts.
    """
    records, without_answer, without_facts = [], 0, list[str]()
    occurrences: dict[str, int] = {}
    for item in predictions:
        clip = _clip(item["video_name"], facts)
        number = occurrences[clip] = occurrences.get(clip, -1) + 1
        if clip not in facts:
            without_facts.append(clip)
        elif item.get(answer) is None:
            without_answer += 1
        else:
            records.append(_record(f"{clip}_{number}", item[answer], read_caption(item[answer], facts[clip])))
    if not records:
        example = f", such as {without_facts[0]}" if without_facts else ""
        raise ValueError(
            f"no caption can be graded: found {len(predictions)} predictions, {without_answer} without {answer}, "
            f"{len(without_facts)} without facts{example}; give --facts of the same clips"
        )
    return Graded(records, without_answer, tuple(without_facts))


def _clip(video: str, facts: Mapping[str, ClipFacts]) -> str:
    name = clip_name(video)
    return video if video in facts else name


def _record(key: str, caption: str, reading: Reading) -> dict[str, Any]:
    return {
        "key": key,
        "caption": caption,
        "statements": [statement._asdict() for statement in reading.statements],
        "facts": [list(fact) for fact in reading.facts],
        "not_named": [list(fact) for fact in reading.not_named],
        "named_items": reading.named_items,
        "invented_items": reading.invented_items,
    }


def summary(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Return the numbers of each kind of statement, and of what is invented.

    `share` is that of right statements among those that captions make. A fact that a caption does not speak of counts
    in `not_named` alone. `told` is the share of facts that are rightly told, so it falls with silence.
    """
    rows = {kind: _row(records, kind) for kind in KINDS}
    return rows | {"invented": _invented(records)}


def _row(records: Sequence[Record], kind: str) -> dict[str, Any]:
    values = [(video_of(record["key"]), right) for record in records for right in verdicts(record, kind)]
    told_values = [(video_of(record["key"]), is_told) for record in records for is_told in told_facts(record, kind)]
    return {
        "share": _mean(right for _, right in values),
        "interval": mean_interval(grouped(values)),
        "right": int(sum(right for _, right in values)),
        "wrong": int(sum(not right for _, right in values)),
        "not_named": sum(fact[0] == kind for record in records for fact in record["not_named"]),
        "told": _mean(is_told for _, is_told in told_values),
        "told_interval": mean_interval(grouped(told_values)),
    }


def _invented(records: Sequence[Record]) -> dict[str, Any]:
    """Return the share of named actions, things and persons that are not in the clip."""
    items = [
        (video_of(record["key"]), float(number < record["invented_items"]))
        for record in records
        for number in range(record["named_items"])
    ]
    kinds = [s["kind"] for record in records for s in record["statements"] if s["note"] == "invented"]
    return {
        "share": _mean(is_invented for _, is_invented in items),
        "interval": mean_interval(grouped(items)),
        "invented": len(kinds),
        "named": len(items),
        "by_kind": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "not_used": sum(s["note"] == "not used" for record in records for s in record["statements"]),
        "captions": sum(record["invented_items"] > 0 for record in records),
    }


def verdicts(record: Record, kind: str) -> list[float]:
    """Return 1 for each right statement of a kind and 0 for each wrong one."""
    return [float(statement["is_right"]) for statement in record["statements"] if statement["kind"] == kind]


def told_facts(record: Record, kind: str) -> list[float]:
    """Return 1 for each fact of a kind that is rightly told, and 0 for each other one."""
    statements = [s for s in record["statements"] if s["kind"] == kind]
    right, wrong = ({s["text"] for s in statements if s["is_right"] == is_right} for is_right in (True, False))
    return [float(text in right - wrong) for fact_kind, text in record["facts"] if fact_kind == kind]


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else None
