"""Make the dense-caption benchmark on Charades' test videos, as the SKI authors used it.

    python eval/charades.py --annotations Charades.zip --videos Charades_v1_480 --out questions.json

The reference of a video is its line of test_submission_caption.txt, a held-out description by a person. The CSV,
Charades_v1_test.csv, offers two others: --reference script (the instructions to the actors), or descriptions (one
record for each, 2 to 4 a video). Each video has a question for a description, and two wordings for consistency. Records
of missing videos are left out, or kept to be answered later. Missing videos and problems in the annotations are
counted, and listed in full beside OUT (questions.checks.json).

Paper: Sec. 4.2. The authors' references are these lines, for all 1,863 videos. Their published benchmark file has one
question for all of them: a detailed description within about 100 words with every action and the handling of objects.
Deviation: our question asks for the same in our words, because their repository has no licence. For their exact
protocol give theirs as --question TEXT. It is the field q of their score file test-corr.json. LLAVIDAL's file of the
same videos (Hugging Face dataset dreilly/ADL-X-Evals) has its own questions and wordings. Give it to eval/describe.py
--questions directly. Assumption: the SKI authors publish no wordings for consistency. Ours are those of held-out clips
(data_curation/prompts.py).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_curation.prompts import CONSISTENCY
from eval.items.charades_files import (
    SUBMISSION,
    TABLE,
    Caption,
    CharadesError,
    description_captions,
    find_file,
    script_captions,
    submission_captions,
    table_rows,
    text_of,
)
from eval.items.records import Item
from ski_lvlm.cli import parser, run
from ski_lvlm.storage.files import write_json

QUESTION = (
    "Describe in at most 100 words what people do in this video: every action, one after the other, and how they "
    "handle the objects around them."
)
PUBLISHED = 1863  # videos of the test set
SHOWN = 20  # names that are printed of each kind of problem. The checks file has all


class References(NamedTuple):
    """The captions, and the problems of the annotations: videos or texts by kind."""

    captions: list[Caption]
    problems: dict[str, list[str]]


def read_references(annotations: Path, reference: str) -> References:
    """Read the references of a kind: submission, script or descriptions.

    Raises:
        CharadesError: their file is missing, unreadable or contradicts itself.
    """
    needed = SUBMISSION if reference == "submission" else TABLE
    problems: dict[str, list[str]] = {}
    texts = {}
    for pattern in (SUBMISSION, TABLE):
        try:
            file, damaged = find_file(annotations, pattern)
        except CharadesError as error:
            if pattern == needed:
                raise
            problems[f"{pattern} is not used"] = [str(error)]
            continue
        if damaged:
            problems["zips that cannot be read"] = sorted({*problems.get("zips that cannot be read", ()), *damaged})
        if file:
            text, encoding = text_of(file)
            texts[pattern] = (text, file.source)
            if encoding == "cp1252":
                problems.setdefault("files read as Windows-1252", []).append(file.source)
    if needed not in texts:
        raise CharadesError(
            f"no {needed} in {annotations}, which --reference {reference} needs; expected Charades.zip or its folder"
        )
    lines = submission_captions(*texts[SUBMISSION]) if SUBMISSION in texts else []
    rows = _rows(texts.get(TABLE), problems, needed=needed == TABLE)
    if lines and rows:
        ids = {caption.video for caption in lines}
        problems[f"in {SUBMISSION} but not in the CSV"] = sorted(ids - set(rows))
        problems[f"in the CSV but not in {SUBMISSION}"] = sorted(set(rows) - ids)
    by_kind = {"submission": lines, "script": script_captions(rows), "descriptions": description_captions(rows)}
    captions = by_kind[reference]
    problems["without a reference, left out"] = [caption.video for caption in captions if not caption.text]
    return References([caption for caption in captions if caption.text], {k: v for k, v in problems.items() if v})


def _rows(table: tuple[str, str] | None, problems: dict[str, list[str]], *, needed: bool) -> dict[str, dict[str, str]]:
    """Return the rows of the CSV. Damage is fatal only if the references come from it."""
    try:
        return table_rows(*table) if table else {}
    except CharadesError as error:
        if needed:
            raise
        problems[f"{TABLE} is not used"] = [str(error)]
        return {}


def question_record(caption: Caption, *, question: str = QUESTION, wordings: Sequence[str] = CONSISTENCY) -> Item:
    """Return the benchmark's record of one reference.

    >>> question_record(Caption("AB12C", "One sits."), question="What?", wordings=("Which?", "What else?"))
    {'video_name': 'AB12C', 'Q': 'What?', 'A': 'One sits.', 'Q1': 'Which?', 'Q2': 'What else?'}
    """
    first, second = wordings
    return {"video_name": caption.video, "Q": question, "A": caption.text, "Q1": first, "Q2": second}


def without_video(captions: list[Caption], folder: Path) -> list[str]:
    """Return the videos of `captions` that `folder` does not hold, each once, in order.

    Raises:
        ValueError: it holds none of them, or does not exist.
    """
    from ski_lvlm.storage.clip_names import ClipIndex
    from ski_lvlm.videos.folder import list_videos

    videos = ClipIndex(list_videos(folder))
    names = list(dict.fromkeys(caption.video for caption in captions))
    missing = [video for video in names if videos.find(video) is None]
    if len(missing) == len(names):
        raise CharadesError(
            f"{folder} holds none of the {len(names)} videos; expected {names[0] if names else 'ID'}.mp4 and so on, "
            "as in Charades_v1_480"
        )
    return missing


def main(argv: Sequence[str] | None = None) -> int:
    """Write the questions and the checks, and print a summary."""
    args = _arguments(argv)
    check_questions(args)
    captions, problems = read_references(args.annotations, args.reference)
    if missing := without_video(captions, args.videos):
        problems["videos that are missing, " + ("left out" if args.missing == "leave_out" else "kept")] = missing
    absent = set(missing) if args.missing == "leave_out" else set()
    captions = [caption for caption in captions if caption.video not in absent]
    checks = args.out.with_name(f"{args.out.stem}.checks.json")
    write_json(args.out, [question_record(c, question=args.question, wordings=args.wordings) for c in captions])
    write_json(checks, {"reference": args.reference, "records": len(captions), **problems})
    videos = len({caption.video for caption in captions})
    print(f"{len(captions)} records of {videos} videos (published: {PUBLISHED}) in {args.out}, checks in {checks}")
    for kind, names in problems.items():
        print(f"  {kind}: {len(names)}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}")
    return 0


def check_questions(args: argparse.Namespace) -> None:
    """Refuse an empty or the published question, the same wording twice, and an OUT that ends in .jsonl.

    Raises:
        ValueError: the message names the flag.
    """
    if args.question.strip().lower() == "published":
        raise ValueError(
            "--question published: the published question is not shipped, because its repository has no licence. Give "
            "its words as --question TEXT (field q of the SKI authors' test-corr.json), or LLAVIDAL's question file "
            "(Hugging Face dataset dreilly/ADL-X-Evals) to eval/describe.py --questions"
        )
    if not all(text.strip() for text in (args.question, *args.wordings)):
        raise ValueError("--question and --wordings: found an empty text; expected a question each")
    first, second = (" ".join(text.split()).casefold() for text in args.wordings)
    if first == second:
        raise ValueError(
            f"--wordings: found the same twice, {args.wordings[0]!r}; expected two wordings, since consistency "
            "compares the answers to different ones"
        )
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: the output is one list, not a record a line; give a .json file")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("--annotations", type=Path, required=True, help="Charades.zip, or a folder that holds its files or itself")
    add("--videos", type=Path, required=True, help="folder of the videos, ID.mp4 each (Charades_v1_480)")
    add("--out", type=Path, default=Path("questions.json"), help="the benchmark file, for eval/describe.py")
    add("--reference", choices=("submission", "script", "descriptions"), default="submission", help="reference text")
    add("--missing", choices=("leave_out", "keep"), default="leave_out", help="records of missing videos")
    add("--question", default=QUESTION, help="the question for a description")
    add("--wordings", nargs=2, default=CONSISTENCY, metavar=("Q1", "Q2"), help="the two questions for consistency")
    return flags.parse_args(argv)


if __name__ == "__main__":
    run(main)
