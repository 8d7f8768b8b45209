"""Folders of finished grades, as eval/score.py leaves them."""

import json
from types import SimpleNamespace

from eval.items.predictions import NO_ANSWER, Task
from eval.results.plan import begin, plan_of

JUDGE = {"judge": "ollama:llama3.1", "digest": "d1", "quantisation": "Q4_0", "rubrics": "r1"}


def grade(key, score, *, metric="correctness", repeat=0, pred="He sits.", **more):
    fields = {"Q": "What happens?", "A": f"Truth of {key}.", "pred": pred}
    reason = None if score is not None else "unparsed: no score"
    video = key.rpartition("_")[0]
    record = {"id": f"{metric}{key}{repeat}", "metric": metric, "key": key, "video_name": video, "repeat": repeat}
    return {**record, "seed": repeat, "score": score, "reason": reason, "fields": fields, **JUDGE, **more}


def write_run(folder, records, *, unanswered=(), **settings):
    """A run's folder; `unanswered` are the correctness items that have no grade, `settings` those of the judge."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "judgements.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    items = {(r["metric"], r["key"]): r["fields"] for r in records if r["rubrics"] == {**JUDGE, **settings}["rubrics"]}
    tasks = [Task(metric, key, fields) for (metric, key), fields in items.items()]
    tasks += [Task("correctness", key, None, NO_ANSWER) for key in unanswered]
    begin_plan(folder, tasks, repeats=1 + max((r["repeat"] for r in records), default=0), **settings)
    metrics = {metric: {"status": "run", "n_total": len(tasks)} for metric, _ in items}
    (folder / "scores.json").write_text(json.dumps({**JUDGE, **settings, "metrics": metrics}))
    return folder


def graded_items(scores, *, metric="correctness", **more):
    """A grade of v0_0, v1_0, ... for each score."""
    return [grade(f"v{number}_0", score, metric=metric, **more) for number, score in enumerate(scores)]


def begin_plan(folder, tasks, *, seed=0, repeats=1, **settings):
    """What eval/score.py writes before it judges."""
    about = {**JUDGE, **settings}
    judge = SimpleNamespace(name=about["judge"], rubrics=SimpleNamespace(digest=about["rubrics"]), settings=settings)
    begin(folder, plan_of(tasks, judge, seed=seed, repeats=repeats))
