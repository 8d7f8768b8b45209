"""The hypotheses of docs/evidence.md, written down before any SKI number was looked at, and what became of them."""

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.tables.results import Comparison, Results, over_trainings
from scripts.testbed.effects import HARMONIC, TOP1, difference_of_gains, rank_correlation
from scripts.testbed.recognition import SHARES, SKI, STUDENT, TEACHER, TWIN, share_name
from scripts.testbed.world import ENDS

UNDECIDED = "not significant"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a hypothesis: its numbers in words, and the verdict."""

    key: str
    claim: str
    measured: str
    verdict: str


def outcomes(results: Results) -> list[Outcome]:
    """Return what became of each hypothesis about recognition that has been run."""
    main = [
        ("R1", f"{SKI} > {TWIN}, unseen classes", results.comparison(SKI, TWIN, TOP1)),
        ("R2", f"{SKI} > {STUDENT}, as the paper compares", results.comparison(SKI, STUDENT, TOP1)),
        ("R3", f"{SKI} > {TWIN}, generalised", results.comparison(SKI, TWIN, HARMONIC)),
    ]
    main += [
        (f"R5 {name}", f"the gain is larger at the hard end of {name}", _gain_of_difficulty(results, name))
        for name in ENDS
    ]
    alpha = difference_of_gains(results, (SKI, TWIN), ("α = 0.01", TWIN))
    share = difference_of_gains(results, (SKI, TWIN), (share_name(min(SHARES)), TWIN))
    main += [
        ("R6", "the gain at α = 10 is larger than at 0.01", alpha),
        ("R7", f"the gain is larger with all skeletons than with {min(SHARES):.0%}", share),
    ]
    for kind in ("persons", "distance"):
        for origin in ("given", "estimated"):
            row = f"{SKI}, {origin} skeletons, new {kind}"
            claim = f"real people, {origin} skeletons: {SKI} > {TWIN}, new {kind}"
            main.append((f"P {origin}, {kind}", claim, results.comparison(row, f"{TWIN}, new {kind}", TOP1)))
    judged = [Outcome(key, claim, in_words(points), claimed(points.verdict)) for key, claim, points in main if points]
    return judged + _by_teacher(results)


def _by_teacher(results: Results) -> list[Outcome]:
    """Judge whether classes gain more which the teacher knows better."""
    names = {row.name for row in results.table.rows}
    if not {SKI, TWIN, TEACHER} <= names:
        return []
    ski, twin, teacher = (results.per_class(results.table.row(name), TOP1) for name in (SKI, TWIN, TEACHER))
    gain = {name: ski[name] - twin[name] for name in ski.keys() & twin.keys()}
    claim = "classes gain more that the teacher knows better"
    outcome = correlated("R4", claim, teacher, gain, unit="classes")
    return [outcome] if outcome else []


def correlated(
    key: str, claim: str, x: Mapping[str, float], y: Mapping[str, float], *, unit: str, is_negative: bool = False
) -> Outcome | None:
    """Judge the claim that two measures of the same things rise together, or against each other."""
    correlation = rank_correlation(x, y)
    if correlation is None:
        return None
    value, (low, high) = correlation
    verdict = "better" if low > 0 else "worse" if high < 0 else UNDECIDED
    measured = f"rank correlation {value:+.2f} ({low:+.2f} to {high:+.2f}) over {len(y)} {unit}"
    return Outcome(key, claim, measured, claimed(verdict, is_negative=is_negative))


def claimed(verdict: str, *, is_negative: bool = False) -> str:
    """Return a difference's verdict as that of the claim that there is more, or less if it is negative."""
    right, wrong = ("worse", "better") if is_negative else ("better", "worse")
    return {right: "shown", wrong: "the opposite"}.get(verdict, verdict)


def _gain_of_difficulty(results: Results, name: str) -> Comparison | None:
    hard, easy = ((f"{SKI}, {name}_{end}", f"{TWIN}, {name}_{end}") for end in ("hard", "easy"))
    return difference_of_gains(results, hard, easy)


def in_words(points: Comparison, *, unit: str = "classes") -> str:
    """Return a difference with its intervals, over classes or another unit and over trainings."""
    number, across = points.points, over_trainings(points.points.per_training)
    spans = [f"{low:+.1f} to {high:+.1f} over {name}" for name, ends in
             ((unit, number.interval), ("trainings", across)) if ends for low, high in [ends]]  # fmt: skip
    return f"{number.mean:+.1f} points ({', '.join(spans)})"
