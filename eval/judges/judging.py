"""Judging many records at once, never twice: every judgement is on disk before it counts."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.items.predictions import Task, video_of
from eval.judges.judgement import Judge
from eval.judges.judgements import Judgements, Record
from ski_lvlm.servers.client import ChatError, ModelInfo, Reply
from ski_lvlm.storage.digests import digest

logger = logging.getLogger(__name__)


def judgement_id(task: Task, judge: str, repeat: int = 0) -> str:
    """Which grade of a run it is: whose, of which item and texts, and which of the repeats (from 0)."""
    return _digest(judge, task.metric, task.key, task.fields, repeat)


def _digest(*parts: Any) -> str:  # noqa: ANN401
    return digest(json.dumps(parts, sort_keys=True), length=24)


@dataclass(frozen=True)
class _Wanted:
    """One grade to be given."""

    task: Task
    repeat: int
    seed: int

    def record_id(self, judge: Judge) -> str:
        """What makes two grades the same in the file: all that may move them, so rubrics and settings as well."""
        run = judgement_id(self.task, judge.name, self.repeat)
        return _digest(run, judge.rubrics.digest, judge.settings, self.seed)


def judge_all(
    tasks: list[Task],
    judge: Judge,
    *,
    ledger: Path,
    workers: int,
    repeats: int = 1,
    seed: int = 0,
    again: bool = False,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Record]:
    """Grade what the ledger has no grade for yet, several at a time; returns the grades by `judgement_id`.

    The judge is asked for its weights' digest only if there is something to grade, before and after; grades that other
    weights of the same name gave are not used, and when the two differ, all that came in between is unscored.

    Args:
        tasks: what is to be graded; those without an answer of the model are left out.
        judge: who grades.
        ledger: JSON-lines file; each grade is appended and forced to disk as soon as it is there.
        workers: how many records are with the judge at a time.
        repeats: how many grades each task gets, with the seeds `seed`, `seed` + 1, ...
        seed: of the first repeat.
        again: whether replies of an earlier run that could not be read are asked for again where the temperature is 0;
            what failed always is.
        advance: called with how many grades have come, for a progress bar.

    Raises:
        ChatError: the judge is not running, has no model or fails again and again; what was graded is kept.
        OSError: the ledger cannot be written.
    """
    grades = [_Wanted(task, k, seed + k) for k in range(repeats) for task in tasks if task.fields is not None]
    wanted = {grade.record_id(judge): grade for grade in grades}
    file = Judgements(ledger, wanted)
    done = file.settled(again=again)
    weights_seen = {record.get("digest") for record in done.values()}
    if len(done) < len(wanted) or len(weights_seen) > 1:  # a stop between two versions of a judge leaves grades of both
        weights = judge.ping()
        done = {key: record for key, record in done.items() if record.get("digest") in (None, weights.digest)}
        advance(len(done))
        pending = {key: grade for key, grade in wanted.items() if key not in done}
        try:
            _judge_pending(pending, judge, weights, file, done, workers, advance)
            if weights.digest is not None and (now := judge.ping().digest) != weights.digest:
                _withdraw(pending, file, done, f"failed: the judge's weights changed, {weights.digest} to {now}")
        except ChatError as error:
            kept = sum(record["score"] is not None for record in done.values())
            raise ChatError(
                f"the judge stopped: {error}\n{kept} of {len(wanted)} grades are kept in {ledger}; the same command "
                "goes on"
            ) from error
    return {judgement_id(g.task, judge.name, g.repeat): done[key] for key, g in wanted.items()}


def _judge_pending(
    pending: dict[str, _Wanted],
    judge: Judge,
    weights: ModelInfo,
    file: Judgements,
    done: dict[str, Record],
    workers: int,
    advance: Callable[[int], None],
) -> None:
    def grade(key: str, wanted: _Wanted) -> None:  # keeps the grade itself: one that is under way at a stop is not lost
        record = {"id": key, **_grade(wanted, judge, weights)}
        file.append(record)
        done[key] = record

    pool, futures = ThreadPoolExecutor(max_workers=workers), list[Future[None]]()
    try:
        futures.extend(pool.submit(grade, *item) for item in pending.items())
        for future in as_completed(futures):
            future.result()
            advance(1)
    except BaseException as error:
        pool.shutdown(wait=False, cancel_futures=True)
        judge.stop()
        under_way = sum(not future.done() for future in futures)
        if under_way and not isinstance(error, OSError):  # a file that cannot be written keeps none of them
            logger.warning("stopping: waiting for %d answers that are under way; nothing else is asked", under_way)
        raise
    finally:
        pool.shutdown(wait=True)


def _withdraw(keys: Iterable[str], file: Judgements, done: dict[str, Record], reason: str) -> None:
    """Take scores back, so that they are asked for again by the same command."""
    for key in keys:
        if done[key]["score"] is not None:
            done[key] = {**done[key], "score": None, "reason": reason}
            file.append(done[key])


def _grade(wanted: _Wanted, judge: Judge, weights: ModelInfo) -> Record:
    task, fields, started = wanted.task, wanted.task.fields or {}, time.monotonic()
    rubric = judge.rubrics.of(task.metric)
    if rubric is None:
        raise ValueError(f"the rubrics do not ask for {task.metric}; leave such tasks out (`Judge.not_measured`)")
    judgement = judge(rubric, fields, seed=wanted.seed)
    return {
        "metric": task.metric,
        "key": task.key,
        "video_name": video_of(task.key),
        "repeat": wanted.repeat,
        "score": judgement.score,
        "reason": judgement.reason,
        "fields": fields,
        "prompt": [[message.role, message.text] for message in judgement.prompt],
        "reply": judgement.replies[-1] if judgement.replies else "",
        "replies": list(judgement.replies),
        **_of_itself(judgement.last),
        "judge": judge.name,
        "digest": weights.digest,
        "quantisation": weights.quantisation,
        "rubrics": judge.rubrics.digest,
        **judge.settings,
        "seed": wanted.seed,
        "seconds": round(time.monotonic() - started, 3),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _of_itself(last: Reply | None) -> Record:
    """What a model's last reply says of itself; nothing where no model replied."""
    if last is None:
        return {}
    told = {"model": last.model, "system_fingerprint": last.fingerprint, "cut": last.cut}
    return {**told, "not_told": list(last.omitted)}
