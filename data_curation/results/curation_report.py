"""The page of a curation run: counts, reasons, wording, balance, cost and random clips.

The page is a single file without scripts or links. It says what a run does not have.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from data_curation.ledger import Record, done
from data_curation.results.report_clips import clip_fields, draw_clips
from data_curation.results.report_costs import spending, step_times
from data_curation.results.report_counts import (
    Steps,
    action_counts,
    clips_left_out,
    discrepancies,
    found_by,
    pairs_by_clip,
    pairs_left_out,
    part_counts,
    step_counts,
)
from data_curation.results.report_words import Wording, wording
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.pages.page import page_template
from ski_lvlm.servers.address import without_secrets
from ski_lvlm.storage.files import atomic_path

REASONS_SHOWN = 20


def write_report(
    out: Path,
    *,
    steps: Steps,
    parts: Mapping[str, Sequence[str]],
    data: DataSet,
    spent: Sequence[Record],
    settings: Mapping[str, object],
    count: int = 24,
    seed: int = 0,
) -> Path:
    """Write `OUT/report.html` and return its path. The same records give the same bytes.

    Args:
        out: the run's folder, with `crops/`.
        steps: `crop`, `caption` and `qa`, in this order, each with its records by clip.
        parts: the clips of `train`, `validation`, `test` and `unseen`.
        data: the data set of the clips.
        spent: the records of requests to language models.
        settings: the run's flags.
        count: the number of clips that are shown in full.
        seed: the seed of their selection.

    Raises:
        ValueError: a clip is not of the data set.
    """
    context = _counts(steps, parts, data) | {"wordings": _wordings(steps)}
    html = page_template(Path(__file__).with_name("curation_report.html.j2")).render(
        **context,
        spending=spending(spent),
        times=step_times(steps),
        settings={name: _setting(value) for name, value in settings.items()},
        clips=_clips(out, steps, data, count=count, seed=seed),
        time=_time_of_last(chain(*(records.values() for records in steps.values()), spent)),
        run=out.resolve().name,
        seed=seed,
        reasons_shown=REASONS_SHOWN,
    )
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out / "report.html"


def _counts(steps: Steps, parts: Mapping[str, Sequence[str]], data: DataSet) -> dict[str, Any]:
    pairs = pairs_by_clip(steps)
    left_out = clips_left_out(steps) | {"pair: rejected": pairs_left_out(steps["qa"])}
    return {
        "steps": step_counts(steps),
        "discrepancies": discrepancies(steps, parts),
        "left_out": {title: reasons for title, reasons in left_out.items() if reasons},
        "pairs": sum(pairs.values()),
        "actions": action_counts(pairs, data=data),
        "parts": part_counts(parts, data=data, steps=steps, pairs=pairs),
        "found_by": found_by(steps["crop"]),
    }


def _wordings(steps: Steps) -> dict[str, Wording]:
    pairs = [pair for record in done(steps["qa"]).values() for pair in record["pairs"]]
    wordings = {
        "captions": wording([record["caption"] for record in done(steps["caption"]).values()]),
        "questions": wording([pair["question"] for pair in pairs]),
        "answers": wording([pair["answer"] for pair in pairs]),
    }
    for kind in sorted({pair["kind"] for pair in pairs}):
        wordings[f"answers: {kind}"] = wording([pair["answer"] for pair in pairs if pair["kind"] == kind])
    return wordings


def _setting(value: object) -> str:
    """Return a flag's value as text, without passwords in addresses."""
    return "not set" if value is None else without_secrets(str(value))


def _clips(out: Path, steps: Steps, data: DataSet, *, count: int, seed: int) -> list[Record]:
    captions, qa = done(steps["caption"]), done(steps["qa"])
    with_pairs = [name for name, record in qa.items() if record["pairs"] and name in captions]
    names = draw_clips(with_pairs, data=data, count=count, seed=seed)
    classes = dict(zip(names, data.classes_of(names), strict=True)) if names else {}
    return [
        clip_fields(out, name, action=str(classes[name]), caption=captions[name]["caption"], qa=qa[name])
        for name in names
    ]


def _time_of_last(records: Iterable[Record]) -> str:
    newest = max((record["at"] for record in records), default=None)
    if newest is None:
        return "nothing recorded yet"
    return f"last record {datetime.fromisoformat(newest).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
