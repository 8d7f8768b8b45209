"""Check instruction or question files, and report the problems of every record.

  python data_curation/validate.py instructions.json
  python data_curation/validate.py train.parquet validation.parquet test.parquet --by subject
  python data_curation/validate.py adlx_QAs_for_training.json --drop object --features DIR --out problems.jsonl

Conversations (ours, LLaVA's, Video-ChatGPT's, LLAVIDAL's, SKI-Models'), question files, predictions, raw pairs and
Parquet are recognised. Several files count as splits, so no clip may be in two of them. If a data set exists in two
formats, give one of them.

Exit code: 0 without errors (there may be warnings), 1 with errors, 2 if a file cannot be read.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ski_lvlm.cli import parser, run

if TYPE_CHECKING:
    from rich.console import Console

    from data_curation.checking.file_checks import Finding
    from data_curation.checking.file_formats import QuestionTable

_LEVELS = ("error", "warning", "note")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="JSON or Parquet")
    add("--data", default="ntu120", help="data set of the clips, for their subjects: a folder with dataset.json, or a "
        "built-in one")  # fmt: skip
    add("--by", default="clip", choices=("clip", "subject"), help="unit that two files must not share")
    add("--drop", action="append", default=[], choices=("object", "skeleton"), help="modality of records to ignore")
    add("--videos", type=Path, help="folder of videos, in which every clip must have a file")
    add("--features", type=Path, help="folder with video/ and skeleton/, in which every clip must have its tokens")
    add("--show", type=int, default=20, metavar="N", help="number of problems to print")
    add("--out", type=Path, help="write all problems here, as JSON lines {file, record, id, level, problem}")
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check the files, print the problems, and return the exit code."""
    args = arguments(argv)
    from rich.console import Console

    from data_curation.checking.file_checks import check_files, check_table
    from ski_lvlm.datasets.catalogue import open_data_set

    _check_arguments(args)
    data = open_data_set(args.data)
    tables, findings = _read(args)
    unreadable = len(tables) < len(args.files)
    for file, table in tables.items():
        findings += [*check_table(file, table, data=data), *_absent(file, table, args)]
    findings += check_files(tables, data=data, by=args.by)
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    if args.out:
        _write(args.out, findings)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    _show(findings, args.show, console)
    _summarise(tables, findings, console)
    errors = any(finding.level == "error" for finding in findings)
    return 2 if unreadable else int(errors)


def _check_arguments(args: argparse.Namespace) -> None:
    paths = [file.resolve() for file in args.files]
    if len(set(paths)) < len(paths):
        raise ValueError("a file is given twice; give every split once")
    if args.out and args.out.resolve() in paths:
        raise ValueError(f"--out {args.out} is one of the files to check; give another name")


def _read(args: argparse.Namespace) -> tuple[dict[str, "QuestionTable"], list["Finding"]]:
    """Return the readable files, and a finding for each of the others."""
    from data_curation.checking.file_checks import Finding
    from data_curation.checking.file_formats import read_table

    tables, findings = {}, []
    for file in args.files:
        try:
            tables[str(file)] = read_table(file, drop=args.drop)
        except (ValueError, OSError) as error:
            reason = str(error).removeprefix(f"{file}: ")
            findings.append(Finding(str(file), None, None, "error", f"cannot be read: {reason}"))
    return tables, findings


def _absent(file: str, table: "QuestionTable", args: argparse.Namespace) -> Iterator["Finding"]:
    from data_curation.checking.file_checks import check_present

    if args.videos:
        from ski_lvlm.storage.clip_names import ClipIndex
        from ski_lvlm.videos.folder import list_videos

        videos = ClipIndex(list_videos(args.videos))
        present = videos.find_all(entry.video for entry in table.entries if entry.video)
        yield from check_present(file, table, modality="video", folder=args.videos, has=present.__contains__)
    if args.features:
        from ski_lvlm.lvlm.features import FeatureFolder

        features = FeatureFolder(args.features)
        for modality in ("video", "skeleton"):
            yield from check_present(
                file, table, modality=modality, folder=args.features, has=partial(features.has, modality=modality)
            )


def _write(out: Path, findings: list["Finding"]) -> None:
    from ski_lvlm.storage.files import atomic_path

    with atomic_path(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(finding._asdict()) + "\n" for finding in findings)


def _show(findings: list["Finding"], limit: int, console: "Console") -> None:
    """Print the first problems one by one, and the counts by kind if there are more."""
    from data_curation.checking.file_checks import kinds

    for finding in findings[: max(limit, 0)]:
        console.print(_line(finding))
    if len(findings) > limit:
        console.print(f"… in all {len(findings)}, which are (all of them one by one: --out FILE.jsonl)")
        for (level, problem), times in kinds(findings).most_common(max(limit, 1)):
            console.print(f"{times:>8} x {level}: {_printable(problem)}")


def _line(finding: "Finding") -> str:
    name = "" if finding.id is None else f" (id {finding.id!r})"
    source = finding.file if finding.record is None else f"{finding.file}, record {finding.record!s}{name}"
    return f"{finding.level}: {_printable(source)}: {_printable(finding.problem)}"


def _printable(text: str) -> str:
    # Names come from anywhere: no control characters or lone surrogates reach the terminal.
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _summarise(tables: Mapping[str, "QuestionTable"], findings: list["Finding"], console: "Console") -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    levels = Counter((finding.file, finding.level) for finding in findings)
    grid = Grid()
    for column in ("file", "format"):
        grid.add_column(column, overflow="fold")
    for column in ("records", "clips", "pairs", "errors", "warnings"):
        grid.add_column(column, justify="right")
    for file, table in tables.items():
        clips = {entry.video or entry.skeleton for entry in table.entries} - {None}
        numbers = (len(table.entries), len(clips), sum(len(entry.pairs) for entry in table.entries))
        counts = (*numbers, levels[file, "error"], levels[file, "warning"])
        grid.add_row(Text(file), table.format, *map(str, counts))
    if tables:
        console.print(grid)


if __name__ == "__main__":
    run(main)
