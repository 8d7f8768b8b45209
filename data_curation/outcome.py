"""What a curation run leaves: the instruction and question files, and a summary whose counts add up."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from data_curation.ledger import Record, done
from data_curation.prompts import CONSISTENCY, DESCRIBE
from ski_lvlm import ntu
from ski_lvlm.files import write_json
from ski_lvlm.instruction_file import instruction_record, read_instructions

_FILES = {"test": "questions.json", "unseen": "questions_unseen.json"}
_PLACE = re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}|(?<!\S)\S*/\S+|\d+")


def parts(names: Iterable[str], *, split: str, part: str) -> dict[str, list[str]]:
    """Sort clips into `train`, `test` (both of seen classes) and `unseen` (test subjects only); others are left out.

    Assumption: the subjects of NTU's cross-subject protocol train; the paper does not say which clips its pairs are of.

    Raises:
        ValueError: a file's name is not NTU's, or no clip is of this split.
    """
    names = list(names)
    chosen = ntu.Split("all", "ntu120", tuple(range(1, 121)), ()) if split == "all" else ntu.split_named(split)
    wanted = {
        "train": ntu.clips(names, split=chosen, protocol="xsub", part="seen_train") if part != "test" else [],
        "test": ntu.clips(names, split=chosen, protocol="xsub", part="seen_test") if part != "train" else [],
        "unseen": ntu.clips(names, split=chosen, protocol="xsub", part="unseen_test") if part != "train" else [],
    }
    if not any(wanted.values()):
        raise ValueError(
            f"none of {len(names)} clips belongs to part {part!r} of split {split!r}; check --split, --part"
        )
    return wanted


@contextmanager
def progress() -> Iterator[Callable[[str, int], Callable[[], object]]]:
    """Bars on the terminal: call the result with a title and a total, and what that returns once per clip."""
    shown = (TextColumn("{task.description:16}"), BarColumn(), MofNCompleteColumn())
    with Progress(*shown, TimeElapsedColumn(), TimeRemainingColumn()) as bars:

        def track(title: str, total: int) -> Callable[[], object]:
            task = bars.add_task(title, total=total)
            return lambda: bars.advance(task)

        yield track


def write(
    out: Path, *, parts: Mapping[str, list[str]], captions: Mapping[str, Record], pairs: Mapping[str, Record]
) -> dict[str, int]:
    """Write the files of those parts that have clips, and return how many records each holds."""
    written = {}
    records = [record for name, made in done(pairs).items() for record in _conversations(name, made)]
    if records:
        write_json(out / "instructions.json", records)
        written["instructions.json"] = len(read_instructions(out / "instructions.json"))
    captioned = done(captions)
    for part, file in _FILES.items():
        questions = [_question(name, captioned[name]["caption"]) for name in parts[part] if name in captioned]
        if questions:
            write_json(out / file, questions)
            written[file] = len(questions)
    return written


def _conversations(name: str, made: Record) -> Iterator[Record]:
    for number, pair in enumerate(made["pairs"]):
        yield instruction_record(f"{name}_{number}", clip=name, question=pair["question"], answer=pair["answer"])


def _question(name: str, caption: str) -> dict[str, str]:
    return {"video_name": name, "Q": DESCRIBE, "A": caption, "Q1": CONSISTENCY[0], "Q2": CONSISTENCY[1]}


def summarise(out: Path, *, found: int, steps: Mapping[str, Mapping[str, Record]], written: Mapping[str, int]) -> int:
    """Print the counts and reasons, keep them in `summary.json`, and return 1 if clips should be tried again.

    Raises:
        ValueError: nothing was written at all.
    """
    counts = {step: count(records) for step, records in steps.items()}
    why = {step: reasons(records) for step, records in steps.items()}
    write_json(out / "summary.json", {"clips": found, "steps": counts, "reasons": why, "written": dict(written)})
    console = Console()
    table = Table("step", "in", "done", "rejected", "failed", title=f"{found} clips in the folder")
    for step, row in counts.items():
        table.add_row(step, *(str(row[column]) for column in ("in", "done", "rejected", "failed")))
    console.print(table)
    for step, listed in why.items():
        for reason, times in listed.items():
            console.print(f"{step}: {times} x {reason}", markup=False, highlight=False)
    for file, number in written.items():
        console.print(f"{out / file}: {number} records", markup=False, highlight=False)
    if not written:
        raise ValueError(f"nothing was written: every clip was left out; the reasons are above and in {out}/*.jsonl")
    failed = sum(row["failed"] for row in counts.values())
    if failed:
        console.print(f"{failed} clips failed for reasons that may pass; run the same command again")
    return int(failed > 0)


def count(records: Mapping[str, Record]) -> dict[str, int]:
    """How many clips went into a step and what became of them.

    >>> count({"a": {"status": "done"}, "b": {"status": "rejected"}})
    {'in': 2, 'done': 1, 'rejected': 1, 'failed': 0}
    """
    by = Counter(record["status"] for record in records.values())
    return {"in": len(records)} | {status: by[status] for status in ("done", "rejected", "failed")}


def reasons(records: Mapping[str, Record]) -> dict[str, int]:
    """How often each reason was given, most frequent first; clips, files and numbers in it count as the same."""
    given = (record["reason"] for record in records.values() if record["status"] != "done")
    return dict(Counter(_PLACE.sub("…", reason) for reason in given).most_common())
