"""Have a language model describe action classes in sentences, for SMIE, MSF and STAR.

  a data set:  describe_classes.py --data DIR --model openai:MODEL
  any names:   describe_classes.py --classes "pour tea,fold laundry" --out DIR --model ollama:llama3.1

DIR gets class_texts.csv, one line a class: what the action is, how the body moves, and what each of six parts does.
In the folder of a data set it is found by every command. Read it before you train, and mend it by hand.

Classes with a line stay as they are, so the same command continues after a stop. A reply that lacks a sentence is asked
for again. A class without a usable reply is named and left out, and nothing is made up for it. Exit code: 0 if all
classes are described, 1 if some are not, 2 for a wrong command.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_curation.build_flags import add_server_flags
from ski_lvlm.cli import parser, run

if TYPE_CHECKING:
    from data_curation.asking.asker import Asker
    from ski_lvlm.datasets.action_classes import ActionClass
    from ski_lvlm.datasets.class_texts import ClassTexts


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = parser(__doc__ or "")
    classes = flags.add_mutually_exclusive_group(required=True)
    classes.add_argument("--data", help="data set whose classes to describe: a folder with dataset.json, or ntu60, "
        "ntu120, synthetic")  # fmt: skip
    classes.add_argument("--classes", help="names of classes instead, separated by commas")
    flags.add_argument("--out", type=Path, help="folder for class_texts.csv. Default: that of --data")
    flags.add_argument("--model", required=True, help="openai:MODEL or ollama:MODEL")
    add_server_flags(flags.add_argument_group("language models on servers"))
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Describe the classes that have no line yet. Returns 1 if one still has none."""
    from data_curation.asking.askers import Askers
    from data_curation.describing.class_writer import request
    from ski_lvlm.datasets.action_classes import ActionClass, short_id
    from ski_lvlm.datasets.class_texts import FILE, read_rows
    from ski_lvlm.storage.shards import only_process

    args = arguments(argv)
    actions, out = _classes(args.data, args.classes, args.out)
    file, log = out / FILE, out / "class_texts"
    with only_process(log):
        texts = {row.name: row.texts for row in read_rows(file)} if file.exists() else {}
        names = {text for name in texts for text in (name, short_id(name))}
        missing = [action for action in actions if not names & {action.name, action.id}]
        if missing:
            askers, probe = Askers(args, log), request(ActionClass("stand still", id="1"))
            client = askers.client(args.model, args.base_url, probe)
            _describe(missing, askers.asker("describe", client, probe, price=args.price), texts, file)
    num_absent = sum(action.name not in texts for action in missing)
    print(f"{file}: {len(actions) - num_absent} of {len(actions)} classes are described")
    return int(num_absent > 0)


def _classes(data: str | None, names: str | None, out: Path | None) -> tuple[Sequence["ActionClass"], Path]:
    """Return the classes to describe, and the folder for the result."""
    from ski_lvlm.datasets.action_classes import ActionClass
    from ski_lvlm.datasets.catalogue import open_data_set

    data_set = open_data_set(data) if data else None
    folder = out or (data_set.folder if data_set else None)
    if folder is None:
        raise ValueError(
            "found neither --out nor the folder of a data set; expected a place for the result: give --out"
        )
    if data_set:
        return data_set.description.classes, folder
    texts = dict.fromkeys(text.strip() for text in (names or "").split(",") if text.strip())
    if not texts:
        raise ValueError(f"--classes is {names!r}; expected names with commas between")
    return [ActionClass(text, id=text) for text in texts], folder


def _describe(actions: Sequence["ActionClass"], asker: "Asker", texts: dict[str, "ClassTexts"], file: Path) -> None:
    """Add texts of classes, and save them after each. A class without a usable reply is told and left out."""
    from data_curation.asking.budget import BudgetSpent
    from data_curation.describing.class_writer import ask_texts
    from data_curation.ledger import Failed, Rejected
    from data_curation.terminal import progress
    from ski_lvlm.datasets.class_texts import write_class_texts

    with progress() as bars:
        advance = bars.track("describe", len(actions))
        for action in actions:
            try:
                texts[action.name] = ask_texts(asker, action)
                write_class_texts(file, texts)
            except (Rejected, Failed) as error:
                bars.say(f"error: {action.name}: {error}")
            except BudgetSpent as error:
                bars.say(f"error: {error}")
                return
            advance()


if __name__ == "__main__":
    run(main)
