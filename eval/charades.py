"""Make the dense-caption benchmark on Charades' test videos, as the SKI authors used it.

    python eval/charades.py --annotations Charades.zip --videos Charades_v1_480 --out questions.json

Reference of a video: its line of test_submission_caption.txt, a description that a person held out, which is not in the
CSV. Charades_v1_test.csv offers others by name: --reference script (what the actors were told), or descriptions (one
record for each, 2 to 4 a video). Each video is asked for a description, and in two wordings for consistency. Videos
that are not there are left out (or kept, to be answered later), never answered with another's; they and whatever is odd
in the annotations are counted, and listed in full beside OUT (questions.checks.json).

Paper: Sec. 4.2. The authors' references are these lines, for all 1,863 videos. Their published benchmark file asks all
of them one and the same question, for a detailed description within about 100 words with every action and what is done
with objects. Deviation: our question asks for the same in our words, because their repository has no licence. For
their exact protocol give theirs as --question TEXT: it is the field q of their score file test-corr.json. LLAVIDAL's
file of the same videos (Hugging Face dataset dreilly/ADL-X-Evals) has questions and two wordings of its own. Give it
to eval/describe.py --questions as it is. Assumption: the SKI authors publish no wordings for consistency, ours are
those of held-out clips (data_curation/prompts.py).
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
SHOWN = 20  # names printed of each kind of oddity; the checks file has all


class References(NamedTuple):
    """The captions that were asked for, and what is odd about the annotations, kind → videos or words."""

    captions: list[Caption]
    odd: dict[str, list[str]]


def read_references(annotations: Path, reference: str) -> References:
    """The references of a kind: submission, script or descriptions.

    Raises:
        CharadesError: the file they stand in is not there, cannot be read, or contradicts itself.
    """
    needed = SUBMISSION if reference == "submission" else TABLE
    odd: dict[str, list[str]] = {}
    texts = {}
    for pattern in (SUBMISSION, TABLE):
        try:
            file, damaged = find_file(annotations, pattern)
        except CharadesError as error:
            if pattern == needed:
                raise
            odd[f"{pattern} is not used"] = [str(error)]
            continue
        if damaged:
            odd["zips that cannot be read"] = sorted({*odd.get("zips that cannot be read", ()), *damaged})
        if file:
            text, encoding = text_of(file)
            texts[pattern] = (text, file.where)
            if encoding == "cp1252":
                odd.setdefault("files read as Windows-1252", []).append(file.where)
    if needed not in texts:
        raise CharadesError(
            f"no {needed} in {annotations}, which --reference {reference} needs; expected Charades.zip or its folder"
        )
    lines = submission_captions(*texts[SUBMISSION]) if SUBMISSION in texts else []
    rows = _rows(texts.get(TABLE), odd, needed=needed == TABLE)
    if lines and rows:
        ids = {caption.video for caption in lines}
        odd[f"in {SUBMISSION} but not in the CSV"] = sorted(ids - set(rows))
        odd[f"in the CSV but not in {SUBMISSION}"] = sorted(set(rows) - ids)
    chosen = {"submission": lines, "script": script_captions(rows), "descriptions": description_captions(rows)}
    captions = chosen[reference]
    odd["without a reference, left out"] = [caption.video for caption in captions if not caption.text]
    return References([caption for caption in captions if caption.text], {k: v for k, v in odd.items() if v})


def _rows(table: tuple[str, str] | None, odd: dict[str, list[str]], *, needed: bool) -> dict[str, dict[str, str]]:
    """The rows of the CSV; a damaged one that only serves to check the captions is told, not fatal."""
    try:
        return table_rows(*table) if table else {}
    except CharadesError as error:
        if needed:
            raise
        odd[f"{TABLE} is not used"] = [str(error)]
        return {}


def question_record(caption: Caption, *, question: str = QUESTION, wordings: Sequence[str] = CONSISTENCY) -> Item:
    """The benchmark's record of one reference.

    >>> question_record(Caption("AB12C", "One sits."), question="What?", wordings=("Which?", "What else?"))
    {'video_name': 'AB12C', 'Q': 'What?', 'A': 'One sits.', 'Q1': 'Which?', 'Q2': 'What else?'}
    """
    first, second = wordings
    return {"video_name": caption.video, "Q": question, "A": caption.text, "Q1": first, "Q2": second}


def without_video(captions: list[Caption], folder: Path) -> list[str]:
    """The videos of `captions` that `folder` does not hold, each once, in order.

    Raises:
        CharadesError: it holds none of them.
        VideoError: there is no such folder.
    """
    from ski_lvlm.storage.clip_names import ClipIndex
    from ski_lvlm.videos.folder import list_videos

    videos = ClipIndex(list_videos(folder))
    wanted = list(dict.fromkeys(caption.video for caption in captions))
    missing = [video for video in wanted if videos.find(video) is None]
    if len(missing) == len(wanted):
        raise CharadesError(
            f"{folder} holds none of the {len(wanted)} videos; expected {wanted[0] if wanted else 'ID'}.mp4 and so on, "
            "as in Charades_v1_480"
        )
    return missing


def main(argv: Sequence[str] | None = None) -> int:
    """Write the questions and the checks, and say what was found."""
    args = _arguments(argv)
    check_questions(args)
    captions, odd = read_references(args.annotations, args.reference)
    if missing := without_video(captions, args.videos):
        odd["videos that are missing, " + ("left out" if args.missing == "leave_out" else "kept")] = missing
    absent = set(missing) if args.missing == "leave_out" else set()
    kept = [caption for caption in captions if caption.video not in absent]
    checks = args.out.with_name(f"{args.out.stem}.checks.json")
    write_json(args.out, [question_record(c, question=args.question, wordings=args.wordings) for c in kept])
    write_json(checks, {"reference": args.reference, "records": len(kept), **odd})
    videos = len({caption.video for caption in kept})
    print(f"{len(kept)} records of {videos} videos (published: {PUBLISHED}) in {args.out}, checks in {checks}")
    for kind, names in odd.items():
        print(f"  {kind}: {len(names)}: {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}")
    return 0


def check_questions(args: argparse.Namespace) -> None:
    """Refuse questions that could not be asked, or measure nothing.

    Raises:
        ValueError: an empty or the published question, the same wording twice, or a name under which eval/describe.py
            reads JSON lines.
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
            f"--wordings: found the same twice, {args.wordings[0]!r}; expected two wordings, since consistency is how "
            "alike the answers to different ones are"
        )
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: what is written is one list, not a record a line; give a .json file")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("--annotations", type=Path, required=True, help="Charades.zip, or a folder that holds its files or itself")
    add("--videos", type=Path, required=True, help="folder of the videos, ID.mp4 each (Charades_v1_480)")
    add("--out", type=Path, default=Path("questions.json"), help="the benchmark file, for eval/describe.py")
    add("--reference", choices=("submission", "script", "descriptions"), default="submission", help="reference text")
    add("--missing", choices=("leave_out", "keep"), default="leave_out", help="records whose video is not there")
    add("--question", default=QUESTION, help="what asks for the description, in your own words or theirs")
    add("--wordings", nargs=2, default=CONSISTENCY, metavar=("Q1", "Q2"), help="the two questions for consistency")
    return flags.parse_args(argv)


if __name__ == "__main__":
    run(main)
