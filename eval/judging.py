"""Judging many records at once, never twice: every judgement is on disk before it counts."""

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from eval.judge import Judge, Judgement
from eval.predictions import Task
from eval.rubrics import RUBRICS, Rubric, messages, rubric_hash
from ski_lvlm.chat_client import ChatError, ModelInfo
from ski_lvlm.files import append_jsonl, read_jsonl

_RUBRIC: dict[str, Rubric] = {rubric.metric: rubric for rubric in RUBRICS}


def judgement_id(task: Task, judge: str) -> str:
    """What makes two grades the same grade: judge, rubrics, metric and everything that the judge sees."""
    shape = json.dumps([judge, rubric_hash(), task.metric, task.fields], sort_keys=True)
    return hashlib.sha256(shape.encode()).hexdigest()[:24]


def scored_before(ledger: Path) -> dict[str, dict[str, Any]]:
    """The records of a ledger that hold a score, by id; unscored ones are left out, so that they are asked again."""
    records = [r for r in read_jsonl(ledger) if isinstance(r, dict) and "id" in r]
    return {record["id"]: record for record in records if isinstance(record.get("score"), int | float)}


def judge_all(
    tasks: list[Task], judge: Judge, *, ledger: Path, workers: int, advance: Callable[[], None] = lambda: None
) -> dict[str, dict[str, Any]]:
    """Grade what the ledger has no grade for yet, several at a time; returns the ledger's record for every id.

    The judge is asked for its weights' digest only if there is something to grade, before any grading; grades that
    other weights of the same name gave are not used.

    Args:
        tasks: what is to be graded; those without an answer of the model are left out.
        judge: who grades.
        ledger: JSON-lines file; each grade is appended and forced to disk as soon as it is there.
        workers: how many records are with the judge at a time.
        advance: called after each grade, for a progress bar.

    Raises:
        ChatError: the judge is not running or has no model; what was graded until then is kept.
        OSError: the ledger cannot be written.
    """
    wanted = {judgement_id(task, judge.name): task for task in tasks if task.fields is not None}
    done = {key: record for key, record in scored_before(ledger).items() if key in wanted}
    if len(done) == len(wanted):
        return done
    weights = judge.ping()
    done = {key: record for key, record in done.items() if record.get("digest") in (None, weights.digest)}
    pending = {key: task for key, task in wanted.items() if key not in done}
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        futures: dict[Future[Judgement], str] = {
            pool.submit(judge, _RUBRIC[task.metric], task.fields or {}): key for key, task in pending.items()
        }
        for future in as_completed(futures):
            key = futures[future]
            done[key] = _record(key, pending[key], future.result(), judge=judge.name, weights=weights)
            append_jsonl(ledger, done[key])
            advance()
    except ChatError as error:
        kept = sum(1 for record in done.values() if record["score"] is not None)
        raise ChatError(
            f"the judge stopped: {error}\n{kept} of {len(wanted)} grades are kept in {ledger}; the same command goes on"
        ) from error
    except OSError as error:
        raise OSError(f"cannot write {ledger} ({error}); make room there, the same command goes on") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return done


def _record(key: str, task: Task, judgement: Judgement, *, judge: str, weights: ModelInfo) -> dict[str, Any]:
    prompt = json.dumps([[m.role, m.text] for m in messages(_RUBRIC[task.metric], task.fields or {})])
    return {
        "id": key,
        "metric": task.metric,
        "key": task.key,
        "score": judgement.score,
        "reason": judgement.reason,
        "reply": judgement.reply,
        "judge": judge,
        "digest": weights.digest,
        "quantisation": weights.quantisation,
        "rubrics": rubric_hash(),
        "prompt": hashlib.sha256(prompt.encode()).hexdigest()[:16],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
