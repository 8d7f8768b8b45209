"""Checks of records beyond their format, and of overlaps between files."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from data_curation.checking.file_formats import QuestionTable
from data_curation.checking.question_records import Entry, QuestionPair
from data_curation.results.hold_out import By, subjects
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_groups import recognised

Level = Literal["error", "warning", "note"]
_LEAK = re.compile(r"\b(captions?|images?|as an ai)\b|<(?:video|skeleton|pose|human_pose|object|image)>", re.IGNORECASE)


class Finding(NamedTuple):
    """An `error`, a `warning` or a `note`, about a record or, without one, about the whole file."""

    file: str
    record: int | str | None
    id: str | None
    level: Level
    problem: str


def check_table(file: str, table: QuestionTable, *, data: DataSet) -> Iterator[Finding]:
    """Yield the findings about a single file, whose clips are perhaps those of a data set."""
    for fault in table.faults:
        yield Finding(file, None, None, "error", fault)
    for note in table.notes:
        yield Finding(file, None, None, "note", note)
    if table.format.endswith("conversations") and not any(entry.skeleton for entry in table.entries):
        yield Finding(
            file, None, None, "note", "no usable record has a skeleton: the skeleton projector is not trained"
        )
    ids: dict[str, Entry] = {}
    questions: dict[tuple[str, str], tuple[Entry, QuestionPair]] = {}
    clips = _clips(table)
    members = recognised(data, clips)
    is_mixed = 0 < len(members) < len(clips)
    for entry in table.entries:
        problems = [*_record_problems(entry), *_repeated_id(entry, ids), *_repeated_pairs(entry, questions)]
        if is_mixed and entry.video and entry.video not in members:
            problems.append(("note", f"the clip {entry.video!r} is not of {data.name}, though others are"))
        yield from (Finding(file, entry.record, entry.id, level, problem) for level, problem in problems)


def _clips(table: QuestionTable) -> dict[str, Entry]:
    """Return every clip with the first record about it."""
    first: dict[str, Entry] = {}
    for entry in table.entries:
        for clip in (entry.video, entry.skeleton):
            if clip:
                first.setdefault(clip, entry)
    return first


def _record_problems(entry: Entry) -> Iterator[tuple[Level, str]]:
    for problem in entry.problems:
        yield "error", problem
    if entry.skeleton and entry.video and entry.skeleton != entry.video:
        yield "warning", f"the skeleton is of clip {entry.skeleton!r}, the video of {entry.video!r}"
    for pair in entry.pairs:
        if not pair.question:
            yield "error", "there is no question beside the placeholders"
        elif _plain(pair.question) == _plain(pair.answer):
            yield "error", f"the answer repeats the question {pair.question!r:.60}"
        for part, text in pair._asdict().items():
            if leak := _LEAK.search(text):
                yield "warning", f"the {part} speaks of {leak.group().lower()!r}"
            if not _is_unicode(text):
                yield "error", f"the {part} holds half a character (a lone surrogate): {text!r:.60}"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_unicode(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def _repeated_id(entry: Entry, ids: dict[str, Entry]) -> Iterator[tuple[Level, str]]:
    # Published converters give all records of a video the video's name as id.
    if entry.id is None or entry.id in (entry.video, entry.skeleton):
        return
    if (first := ids.setdefault(entry.id, entry)) is not entry:
        yield "error", f"the id is that of record {first.record!r} too"


def _repeated_pairs(
    entry: Entry, questions: dict[tuple[str, str], tuple[Entry, QuestionPair]]
) -> Iterator[tuple[Level, str]]:
    clip = entry.video or entry.skeleton
    for pair in entry.pairs if clip else ():
        first, before = questions.setdefault((str(clip), _plain(pair.question)), (entry, pair))
        if before is pair:
            continue
        if _plain(before.answer) == _plain(pair.answer):
            yield "error", f"the pair {pair.question!r:.60} is in record {first.record!r} too"
        else:
            yield "warning", f"the question {pair.question!r:.60} was answered otherwise in record {first.record!r}"


def check_files(tables: Mapping[str, QuestionTable], *, data: DataSet, by: By) -> Iterator[Finding]:
    """Yield the clips (and by `subject` the data set's subjects) that are in more than one file.

    Raises:
        ValueError: the data set does not know its clips' subjects.
    """
    owner: dict[str, str] = {}
    for file, table in tables.items():
        first: dict[str, Entry] = {}
        clips = _clips(table)
        subject_of = subjects(list(recognised(data, clips)), data=data) if by == "subject" else {}
        if by == "subject" and not subject_of:
            problem = f"no clip is of {data.name}, so no subject is compared; give the data set with --data"
            yield Finding(file, None, None, "warning", problem)
        for clip, entry in clips.items():
            first.setdefault(f"clip {clip!r}", entry)
            if clip in subject_of:
                first.setdefault(f"subject {subject_of[clip]}", entry)
        for unit, entry in first.items():
            if (other := owner.setdefault(unit, file)) != file:
                yield Finding(file, entry.record, entry.id, "error", f"{unit} is in {other} too: a leak between splits")


def check_present(
    file: str, table: QuestionTable, *, modality: Literal["video", "skeleton"], folder: Path, has: Callable[[str], bool]
) -> Iterator[Finding]:
    """Yield the clips without a file of this `modality`, each once, with its first record."""
    entries = {name: entry for entry in reversed(table.entries) if (name := getattr(entry, modality))}
    for clip, entry in reversed(entries.items()):
        if not has(clip):
            yield Finding(file, entry.record, entry.id, "error", f"clip {clip!r} has no {modality} file in {folder}")


def kinds(findings: Iterable[Finding]) -> Counter[tuple[Level, str]]:
    """Count the problems, ignoring names and numbers in them.

    >>> kinds([Finding("f", i, None, "error", f"Q is {i}, not a text") for i in range(3)])
    Counter({('error', 'Q is …, not a text'): 3})
    """
    return Counter((f.level, re.sub(r"'[^']*'|\"[^\"]*\"|\b\d+\b", "…", f.problem)) for f in findings)
