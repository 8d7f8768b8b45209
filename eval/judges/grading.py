"""Grading of many records in parallel, each once. Every grade is on disk before it counts."""

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eval.items.predictions import Task, video_of
from eval.judges.grade_file import GradeFile, Record
from eval.judges.judge import Judge
from ski_lvlm.servers.client import ChatError, ModelInfo, Reply
from ski_lvlm.storage.digests import digest

logger = logging.getLogger(__name__)


class GradingSettings(NamedTuple):
    """The settings of one grading run.

    Attributes:
        file: JSON-lines file. Each grade is appended and flushed to disk at once.
        workers: number of records that are graded in parallel.
        repeats: grades of each task, with the seeds `seed`, `seed` + 1, ...
        again: whether to repeat also unreadable replies at temperature 0. Failures are always repeated.
    """

    file: Path
    workers: int = 4
    repeats: int = 1
    seed: int = 0
    again: bool = False


def judgement_id(task: Task, judge: str, repeat: int = 0) -> str:
    """Return the id of a grade: judge, item, texts and repeat (from 0)."""
    return _digest(judge, task.metric, task.key, task.fields, repeat)


def _digest(*parts: Any) -> str:  # noqa: ANN401
    return digest(json.dumps(parts, sort_keys=True), length=24)


@dataclass(frozen=True)
class _Question:
    """One task for the judge, with the seed of its repeat."""

    task: Task
    repeat: int
    seed: int

    def record_id(self, judge: Judge) -> str:
        """Return the id in the file, which covers all that may move the grade, as rubrics and settings."""
        grade = judgement_id(self.task, judge.name, self.repeat)
        return _digest(grade, judge.rubrics.digest, judge.settings, self.seed)


def grade_all(
    tasks: list[Task], judge: Judge, settings: GradingSettings, *, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Record]:
    """Grade what the file has no grade for yet, and return all grades by `judgement_id`.

    If there is something to grade, the judge's weights are checked before and after. Grades of other weights under the
    same name are ignored. If the weights change during the run, its grades become unscored.

    Args:
        tasks: the tasks. Those without an answer of the model are skipped.
        judge: the judge.
        settings: file, number of workers and repeats.
        advance: called with the number of new grades, for a progress bar.

    Raises:
        ChatError: the judge is not running, has no model or fails repeatedly. Finished grades are kept.
        OSError: the file cannot be written.
    """
    repeats = range(settings.repeats)
    all_questions = [_Question(t, k, settings.seed + k) for k in repeats for t in tasks if t.fields is not None]
    questions = {question.record_id(judge): question for question in all_questions}
    file = GradeFile(settings.file, questions)
    grades = file.settled(again=settings.again)
    digests = {record.get("digest") for record in grades.values()}
    # A run that stopped between two versions of a judge leaves grades of both.
    if len(grades) < len(questions) or len(digests) > 1:
        weights = judge.ping()
        grades = {key: record for key, record in grades.items() if record.get("digest") in (None, weights.digest)}
        advance(len(grades))
        pending = {key: question for key, question in questions.items() if key not in grades}
        session = _Session(judge, weights, file, grades)
        try:
            session.grade(pending, settings.workers, advance)
            if weights.digest is not None and (now := judge.ping().digest) != weights.digest:
                session.withdraw(pending, f"failed: the judge's weights changed, {weights.digest} to {now}")
        except ChatError as error:
            scored = sum(record["score"] is not None for record in grades.values())
            raise ChatError(
                f"the judge stopped: {error}\n{scored} of {len(questions)} grades are saved in {settings.file}; run "
                "the same command again to resume"
            ) from error
    return {judgement_id(q.task, judge.name, q.repeat): grades[key] for key, q in questions.items()}


@dataclass(frozen=True)
class _Session:
    """A judge at work with known weights, and the grades so far."""

    judge: Judge
    weights: ModelInfo
    file: GradeFile
    grades: dict[str, Record]

    def grade(self, pending: Mapping[str, _Question], workers: int, advance: Callable[[int], None]) -> None:
        """Grade in parallel."""
        pool, futures = ThreadPoolExecutor(max_workers=workers), list[Future[None]]()
        try:
            futures.extend(pool.submit(self._grade_one, *item) for item in pending.items())
            for future in as_completed(futures):
                future.result()
                advance(1)
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            self.judge.stop()
            under_way = sum(not future.done() for future in futures)
            if under_way and not isinstance(error, OSError):  # without a writable file they are lost anyway
                logger.warning("stopping: waiting for %d answers that are under way; nothing else is asked", under_way)
            raise
        finally:
            pool.shutdown(wait=True)

    def _grade_one(self, key: str, question: _Question) -> None:
        # The thread saves its grade itself, so that grades under way at a stop are not lost.
        record = {"id": key, **_grade_record(question, self.judge, self.weights)}
        self.file.append(record)
        self.grades[key] = record

    def withdraw(self, keys: Iterable[str], reason: str) -> None:
        """Mark scores as failed, so that the same command asks for them again."""
        for key in keys:
            if self.grades[key]["score"] is not None:
                self.grades[key] = {**self.grades[key], "score": None, "reason": reason}
                self.file.append(self.grades[key])


def _grade_record(question: _Question, judge: Judge, weights: ModelInfo) -> Record:
    task, fields, start = question.task, question.task.fields or {}, time.monotonic()
    rubric = judge.rubrics.of(task.metric)
    if rubric is None:
        raise ValueError(f"the rubrics have no question for {task.metric}; skip such tasks (`Judge.not_measured`)")
    judgement = judge(rubric, fields, seed=question.seed)
    return {
        "metric": task.metric,
        "key": task.key,
        "video_name": video_of(task.key),
        "repeat": question.repeat,
        "score": judgement.score,
        "reason": judgement.reason,
        "fields": fields,
        "prompt": [[message.role, message.text] for message in judgement.prompt],
        "reply": judgement.replies[-1] if judgement.replies else "",
        "replies": list(judgement.replies),
        **_reply_facts(judgement.last),
        **judgement.facts,
        "judge": judge.name,
        "digest": weights.digest,
        "quantisation": weights.quantisation,
        "rubrics": judge.rubrics.digest,
        **judge.settings,
        "seed": question.seed,
        "seconds": round(time.monotonic() - start, 3),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _reply_facts(last: Reply | None) -> Record:
    if last is None:
        return {}
    facts = {"model": last.model, "system_fingerprint": last.fingerprint, "cut": last.cut}
    return {**facts, "not_told": list(last.omitted)}
