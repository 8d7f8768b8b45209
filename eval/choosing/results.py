"""The results of a run in its folder: choices.json for each question, and accuracy.json for all of them."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.choosing.accuracy import Choice, accuracies, accuracies_by_kind, chance
from eval.choosing.log import ChoiceLog, Record
from eval.choosing.methods import METHODS, NO_LETTERS, positions
from eval.choosing.model import ChoiceTask
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.json_files import read_json

CHOICES, ACCURACY = "choices.json", "accuracy.json"
TEXT_ONLY = "text_only"  # the folder of the floor in that of a run
_REMEDY = "expected the --out of a finished eval/choose.py; run it again without --shard"


def choices_by_method(
    tasks: Sequence[ChoiceTask], log: ChoiceLog, methods: Collection[str] = tuple(METHODS)
) -> dict[str, list[Choice]]:
    """Return the choice of each of these methods for each task."""
    choices: dict[str, list[Choice]] = {method: [] for method in METHODS if method in methods}
    for task in tasks:
        record = log.record(task)
        by_method = positions(record, task.item)
        has_evidence = record["answer"] is not None
        for method in choices:
            position = by_method[method]
            choices[method].append(Choice(task.item, task.number, task.order, position, has_evidence))
    return choices


def write_results(
    folder: Path,
    tasks: Sequence[ChoiceTask],
    log: ChoiceLog,
    about: dict[str, Any],
    *,
    is_shuffled: bool,
    missing: Mapping[str, str],
) -> dict[str, Any]:
    """Write both files, and return the content of accuracy.json.

    `about` is the origin of the results, `missing` the methods that the model has no evidence for, with the reason.
    """
    answered = [record for record in map(log.record, tasks) if record["answer"] is not None]
    if answered and "letter_likelihood" not in missing and not any(record.get("letters") for record in answered):
        missing = {**missing, "letter_likelihood": NO_LETTERS}
    choices = choices_by_method(tasks, log, METHODS.keys() - missing.keys())
    items = [task.item for task in tasks if task.number == 0]
    result = {
        **about,
        "items": len(items),
        "videos": len({item.video for item in items}),
        "orders": max(task.number for task in tasks) + 1,
        "is_shuffled": is_shuffled,
        "chance": chance(items),
        "methods": accuracies(choices, is_shuffled=is_shuffled),
        "not_measured": dict(missing),
        "kinds": accuracies_by_kind(choices),
    }
    write_json(folder / CHOICES, _entries(tasks, log, choices))
    write_json(folder / ACCURACY, result)
    return result


def _entries(tasks: Sequence[ChoiceTask], log: ChoiceLog, choices: dict[str, list[Choice]]) -> list[Record]:
    """Return each question with its answers, one for each order. Options are numbered as in the file, from 0."""
    entries: list[Record] = []
    for index, task in enumerate(tasks):
        if task.number == 0:
            item = task.item
            entries.append(
                {
                    "video_name": item.video,
                    "question": item.question,
                    "options": list(item.options),
                    "right": item.right,
                    "kind": item.kind,
                    "answers": [],
                }
            )
        record = log.record(task)
        evidence = {name: record.get(name) for name in ("order", "answer", "error", "cut", "letters")}
        likelihoods = {"likelihoods": record["options"]}
        by_method = {method: of_method[index].option for method, of_method in choices.items()}
        entries[-1]["answers"].append({**evidence, **likelihoods, "choices": by_method})
    return entries


def read_results(folder: Path) -> tuple[dict[str, Any], list[Record]]:
    """Return the content of accuracy.json and of choices.json.

    Raises:
        ValueError: the folder is not that of a finished run.
    """
    for name in (ACCURACY, CHOICES):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: found no {name}; {_REMEDY}")
    result, entries = read_json(folder / ACCURACY), read_json(folder / CHOICES)
    is_ours = isinstance(result, dict) and isinstance(result.get("methods"), dict) and isinstance(entries, list)
    if not is_ours or not all(isinstance(entry, dict) and isinstance(entry.get("answers"), list) for entry in entries):
        raise ValueError(f"{folder}: {ACCURACY} or {CHOICES} holds something else; {_REMEDY}")
    return result, entries
