"""Paired comparison of two runs on the same questions, or of a run with its text-only floor."""

from pathlib import Path
from statistics import fmean
from typing import Any

from eval.choosing.items import same_text
from eval.choosing.log import Record
from eval.choosing.methods import METHODS
from eval.choosing.results import CHOICES, TEXT_ONLY, read_results
from eval.results.compare_runs import paired_difference
from ski_lvlm.recognition.intervals import grouped

_SAME = ("video_name", "question", "options", "right")


def compare_choices(a: Path, b: Path) -> dict[str, Any]:
    """Return the accuracies of two runs and their difference b - a, by each method that both were measured by.

    Numbers are in points of 100. A question without an answer counts as wrong. Questions of one video stay together in
    the bootstrap and in the permutation test.

    Raises:
        ValueError: a run is not finished, or the two asked differently.
    """
    (about_a, entries_a), (about_b, entries_b) = read_results(a), read_results(b)
    _check_same(entries_a, entries_b, a, b)
    if about_a["choice_prompt"] != about_b["choice_prompt"]:
        raise ValueError(f"{a} and {b} ask in other words; expected one --prompt; run one of them again")
    common = _common_methods(about_a, about_b, a, b)
    kinds = [entry.get("kind", "") for entry in entries_a]
    by_kind = {}
    for kind in filter(None, dict.fromkeys(kinds)):
        groups = ([e for e, k in zip(entries, kinds, strict=True) if k == kind] for entries in (entries_a, entries_b))
        by_kind[kind] = _differences(*groups, methods=common)
    methods = _differences(entries_a, entries_b, methods=common)
    return {"a": str(a), "b": str(b), "items": len(entries_a), "methods": methods, "kinds": by_kind}


def _differences(entries_a: list[Record], entries_b: list[Record], *, methods: list[str]) -> dict[str, Any]:
    """Return the accuracies of both runs and their difference, by method."""
    videos = [entry["video_name"] for entry in entries_a]
    rows = {}
    for method in methods:
        shares = [[_share_right(entry, method) for entry in entries] for entries in (entries_a, entries_b)]
        differences = grouped((video, y - x) for video, x, y in zip(videos, *shares, strict=True))
        points = {name: 100 * fmean(values) for name, values in zip("ab", shares, strict=True)}
        rows[method] = points | paired_difference([differences], scale=100.0)
    return rows


def _common_methods(about_a: dict[str, Any], about_b: dict[str, Any], a: Path, b: Path) -> list[str]:
    common = [method for method in METHODS if method in about_a["methods"] and method in about_b["methods"]]
    if not common:
        raise ValueError(f"{a} and {b} have no way of choosing in common; expected one, such as the written answer")
    return common


def _check_same(entries_a: list[Record], entries_b: list[Record], a: Path, b: Path) -> None:
    remedy = "give both runs the same questions, --seed, --orders and --limit"
    if len(entries_a) != len(entries_b):
        raise ValueError(
            f"{a} has {len(entries_a)} questions and {b} has {len(entries_b)}, expected the same; {remedy}"
        )
    for number, (one, other) in enumerate(zip(entries_a, entries_b)):
        orders = [[answer["order"] for answer in entry["answers"]] for entry in (one, other)]
        if any(one[name] != other[name] for name in _SAME) or orders[0] != orders[1]:
            raise ValueError(f"{a} and {b} differ in question {number} or in the order of its options; {remedy}")


def _share_right(entry: Record, method: str) -> float:
    """Return the share of a question's answers that are right."""
    right = same_text(entry["options"][entry["right"]])
    options = [answer["choices"][method] for answer in entry["answers"]]
    return fmean(option is not None and same_text(entry["options"][option]) == right for option in options)


def floor_of(folder: Path) -> dict[str, Any] | None:
    """Return the comparison of a run with the text-only run in its folder, None where either is missing.

    A floor of other questions counts as none.
    """
    if not all((part / CHOICES).is_file() for part in (folder, folder / TEXT_ONLY)):
        return None
    try:
        return compare_choices(folder / TEXT_ONLY, folder)
    except ValueError:
        return None
