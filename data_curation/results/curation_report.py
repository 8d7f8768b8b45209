"""One page that shows what a curation run did: counts, reasons, wording, balance, cost, and clips drawn by chance.

The page is a single file without scripts and without links to anything else. What a run does not have is said.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from data_curation.ledger import Record, done
from data_curation.results.report_clips import draw_clips, shown_clip
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
from data_curation.results.report_figures import bin_edges, histogram
from data_curation.results.report_words import Wording, content_words, wording
from ski_lvlm.pages.page import page_template
from ski_lvlm.servers.address import without_secrets
from ski_lvlm.storage.files import atomic_path

COMMON_WORDS, REASONS_SHOWN = 30, 20


def write_report(
    out: Path,
    *,
    steps: Steps,
    parts: Mapping[str, Sequence[str]],
    spent: Sequence[Record],
    settings: Mapping[str, object],
    shown: int = 24,
    seed: int = 0,
) -> Path:
    """Write `OUT/report.html` and return its path; the same records give the same bytes.

    Args:
        out: the run's folder; crops are looked for in its `crops/`.
        steps: `crop`, `caption` and `qa`, in this order, each with its records by NTU clip name.
        parts: the clips of `train`, `validation`, `test` and `unseen`.
        spent: one record a request to a language model.
        settings: the run's flags.
        shown: how many clips are shown in full.
        seed: decides which.

    Raises:
        ValueError: a clip's name is not NTU's.
    """
    context = _counts(steps, parts) | _texts(steps, spent)
    html = page_template(Path(__file__).with_name("curation_report.html.j2")).render(
        **context,
        spending=spending(spent),
        times=step_times(steps),
        settings={name: _setting(value) for name, value in settings.items()},
        clips=_clips(out, steps, shown=shown, seed=seed),
        time=_time_of_last(chain(*(records.values() for records in steps.values()), spent)),
        run=out.resolve().name,
        seed=seed,
        reasons_shown=REASONS_SHOWN,
    )
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out / "report.html"


def _counts(steps: Steps, parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    pairs = pairs_by_clip(steps)
    left_out = clips_left_out(steps) | {"pair: rejected": pairs_left_out(steps["qa"])}
    return {
        "steps": step_counts(steps),
        "discrepancies": discrepancies(steps, parts),
        "left_out": {title: found for title, found in left_out.items() if found},
        "pairs": sum(pairs.values()),
        "actions": action_counts(pairs),
        "parts": part_counts(parts, steps=steps, pairs=pairs),
        "found_by": found_by(steps["crop"]),
    }


def _texts(steps: Steps, spent: Sequence[Record]) -> dict[str, Any]:
    pairs = [pair for record in done(steps["qa"]).values() for pair in record["pairs"]]
    kinds = sorted({pair["kind"] for pair in pairs})
    of_kind = {kind: wording([pair["answer"] for pair in pairs if pair["kind"] == kind]) for kind in kinds}
    wordings = {
        "captions": wording([record["caption"] for record in done(steps["caption"]).values()]),
        "questions": wording([pair["question"] for pair in pairs]),
        "answers": wording([pair["answer"] for pair in pairs]),
    }
    return {
        "wordings": wordings | {f"answers: {kind}": of_kind[kind] for kind in of_kind},
        "common": {what: content_words(wordings[what].counts, most=COMMON_WORDS) for what in ("captions", "answers")},
        "histograms": [*_length_histograms(wordings, of_kind), *_token_histograms(spent)],
    }


def _length_histograms(wordings: Mapping[str, Wording], of_kind: Mapping[str, Wording]) -> list[dict[str, str]]:
    figures = [_figure(what, wordings[what].lengths, unit="words") for what in ("captions", "questions")]
    answers = wordings["answers"].lengths
    # the kinds are to be compared with each other, hence bins in common
    edges = bin_edges(answers) if len(answers) else answers
    return figures + [_figure(f"answers: {k}", of_kind[k].lengths, unit="words", edges=edges) for k in of_kind]


def _token_histograms(spent: Sequence[Record]) -> list[dict[str, str]]:
    figures = []
    for step in dict.fromkeys(request["step"] for request in spent):
        for tokens in ("prompt_tokens", "completion_tokens"):
            values = np.array([request[tokens] for request in spent if request["step"] == step], dtype=int)
            if values.any():
                figures.append(_figure(f"{step}: {tokens.replace('_', ' ')} of a request", values, unit="tokens"))
    return figures


def _figure(
    title: str, values: Int[np.ndarray, " n"], *, unit: str, edges: Int[np.ndarray, " e"] | None = None
) -> dict[str, str]:
    if not len(values):
        return {"title": title}
    image = histogram(values, edges=bin_edges(values) if edges is None else edges, unit=unit)
    return {"title": title, "image": image, "note": f"median {np.median(values):,.0f}, longest {values.max():,}"}


def _setting(value: object) -> str:
    """A flag's value as text; a password in an address is no setting to show."""
    return "not set" if value is None else without_secrets(str(value))


def _clips(out: Path, steps: Steps, *, shown: int, seed: int) -> list[Record]:
    captions, qa = done(steps["caption"]), done(steps["qa"])
    with_pairs = [name for name, record in qa.items() if record["pairs"] and name in captions]
    drawn = draw_clips(with_pairs, count=shown, seed=seed)
    return [shown_clip(out, name, caption=captions[name]["caption"], qa=qa[name]) for name in drawn]


def _time_of_last(records: Iterable[Record]) -> str:
    newest = max((record["at"] for record in records), default=None)
    if newest is None:
        return "nothing recorded yet"
    return f"last record {datetime.fromisoformat(newest).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
