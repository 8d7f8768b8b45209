"""The files of a curation run: instructions, questions, the data set, a page, and counts."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from data_curation.captioning.captioner import Captioner
from data_curation.ledger import Record, done
from data_curation.parts import Parts
from data_curation.prompts import CONSISTENCY, DESCRIBE
from data_curation.questions.make_qa import QaWriter
from data_curation.results.curation_report import write_report
from data_curation.results.dataset import write_dataset
from data_curation.results.dataset_rows import FIELDS, DatasetRow, action_number
from data_curation.results.report_costs import spending
from data_curation.results.report_counts import Reason, StepCount, clips_left_out, discrepancies, step_counts
from data_curation.steps import StepResult
from data_curation.terminal import print_counts
from ski_lvlm.datasets.catalogue import DataSet
from ski_lvlm.datasets.clip_groups import recordings
from ski_lvlm.datasets.instruction_file import instruction_record, read_instructions
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import Shard

_PAIRS = {"train": "instructions.json", "validation": "instructions_validation.json"}
_QUESTIONS = {"test": "questions.json", "unseen": "questions_unseen.json"}
_SPLITS = {"train": "train", "validation": "validation", "test": "test", "unseen": "test_unseen"}


class Outcome:
    """The files of a run, from the records of its steps and the number of pairs of each clip.

    `packed` holds the clips with a packed skeleton. Those with joints in the picture have one too.
    """

    def __init__(
        self,
        out: Path,
        parts: Parts,
        steps: Mapping[str, StepResult],
        shares: Mapping[str, int],
        spent: Sequence[Record],
        *,
        data: DataSet,
        packed: Container[str] = frozenset(),
    ) -> None:
        self.out, self.parts, self._shares, self._spent = out, parts, shares, spent
        self._data, self._packed = data, packed
        self.steps = {
            name: {clip: record for clip, record in step.records.items() if record["status"] != "open"}
            for name, step in steps.items()
        }
        self._stopped = [f"{name}: {step.stopped}" for name, step in steps.items() if step.stopped]

    def report_shard(self, shard: Shard) -> int:
        """Print the counts of a shard. Returns 1 if the same command should be run again."""
        remedy = "when all shards have run, the same command without --shard writes the files"
        title = f"shard {shard.index} of {shard.count}"
        spent = [record for record in self._spent if shard.holds(record["name"])]
        counts, left_out = step_counts(self.steps), clips_left_out(self.steps)
        print_counts(counts, spent, title=title, lines=[*_reasons(left_out), remedy])
        return self._exit_code(counts)

    def finish(self, *, num_clips: int, settings: Mapping[str, object], captioner: Captioner, writer: QaWriter) -> int:
        """Write all files. Returns 1 if the same command should be run again.

        Raises:
            ValueError: every clip was left out.
        """
        facts = {
            "captioner": captioner.model,
            "caption prompt": captioner.version,
            "question writer": writer.model,
            "question prompt": writer.version,
        }
        if captioner.note:
            facts["captioner's pictures"] = captioner.note
        num_records = self.write(facts=facts)
        errors = discrepancies(self.steps, self.parts)
        assert not errors, errors
        counts, left_out = step_counts(self.steps), clips_left_out(self.steps)
        summary = {
            "clips": num_clips,
            "steps": {row.step: row._asdict() for row in counts},
            "reasons": {
                title: {reason.reason: reason.times for reason in listed} for title, listed in left_out.items()
            },
            "written": dict(num_records),
            "spent": [row._asdict() for row in spending(self._spent)],
        }
        write_json(self.out / "summary.json", summary)
        page = write_report(
            self.out,
            steps=self.steps,
            parts=self.parts,
            data=self._data,
            spent=self._spent,
            settings={**settings, **facts},
        )
        files = [f"{self.out / file}: {number} records" for file, number in num_records.items()]
        print_counts(
            counts,
            self._spent,
            title=f"{num_clips} clips in the folder",
            lines=[*_reasons(left_out), *files, f"report: {page}"],
        )
        code = self._exit_code(counts)
        if not num_records and not code:
            raise ValueError(
                f"nothing was written: every clip was left out; the reasons are above and in {self.out}/*.jsonl"
            )
        return code

    def _exit_code(self, counts: Sequence[StepCount]) -> int:
        console = Console(stderr=True)
        failed = sum(row.failed for row in counts)
        for reason in self._stopped:
            console.print(reason, markup=False, highlight=False, soft_wrap=True)
        if failed:
            console.print(f"{failed} clips failed for temporary reasons; run the same command again")
        return int(failed > 0 or bool(self._stopped))

    def write(self, *, facts: Mapping[str, object]) -> dict[str, int]:
        """Write the files of the parts with clips, and return their numbers of records."""
        rows = {
            _SPLITS[part]: self._pair_rows(part) if part in _PAIRS else self._question_rows(part) for part in self.parts
        }
        num_records: dict[str, int] = {}
        for part, file in _PAIRS.items():
            records = [self._conversation(row) for row in rows.get(part, ())]
            self._write(part, file, records, num_records)
            if records:
                read_instructions(self.out / file)
        for part, file in _QUESTIONS.items():
            self._write(part, file, [_question(row) for row in rows.get(_SPLITS[part], ())], num_records)
        if num_records:
            write_dataset(self.out / "dataset", rows, facts=facts)
        return num_records

    def _write(self, part: str, file: str, records: Sequence[Record], num_records: dict[str, int]) -> None:
        if records:
            write_json(self.out / file, records)
            num_records[file] = len(records)
        elif part in self.parts and not self._stopped:  # a file of other settings
            (self.out / file).unlink(missing_ok=True)

    def _pair_rows(self, part: str) -> list[DatasetRow]:
        captions, qa = done(self.steps["caption"]), done(self.steps["qa"])
        columns = self._columns([name for name in self.parts[part] if name in qa])
        return [
            self._row(name, number, captions[name]["caption"], columns[name], **pair)
            for name in columns
            for number, pair in enumerate(qa[name]["pairs"][: self._shares[name]])
        ]

    def _question_rows(self, part: str) -> list[DatasetRow]:
        captions = done(self.steps["caption"])
        questions = {
            "kind": "description",
            "question": DESCRIBE,
            "question_1": CONSISTENCY[0],
            "question_2": CONSISTENCY[1],
        }
        columns = self._columns([name for name in self.parts[part] if name in captions])
        return [
            self._row(name, 0, caption := captions[name]["caption"], columns[name], answer=caption, **questions)
            for name in columns
        ]

    def _columns(self, names: Sequence[str]) -> dict[str, Record]:
        """Return the columns of the recording of each clip, with its action's number and name."""
        actions = [self._data.action(str(name)) for name in self._data.classes_of(names)] if names else []
        return {
            name: {"subject": None, **recording, "action": action_number(action.id), "action_name": action.name}
            for name, recording, action in zip(names, recordings(self._data, names), actions, strict=True)
        }

    def _row(self, name: str, number: int, caption: str, columns: Record, **texts: str) -> DatasetRow:
        recording = {column: value for column, value in columns.items() if column not in FIELDS}
        return DatasetRow(
            id=f"{name}_{number}",
            clip=name,
            subject=columns["subject"],
            action=columns["action"],
            action_name=columns["action_name"],
            caption=caption,
            has_skeleton=self.steps["crop"][name]["found_by"] == "skeleton" or name in self._packed,
            columns=recording,
            **texts,
        )

    def _conversation(self, row: DatasetRow) -> Record:
        return instruction_record(
            row.id, clip=row.clip, question=row.question, answer=row.answer, with_skeleton=row.has_skeleton
        )


def _reasons(left_out: Mapping[str, Sequence[Reason]]) -> list[str]:
    return [f"{title}: {reason.times} x {reason.reason}" for title, listed in left_out.items() for reason in listed]


def _question(row: DatasetRow) -> Record:
    return {"video_name": row.clip, "Q": row.question, "A": row.answer, "Q1": row.question_1, "Q2": row.question_2}
