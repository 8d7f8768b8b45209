"""Verdicts on the hypotheses about captions, L1 to L7 of docs/evidence.md."""

from collections.abc import Mapping
from statistics import fmean

from scripts.tables.results import Comparison, Results, over_trainings, verdict_of
from scripts.testbed.caption_facts import RIGHT
from scripts.testbed.captions import DISTILLED, FADING, FIRST, HALF, NOISE, SHUFFLED, SKELETONS, VIDEO
from scripts.testbed.domains import NARROW, THIRD
from scripts.testbed.hypotheses import UNDECIDED, Outcome, claimed, correlated, in_words

Drifts = Mapping[str, Mapping[int, float]]  # by way and seed
_L7 = {"half": HALF, "fading": FADING, "first": FIRST, "distilled": DISTILLED}


def outcomes(results: Results, drifts: Drifts) -> list[Outcome]:
    """Return what became of each hypothesis about captions that has been run."""
    pairs = [("L1", NARROW, SKELETONS, VIDEO), ("L2", THIRD, SKELETONS, VIDEO), ("L5", NARROW, SKELETONS, SHUFFLED)]
    pairs += [
        (f"L7 {key}", domain, way, baseline)
        for key, way in _L7.items()
        for domain in (NARROW, THIRD)
        for baseline in (SKELETONS, VIDEO)
    ]
    judged = [_difference(results, *pair) for pair in pairs]
    judged += [_drift(drifts), _drift_and_facts(results, drifts), _noise(results)]
    return sorted((one for one in judged if one), key=lambda one: one.key)


def _difference(results: Results, key: str, domain: str, way: str, baseline: str) -> Outcome | None:
    points = results.comparison(way, baseline, f"{RIGHT}, {domain}")
    claim = f"{way} > {baseline}, {RIGHT}, {domain} domain"
    return Outcome(key, claim, in_words(points, unit="clips"), claimed(points.verdict)) if points else None


def _drift(drifts: Drifts) -> Outcome | None:
    """Judge by trainings alone, since drift has no clips of its own."""
    shared = sorted(drifts.get(SKELETONS, {}).keys() & drifts.get(VIDEO, {}).keys())
    differences = [drifts[SKELETONS][seed] - drifts[VIDEO][seed] for seed in shared]
    across = over_trainings(differences) if differences else None
    if across is None:
        return None
    verdict = claimed(verdict_of([across]), is_negative=True)
    measured = f"{fmean(differences):+.1f} points of drift ({across[0]:+.1f} to {across[1]:+.1f} over trainings)"
    return Outcome("L3", f"drift of T_v: {SKELETONS} < {VIDEO}", measured, verdict)


def _drift_and_facts(results: Results, drifts: Drifts) -> Outcome | None:
    drift, facts = by_training(results, drifts)
    claim = f"more drift, fewer {RIGHT} in the {THIRD} domain"
    return correlated("L4", claim, drift, facts, unit="trainings", is_negative=True)


def by_training(results: Results, drifts: Drifts, domain: str = THIRD) -> tuple[dict[str, float], dict[str, float]]:
    """Return drift and right facts of all trainings that have both, by way and seed."""
    drift, facts = {}, {}
    for way, by_seed in drifts.items():
        for seed, training in results.trainings.get((way, f"{RIGHT}, {domain}"), {}).items():
            if seed in by_seed:
                drift[f"{way}/{seed}"], facts[f"{way}/{seed}"] = by_seed[seed], training.mean
    return drift, facts


def _noise(results: Results) -> Outcome | None:
    """Judge whether noise lowers the score as skeletons do: it is below video, and skeletons do not differ from it."""
    measure = f"{RIGHT}, {NARROW}"
    same, below = results.comparison(SKELETONS, NOISE, measure), results.comparison(NOISE, VIDEO, measure)
    if not same or not below:
        return None
    measured = f"{SKELETONS} minus {NOISE} {_short(same)}, {NOISE} minus {VIDEO} {_short(below)}"
    is_shown = same.verdict == UNDECIDED and below.verdict == "worse"
    is_opposite = same.verdict in ("better", "worse") or below.verdict == "better"
    verdict = "shown" if is_shown else "the opposite" if is_opposite else UNDECIDED
    return Outcome("L6", f"{SKELETONS} = {NOISE} < {VIDEO}, {RIGHT}, {NARROW} domain", measured, verdict)


def _short(points: Comparison) -> str:
    return f"{in_words(points, unit='clips')}, {points.verdict}"
