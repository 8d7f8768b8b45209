"""Folders of finished grades, as eval/score.py leaves them."""

import json
from types import SimpleNamespace

from eval.results.plan import begin, plan_of

JUDGE = {"judge": "ollama:llama3.1", "digest": "d1", "quantisation": "Q4_0", "rubrics": "r1"}


def grade(key, score, *, metric="correctness", repeat=0, pred="He sits.", **more):
    fields = {"Q": "What happens?", "A": f"Truth of {key}.", "pred": pred}
    reason = None if score is not None else "unparsed: no score"
    video = key.rpartition("_")[0]
    record = {"id": f"{metric}{key}{repeat}", "metric": metric, "key": key, "video_name": video, "repeat": repeat}
    return {**record, "score": score, "reason": reason, "fields": fields, **JUDGE, **more}


def write_run(folder, records, *, totals=None, **about):
    """A run's folder; `totals` are the items that each metric was to grade, where not all were answered."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "judgements.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    counts = {m: len({r["key"] for r in records if r["metric"] == m}) for m in {r["metric"] for r in records}}
    metrics = {m: {"status": "run", "n_total": n} for m, n in {**counts, **(totals or {})}.items()}
    (folder / "scores.json").write_text(json.dumps({**JUDGE, **about, "metrics": metrics}))
    return folder


def graded_items(scores, *, metric="correctness", **more):
    """A grade of v0_0, v1_0, ... for each score."""
    return [grade(f"v{number}_0", score, metric=metric, **more) for number, score in enumerate(scores)]


def begin_plan(folder, tasks, *, seed=0, repeats=1):
    """What eval/score.py writes before it judges."""
    judge = SimpleNamespace(name=JUDGE["judge"], rubrics=SimpleNamespace(digest=JUDGE["rubrics"]), settings={})
    begin(folder, plan_of(tasks, judge, seed=seed, repeats=repeats))
