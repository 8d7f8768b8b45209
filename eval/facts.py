"""Grade captions of synthetic clips by their exact facts, or make questions whose options differ in one fact.

    python eval/facts.py --predictions predictions.json --facts DIR --out OUT
    python eval/facts.py --compare OUT OTHER_OUT
    python eval/facts.py --foils --facts DIR --out questions.json       # for eval/choose.py

DIR has the facts.jsonl of data_curation/synthesize.py --actions 48. Captions are read word by word with a fixed
vocabulary (data_curation/fact_texts/vocabulary.json), so what it does not know counts as not named.

OUT gets captions.jsonl (the statements of each caption), facts.json (shares with intervals over clips) and facts.md.
Of each kind, `right` is the share of right statements among those that captions make, and `told` the share of facts
that are rightly told. A fact that a caption does not speak of is not a wrong statement.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from eval.items.questions import ANSWERS
from ski_lvlm.cli import parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Grade, compare or write questions."""
    args = arguments(argv)
    if args.compare:
        return _compare(*args.compare, out=args.out)
    return _foils(args) if args.foils else _grade(args)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--predictions", type=Path, nargs="+", help="files of eval/describe.py with captions")
    p.add_argument("--facts", type=Path, metavar="DIR", help="folder with facts.jsonl, or the file")
    p.add_argument("--out", type=Path, help="folder for the results (default: facts), or the file of --foils")
    p.add_argument("--answer", choices=tuple(ANSWERS.values()), default="pred", help="answer that is graded")
    p.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two folders of results to compare")
    p.add_argument("--foils", action="store_true", help="write multiple-choice questions of each kind of fact to --out")
    p.add_argument("--seed", type=int, default=0, help="seed of the foils and their wording")
    args = p.parse_args(argv)
    if args.compare:
        return args
    if not args.facts:
        p.error("give --facts DIR, a folder with facts.jsonl, or --compare A B")
    if args.foils and (args.predictions or not args.out):
        p.error("--foils takes no --predictions and writes to --out; give --foils --facts DIR --out questions.json")
    if not args.foils and not args.predictions:
        p.error("give --predictions FILE, made by eval/describe.py, or --foils")
    return args


def _grade(args: argparse.Namespace) -> int:
    from data_curation.fact_texts.clip_facts import FACTS, read_facts
    from eval.fact_checks.grades import grade
    from eval.fact_checks.results import TABLE, markdown, write_results
    from eval.items.predictions import read_predictions
    from ski_lvlm.storage.digests import file_digest

    facts = read_facts(args.facts)
    graded = grade(read_predictions(args.predictions), facts, answer=args.answer)
    file = args.facts / FACTS if args.facts.is_dir() else args.facts
    about = {
        "predictions": [str(path) for path in args.predictions],
        "facts": str(file),
        "facts_digest": file_digest(file),
        "answer": args.answer,
    }
    out = args.out or Path("facts")
    print(markdown(write_results(out, graded, about)))
    print(f"written: {out / TABLE}")
    return 0


def _compare(a: Path, b: Path, *, out: Path | None) -> int:
    from eval.fact_checks.results import compare
    from eval.scoring.terminal import interval, p_value, plain_table, print_table, write_result

    result = compare(a, b)
    table = plain_table("kind", "of", "a", "b", "b - a", "95 % interval", "p", "captions")
    for kind, rows in result["kinds"].items():
        for of, row in rows.items():
            cells = ("", "", "", "", "")
            if row["pairs"]:
                points = (f"{row['a']:.1f}", f"{row['b']:.1f}", f"{row['difference']:+.1f}")
                cells = (*points, interval(row["interval"], sign="+"), p_value(row["p"]))
            table.add_row(kind, "what is named" if kind == "invented" else of, *cells, str(row["pairs"]))
    print_table(table)
    print(f"a: {a}\nb: {b}\nb - a in points of 100, 95 % paired bootstrap over clips, p: sign-flip permutations")
    write_result(out, "compare.json", result)
    return 0


def _foils(args: argparse.Namespace) -> int:
    from collections import Counter

    from data_curation.fact_texts.clip_facts import read_facts
    from eval.fact_checks.foils import foils
    from ski_lvlm.storage.files import write_json

    questions = foils(list(read_facts(args.facts).values()), seed=args.seed)
    write_json(args.out, questions)
    counts = Counter(question["kind"] for question in questions)
    print(f"{len(questions)} questions in {args.out}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
    return 0


if __name__ == "__main__":
    run(main)
