"""The page of eval/choose.py: accuracies beside chance and the text-only floor, positions, answers to look at.

The page is a single file without scripts or links.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.choosing.items import LETTERS
from eval.choosing.methods import METHODS
from eval.choosing.results import read_results
from eval.pages.choice_figures import position_bars
from ski_lvlm.pages.page import page_template
from ski_lvlm.storage.files import atomic_path

SHOWN = 20  # answers of each list
TOO_MANY = 0.01  # of the answers without an option, from which the numbers are doubtful

Record = Mapping[str, Any]


def write_choice_report(folder: Path, floor: Record | None) -> Path:
    """Write FOLDER/report.html from the results in the folder. The same files give the same bytes.

    Args:
        folder: the --out of eval/choose.py.
        floor: the comparison with the text-only run, if there is one.

    Raises:
        ValueError: the folder has no results.
    """
    result, entries = read_results(folder)
    main = next(name for name in METHODS if name in result["methods"])
    html = page_template(Path(__file__).with_name("choice_report.html.j2")).render(
        run=folder.resolve().name,
        result=result,
        titles=METHODS,
        warnings=list(warnings(result)),
        figures=[
            {"title": METHODS[name], "image": position_bars(row["positions"]), **row}
            for name, row in result["methods"].items()
            if row["positions"]
        ],
        floor=floor,
        lists=[
            {"title": "Written answers that name no option", "answers": _shown(entries, _is_unparsed, main)},
            {"title": f"Wrong by {METHODS[main]}", "answers": _shown(entries, partial(_is_wrong, main), main)},
            {"title": "Without an answer", "answers": _shown(entries, _has_failed, main)},
        ],
        shown=SHOWN,
    )
    with atomic_path(folder / "report.html") as temporary:
        temporary.write_text(html, encoding="utf-8")
    return folder / "report.html"


def warnings(result: Record) -> Iterator[str]:
    """Yield the warnings above the numbers."""
    if result["text_only"]:
        yield "The model saw no video. These are the accuracies of the question alone."
    if not result["is_shuffled"]:
        yield "Options are in the order of the file. A model that prefers a position gains or loses by that order."
    for name, row in result["methods"].items():
        if row["unparsed"] > TOO_MANY * row["answers"]:
            yield (
                f"{row['unparsed']:,} of {row['answers']:,} answers name no option ({METHODS[name]}). They count as "
                "wrong in the accuracy over all."
            )
    if failed := max(row["failed"] for row in result["methods"].values()):
        yield f"{failed:,} answers are missing, for the reasons below. They count as wrong in the accuracy over all."


def _shown(entries: Sequence[Record], condition: Callable[[Record, Record], bool], main: str) -> list[dict[str, Any]]:
    """Return the first answers that fulfil the condition, evenly over the file, as the page shows them."""
    pairs = [(entry, answer) for entry in entries for answer in entry["answers"] if condition(entry, answer)]
    step = max(1, len(pairs) // SHOWN)
    return [_answer(entry, answer, main) for entry, answer in pairs[::step][:SHOWN]]


def _is_unparsed(entry: Record, answer: Record) -> bool:
    return answer["answer"] is not None and answer["choices"]["letter"] is None


def _is_wrong(main: str, entry: Record, answer: Record) -> bool:
    return answer["answer"] is not None and answer["choices"][main] != entry["right"]


def _has_failed(entry: Record, answer: Record) -> bool:
    return answer["answer"] is None


def _answer(entry: Record, answer: Record, main: str) -> dict[str, Any]:
    likelihoods = answer["likelihoods"] or [None] * len(answer["order"])
    options = [
        {
            "letter": letter,
            "text": entry["options"][option],
            "is_right": option == entry["right"],
            "is_choice": option == answer["choices"][main],
            "per_token": likelihood and likelihood[0] / likelihood[1],
        }
        for letter, option, likelihood in zip(LETTERS, answer["order"], likelihoods)
    ]
    return {"entry": entry, "answer": answer, "options": options}
