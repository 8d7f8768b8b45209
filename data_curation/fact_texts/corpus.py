"""A corpus of texts about random performances of the world, without film."""

import json
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from data_curation.fact_texts.captions import STYLES, caption
from data_curation.fact_texts.clip_facts import clip_facts
from data_curation.fact_texts.question_pairs import question_pairs
from data_curation.world.clips import Settings, clip_names, take
from data_curation.world.facts import facts_of
from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.storage.files import atomic_path

TEXTS = "texts.jsonl"


def texts_of(clip: ClipName, settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the facts of a performance, and a record of each style: its caption, and its pairs of questions.

    The wording varies with the settings' seed and the clip.
    """
    record = facts_of(clip, take(clip, settings=settings), settings)
    facts = clip_facts(record)
    records = []
    for about in STYLES:
        pairs = question_pairs(facts, [about], seed=settings.seed)
        records.append(
            {
                "clip": facts.clip,
                "about": about,
                "caption": caption(facts, about, seed=settings.seed),
                "pairs": [{"question": pair.question, "answer": pair.answer} for pair in pairs],
            }
        )
    return record, records


def write_corpus(out: Path, *, clips: int, settings: Settings, workers: int) -> int:
    """Write OUT/texts.jsonl and OUT/facts.jsonl about so many performances, and return the number of captions.

    The same settings give the same bytes. A larger number begins with the same texts.
    """
    from rich.progress import track as progress

    names, make = clip_names(clips, settings=settings), partial(texts_of, settings=settings)
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        atomic_path(out / "facts.jsonl") as facts_file,
        atomic_path(out / TEXTS) as texts_file,
        facts_file.open("w", encoding="utf-8") as facts_lines,
        texts_file.open("w", encoding="utf-8") as text_lines,
        ProcessPoolExecutor(workers) as pool,
    ):
        for facts, records in progress(pool.map(make, names, chunksize=16), total=clips, description="texts"):
            facts_lines.write(f"{json.dumps(facts)}\n")
            text_lines.writelines(f"{json.dumps(record)}\n" for record in records)
            count += len(records)
    return count
