"""What a curation run leaves: instruction and question files, the data set, a page, and counts that add up."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from data_curation.captioning.caption import Captioner
from data_curation.ledger import Record, done
from data_curation.parts import Parts
from data_curation.prompts import CONSISTENCY, DESCRIBE
from data_curation.questions.make_qa import QaWriter
from data_curation.results.curation_report import write_report
from data_curation.results.dataset import Row, write_dataset
from data_curation.results.report_costs import spending
from data_curation.results.report_counts import Reason, StepCount, clips_left_out, discrepancies, step_counts
from data_curation.steps import Step
from data_curation.terminal import print_counts
from ski_lvlm.datasets.instruction_file import instruction_record, read_instructions
from ski_lvlm.datasets.ntu import class_names, parse_name
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import Shard

_PAIRS = {"train": "instructions.json", "validation": "instructions_validation.json"}
_QUESTIONS = {"test": "questions.json", "unseen": "questions_unseen.json"}
_SPLITS = {"train": "train", "validation": "validation", "test": "test", "unseen": "test_unseen"}


class Outcome:
    """The files of a run, from what its steps recorded and how many pairs of each clip are wanted."""

    def __init__(
        self,
        out: Path,
        parts: Parts,
        steps: Mapping[str, Step],
        shares: Mapping[str, int],
        spent: Sequence[Record],
    ) -> None:
        self.out, self.parts, self._shares, self._spent = out, parts, shares, spent
        self.steps = {
            name: {clip: record for clip, record in step.records.items() if record["status"] != "open"}
            for name, step in steps.items()
        }
        self._stopped = [f"{name}: {step.stopped}" for name, step in steps.items() if step.stopped]

    def report_shard(self, shard: Shard) -> int:
        """Print what a shard has done; 1 if the same command should be run again."""
        remedy = "when all shards have run, the same command without --shard writes the files"
        title = f"shard {shard.index} of {shard.count}"
        mine = [record for record in self._spent if shard.holds(record["name"])]
        counts, left = step_counts(self.steps), clips_left_out(self.steps)
        print_counts(counts, mine, title=title, lines=[*_reasons(left), remedy])
        return self._verdict(counts)

    def finish(self, *, found: int, settings: Mapping[str, object], captioner: Captioner, writer: QaWriter) -> int:
        """Write all files; 1 if the same command should be run again.

        Raises:
            ValueError: nothing was written and nothing is to come.
        """
        made_by = {
            "captioner": captioner.model,
            "caption prompt": captioner.version,
            "question writer": writer.model,
            "question prompt": writer.version,
        }
        if captioner.note:
            made_by["captioner's pictures"] = captioner.note
        written = self.write(facts=made_by)
        wrong = discrepancies(self.steps, self.parts)
        assert not wrong, wrong
        counts, left = step_counts(self.steps), clips_left_out(self.steps)
        summary = {
            "clips": found,
            "steps": {row.step: row._asdict() for row in counts},
            "reasons": {title: {reason.reason: reason.times for reason in listed} for title, listed in left.items()},
            "written": dict(written),
            "spent": [row._asdict() for row in spending(self._spent)],
        }
        write_json(self.out / "summary.json", summary)
        page = write_report(
            self.out, steps=self.steps, parts=self.parts, spent=self._spent, settings={**settings, **made_by}
        )
        files = [f"{self.out / file}: {number} records" for file, number in written.items()]
        print_counts(
            counts,
            self._spent,
            title=f"{found} clips in the folder",
            lines=[*_reasons(left), *files, f"report: {page}"],
        )
        code = self._verdict(counts)
        if not written and not code:
            raise ValueError(
                f"nothing was written: every clip was left out; the reasons are above and in {self.out}/*.jsonl"
            )
        return code

    def _verdict(self, counts: Sequence[StepCount]) -> int:
        console = Console(stderr=True)
        failed = sum(row.failed for row in counts)
        for reason in self._stopped:
            console.print(reason, markup=False, highlight=False, soft_wrap=True)
        if failed:
            console.print(f"{failed} clips failed for reasons that may pass; run the same command again")
        return int(failed > 0 or bool(self._stopped))

    def write(self, *, facts: Mapping[str, object]) -> dict[str, int]:
        """Write the files of those parts that have clips, and return how many records each holds."""
        rows = {
            _SPLITS[part]: self._pair_rows(part) if part in _PAIRS else self._question_rows(part) for part in self.parts
        }
        written: dict[str, int] = {}
        for part, file in _PAIRS.items():
            records = [self._conversation(row) for row in rows.get(part, ())]
            self._write(part, file, records, written)
            if records:
                read_instructions(self.out / file)
        for part, file in _QUESTIONS.items():
            self._write(part, file, [_question(row) for row in rows.get(_SPLITS[part], ())], written)
        if written:
            write_dataset(self.out / "dataset", rows, facts=facts)
        return written

    def _write(self, part: str, file: str, records: Sequence[Record], written: dict[str, int]) -> None:
        if records:
            write_json(self.out / file, records)
            written[file] = len(records)
        elif part in self.parts and not self._stopped:  # what is there was made with other settings
            (self.out / file).unlink(missing_ok=True)

    def _pair_rows(self, part: str) -> list[Row]:
        captions, written = done(self.steps["caption"]), done(self.steps["qa"])
        return [
            self._row(name, number, captions[name]["caption"], **pair)
            for name in self.parts[part]
            if name in written
            for number, pair in enumerate(written[name]["pairs"][: self._shares[name]])
        ]

    def _question_rows(self, part: str) -> list[Row]:
        captions = done(self.steps["caption"])
        asked = {
            "kind": "description",
            "question": DESCRIBE,
            "question_1": CONSISTENCY[0],
            "question_2": CONSISTENCY[1],
        }
        return [
            self._row(name, 0, said := captions[name]["caption"], answer=said, **asked)
            for name in self.parts[part]
            if name in captions
        ]

    def _row(self, name: str, number: int, caption: str, **said: str) -> Row:
        clip = parse_name(name)
        return Row(
            id=f"{name}_{number}",
            clip=name,
            subject=clip.performer,
            action=clip.action,
            action_name=class_names(actions=[clip.action])[0],
            caption=caption,
            has_skeleton=self.steps["crop"][name]["found_by"] == "skeleton",
            **said,
        )

    def _conversation(self, row: Row) -> Record:
        return instruction_record(
            row.id, clip=row.clip, question=row.question, answer=row.answer, with_skeleton=row.has_skeleton
        )


def _reasons(left: Mapping[str, Sequence[Reason]]) -> list[str]:
    return [f"{title}: {reason.times} x {reason.reason}" for title, listed in left.items() for reason in listed]


def _question(row: Row) -> Record:
    return {"video_name": row.clip, "Q": row.question, "A": row.answer, "Q1": row.question_1, "Q2": row.question_2}
