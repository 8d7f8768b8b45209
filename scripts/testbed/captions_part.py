"""The captions part of the testbed: its flags, its plan, and its results as files."""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scripts.tables.command import save
from scripts.tables.results import Results
from scripts.testbed import caption_facts
from scripts.testbed.caption_hypotheses import Drifts, by_training, outcomes
from scripts.testbed.caption_power import power, power_text
from scripts.testbed.caption_sizes import FULL, QUICK, SMALL_LLM, with_llm
from scripts.testbed.captions import DOMAINS, REPEATED, WAYS, CaptionPlan
from scripts.testbed.domains import NARROW
from scripts.testbed.page import as_json, markdown
from scripts.testbed.pictures import draw_gains
from ski_lvlm.cli import positive


def add_flags(p: argparse.ArgumentParser) -> None:
    """Add the flags of this part."""
    p.add_argument("--caption_seeds", type=positive, help="trainings of each main way of the captions part")
    p.add_argument(
        "--ways",
        nargs="+",
        choices=tuple(WAYS),
        help=f"ways of training of the captions part (default: all, or {', '.join(REPEATED)} with --quick)",
    )
    p.add_argument(
        "--base_llm",
        default=SMALL_LLM,
        help="language model of the captions part: small (trained here on texts), or one of train_ski_lvlm.py such as "
        "smollm2, with which the main ways are repeated",
    )


def plan_of(args: argparse.Namespace, out: Path) -> CaptionPlan:
    """Return the plan of these flags."""
    sizes = QUICK if args.quick else FULL
    sizes = sizes if args.base_llm == SMALL_LLM else with_llm(sizes, args.base_llm)
    sizes = replace(sizes, seeds=args.caption_seeds) if args.caption_seeds else sizes
    ways = args.ways or (REPEATED if args.quick else WAYS)
    return CaptionPlan(out / "captions", sizes, tuple(ways))


def write(plan: CaptionPlan) -> None:
    """Write the results of all trainings that have been described."""
    results, drifts = caption_facts.collect(plan), caption_facts.drifts(plan)
    judged = outcomes(results, drifts)
    llm = plan.sizes.base_llm
    name = "captions" if llm == SMALL_LLM else f"captions-{llm.replace('/', '_')}"
    sizes = asdict(plan.sizes) | {"skeletons": plan.sizes.skeletons.skeletons}
    smallest = power(results)
    data = as_json(results, judged) | {"drift": drifts, "drift_against_facts": points(results, drifts)}
    text = markdown(results, judged, unit="clips") + (f"\n{power_text(smallest)}" if smallest else "")
    draw_gains(results, path=plan.out.parent / f"{name}.png", measure=f"{caption_facts.RIGHT}, {NARROW}", unit="clips")
    save(plan.out.parent, name, text=text, data=data | {"power": smallest, "sizes": sizes})


def points(results: Results, drifts: Drifts) -> list[dict[str, Any]]:
    """Return the points of the figure of drift against right facts: one for each training and domain."""
    rows = []
    for domain in DOMAINS:
        drift, facts = by_training(results, drifts, domain)
        rows += [{"training": key, "domain": domain, "drift": drift[key], "right_facts": facts[key]} for key in drift]
    return rows
