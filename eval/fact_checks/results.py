"""The results of eval/facts.py in its folder: one line a caption, the numbers, and a table to read."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from eval.fact_checks.grades import Graded, Record, summary, told_facts, verdicts
from eval.fact_checks.statements import KINDS
from eval.items.predictions import video_of
from eval.results.compare_runs import paired_difference
from ski_lvlm.recognition.intervals import grouped
from ski_lvlm.storage.files import atomic_path, read_jsonl, write_json
from ski_lvlm.storage.json_files import read_json

CAPTIONS, NUMBERS, TABLE = "captions.jsonl", "facts.json", "facts.md"
_FIELDS = ("key", "statements", "facts", "not_named", "named_items", "invented_items")


def write_results(out: Path, graded: Graded, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the three files, and return the content of facts.json."""
    import json

    out.mkdir(parents=True, exist_ok=True)
    result = {
        **about,
        "captions": len(graded.records),
        "clips": len({video_of(record["key"]) for record in graded.records}),
        "without_answer": graded.without_answer,
        "without_facts": len(graded.without_facts),
        "kinds": summary(graded.records),
    }
    with atomic_path(out / CAPTIONS) as temporary:
        temporary.write_text("".join(f"{json.dumps(record)}\n" for record in graded.records), encoding="utf-8")
    write_json(out / NUMBERS, result)
    with atomic_path(out / TABLE) as temporary:
        temporary.write_text(markdown(result), encoding="utf-8")
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of a run."""
    lines = [
        f"{result['captions']} captions of {result['clips']} clips, {result['without_answer']} without an answer, "
        f"{result['without_facts']} without facts.",
        "",
        "| kind | right, % | 95 % | right | wrong | not named | told, % | 95 % |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        row = result["kinds"][kind]
        cells = (percent(row["share"]), ends(row["interval"]), row["right"], row["wrong"], row["not_named"])
        lines.append(f"| {' | '.join(map(str, (kind, *cells, percent(row['told']), ends(row['told_interval']))))} |")
    row = result["kinds"]["invented"]
    share = f"{percent(row['share'])} % ({ends(row['interval'])})"
    lines += [
        "",
        f"Invented: {row['invented']} of {row['named']} named actions, things and counts of persons, {share}, in "
        f"{row['captions']} captions. Not used, though it lies about: {row['not_used']}.",
        "",
        "right: of what captions say. told: of all facts, so silence lowers it. 95 %: bootstrap over clips.",
    ]
    return "\n".join(lines) + "\n"


def percent(share: float | None) -> str:
    """Format a share.

    >>> percent(0.5), percent(None)
    ('50.0', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}"


def ends(interval: Sequence[float] | None) -> str:
    """Format an interval of shares in %."""
    return "–" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def read_results(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the content of a run's facts.json, and its captions.

    Raises:
        ValueError: the folder is not that of a run.
    """
    remedy = "expected the --out of eval/facts.py; run it again"
    for name in (NUMBERS, CAPTIONS):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: found no {name}; {remedy}")
    result, records = read_json(folder / NUMBERS), read_jsonl(folder / CAPTIONS)
    if not isinstance(result, dict) or not all(set(_FIELDS) <= set(record) for record in records):
        raise ValueError(f"{folder}: {NUMBERS} or {CAPTIONS} holds something else; {remedy}")
    return result, records


def compare(a: Path, b: Path) -> dict[str, Any]:
    """Return the paired differences b - a of each kind, in points of 100, over captions of the same clips.

    `right` is over captions of both runs that speak of the kind. `told` is over all.

    Raises:
        ValueError: a folder is not that of a run, or the runs are about other clips or facts.
    """
    (about_a, records_a), (about_b, records_b) = read_results(a), read_results(b)
    first, second = ({record["key"]: record for record in records} for records in (records_a, records_b))
    if about_a.get("facts_digest") != about_b.get("facts_digest"):
        raise ValueError(f"{a} and {b} were graded by different facts; grade both by one --facts")
    if set(first) != set(second):
        other = sorted(set(first) ^ set(second))
        raise ValueError(
            f"{a} and {b} are about other clips: {len(other)} in one of them alone, such as {other[0]}; grade the same"
        )
    kinds: dict[str, Any] = {}
    for kind in KINDS:
        kinds[kind] = {
            "right": _paired(first, second, kind, verdicts),
            "told": _paired(first, second, kind, told_facts),
        }
    shares = {key: (_invented_share(first[key]), _invented_share(second[key])) for key in first}
    kinds["invented"] = {"right": _difference({k: (x, y) for k, (x, y) in shares.items() if None not in (x, y)})}
    return {"a": str(a), "b": str(b), "captions": len(first), "kinds": kinds}


def _invented_share(record: Record) -> float | None:
    return record["invented_items"] / record["named_items"] if record["named_items"] else None


def _paired(first: Mapping[str, Record], second: Mapping[str, Record], kind: str, values: Any) -> dict[str, Any]:  # noqa: ANN401
    pairs = {key: (values(first[key], kind), values(second[key], kind)) for key in first}
    return _difference({key: (fmean(x), fmean(y)) for key, (x, y) in pairs.items() if x and y})


def _difference(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return the means of both runs in points of 100, and their difference with interval and p."""
    if not pairs:
        return {"pairs": 0}
    differences = grouped((video_of(key), y - x) for key, (x, y) in sorted(pairs.items()))
    means = {name: 100 * fmean(values) for name, values in zip("ab", zip(*pairs.values()))}
    return {"pairs": len(pairs), **means, **paired_difference([differences], scale=100.0)}
