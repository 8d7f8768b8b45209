"""The exact facts of captions, of each training of a way, as numbers of a table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from data_curation.fact_texts.clip_facts import ClipFacts, read_facts
from eval.fact_checks.statements import Reading, read_caption
from scripts.tables.results import Results, Training
from scripts.tables.rows import Table
from scripts.testbed.captions import DOMAINS, CaptionPlan
from scripts.testbed.domains import BROAD, NARROW, THIRD
from scripts.testbed.effects import verdict
from ski_lvlm.storage.json_files import read_json

RIGHT, INVENTED = "right facts", "invented things"
# Kinds of facts that the questions about a domain ask for. The first ones have a table of their own.
KINDS = {
    NARROW: ("action", "count", "object"),
    BROAD: ("action", "count", "object", "room", "surroundings", "facing", "clothes"),
    THIRD: ("action", "order", "count", "object", "room", "surroundings", "facing", "clothes"),
}
FOILS = "foils"  # right choices between sentences that differ in one fact
FOIL_KINDS = ("action", "order")  # with a table of their own
MEASURES = tuple(
    f"{name}, {domain}"
    for domain in DOMAINS
    for name in (RIGHT, *KINDS[domain], INVENTED, FOILS, *(f"{FOILS} of {kind}" for kind in FOIL_KINDS))
)


def collect(plan: CaptionPlan) -> Results:
    """Read the finished descriptions. Trainings of the same seed have the same number."""
    trainings: dict[tuple[str, str], dict[int, Training]] = {}
    reasons: dict[tuple[str, str], str] = {}
    table = Table("captions", "", ("Way",), MEASURES, plan.rows)
    facts: dict[str, ClipFacts] = {}
    for row in table.rows:
        for seed in plan.seeds(row.method):
            step = plan.description(row.name, seed)
            if not step.is_finished():
                reasons[row.name, MEASURES[0]] = "not run"
                continue
            facts = facts or read_facts(plan.test_set.folder)
            measures = read_values(step.folder / step.product, facts)
            choices = plan.choices(row.name, seed)
            if choices.is_finished():
                measures |= read_foils(choices.folder / choices.product)
            for measure, values in measures.items():
                trainings.setdefault((row.name, measure), {})[seed] = Training(fmean(values.values()), values)
    measured = {measure for _, measure in trainings}
    columns = tuple(measure for measure in MEASURES if measure in measured)
    return Results(table, columns, trainings, verdict, group_of=clip_of, reasons=reasons)


def clip_of(item: str) -> str:
    """Return the clip of an item, which may be a question about it."""
    return item.partition("/")[0]


def read_foils(choices: Path) -> dict[str, dict[str, float]]:
    """Return 100 for each question whose right option is the likeliest one, else 0, by clip and kind."""
    values: dict[str, dict[str, float]] = {}
    for entry in read_json(choices):
        clip, kind = str(entry["video_name"]), str(entry["kind"])
        is_right = entry["answers"][0]["choices"]["likelihood"] == entry["right"]
        for name in (FOILS, *([f"{FOILS} of {kind}"] if kind in FOIL_KINDS else [])):
            values.setdefault(f"{name}, {clip.partition('-')[0]}", {})[f"{clip}/{kind}"] = 100.0 * is_right
    return values


def read_values(predictions: Path, facts: Mapping[str, ClipFacts]) -> dict[str, dict[str, float]]:
    """Return each measure by clip, in percent. All answers about a clip are read as one text.

    An answer that is missing tells nothing.
    """
    texts: dict[str, list[str]] = {}
    for item in read_json(predictions):
        texts.setdefault(str(item["video_name"]), []).append(item.get("pred") or "")
    values: dict[str, dict[str, float]] = {}
    for clip, answers in texts.items():
        domain, reading = clip.partition("-")[0], read_caption(" ".join(answers), facts[clip])
        shares = {kind: share_of_right(reading, [kind]) for kind in KINDS[domain]}
        shares |= {RIGHT: share_of_right(reading, KINDS[domain]), INVENTED: share_of_invented(reading)}
        for name, share in shares.items():
            if share is not None:
                values.setdefault(f"{name}, {domain}", {})[clip] = 100 * share
    return values


def share_of_right(reading: Reading, kinds: Sequence[str]) -> float | None:
    """Return right statements by all statements and facts that are not named. None without any of these kinds.

    So both silence and guesses cost.
    """
    statements = [statement for statement in reading.statements if statement.kind in kinds]
    silent = sum(kind in kinds for kind, _ in reading.not_named)
    total = len(statements) + silent
    return sum(statement.is_right for statement in statements) / total if total else None


def share_of_invented(reading: Reading) -> float:
    """Return the share of named actions, things and persons that are not in the clip. 0 if none is named."""
    return reading.invented_items / reading.named_items if reading.named_items else 0.0


def drifts(plan: CaptionPlan) -> dict[str, dict[int, float]]:
    """Return how far T_v has moved, by way and seed: change of its embeddings by their length, in percent."""
    result: dict[str, dict[int, float]] = {}
    for row in plan.rows:
        for seed in plan.seeds(row.method):
            step = plan.drift(row.name, seed)
            if step and step.is_finished():
                content = json.loads((step.folder / step.product).read_text(encoding="utf-8"))
                result.setdefault(row.name, {})[seed] = 100 * float(content["outputs"]["relative_l2"]["mean"])
    return result
