"""Let a trained SKI-LVLM answer the questions of a benchmark file about videos; no skeleton is needed.

    python eval/describe.py --model DIR --videos DIR --questions FILE --out predictions.json

FILE is a list of {video_name, Q, A, Q1, Q2}; OUT repeats it with pred, pred1, pred2. Greedy unless --temperature is
given. Answers are kept one by one beside OUT, so the same command continues after a kill (in bf16, other neighbours in
a batch can tip a near tie; --batch_size 1 is exact). A video that is missing or cannot be read gets null answers and
the reason, never another video's.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ski_lvlm.cli import parser, run  # noqa: E402
from ski_lvlm.files import append_jsonl, read_jsonl, write_json  # noqa: E402

if TYPE_CHECKING:
    from ski_lvlm.lvlm import SkiLvlm

ANSWERS = {"Q": "pred", "Q1": "pred1", "Q2": "pred2"}
Item = dict[str, Any]


def read_questions(path: Path) -> list[Item]:
    """The items of a questions file; LLAVIDAL's cons_Q1 and cons_Q2 are read as Q1 and Q2.

    Raises:
        ValueError: not a list of objects with a video_name and at least one question.
    """
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error}); expected a list of {{video_name, Q, A, Q1, Q2}}") from error
    if not isinstance(items, list) or not items:
        raise ValueError(f"{path}: expected a non-empty list of {{video_name, Q, A, Q1, Q2}}")
    return [_item(item, f"{path}: item {number}") for number, item in enumerate(items)]


def _item(item: Any, where: str) -> Item:  # noqa: ANN401
    if not isinstance(item, dict):
        raise ValueError(f"{where} is {item!r:.60}; expected an object {{video_name, Q, A, Q1, Q2}}")
    spelled = {name.removeprefix("cons_") if name != "cons_A" else name: value for name, value in item.items()}
    if not spelled.get("video_name") or not questions_of(spelled):
        raise ValueError(f"{where} has no video_name or none of {list(ANSWERS)}; found {list(item)}")
    for name, value in spelled.items():
        if name in ("video_name", *ANSWERS) and not isinstance(value, str | None):
            raise ValueError(f"{where}: {name} is {value!r:.60}; expected a text")
    return spelled


def evenly(items: list[Item], limit: int | None) -> list[Item]:
    """At most `limit` items, evenly spaced.

    >>> evenly([{"n": n} for n in range(10)], 3)
    [{'n': 0}, {'n': 3}, {'n': 6}]
    """
    if limit is None or limit >= len(items):
        return items
    return [items[k * len(items) // limit] for k in range(limit)]


def questions_of(item: Item) -> dict[str, str]:
    """Answer field → question, for the questions an item has."""
    return {answer: item[question] for question, answer in ANSWERS.items() if item.get(question)}


def answer_key(video: str, question: str, settings: str) -> str:
    """What an answer is remembered by: another model, folder of videos, wording or sampling is another answer."""
    return hashlib.sha256(json.dumps([settings, video, question]).encode()).hexdigest()[:16]


def describe(
    model: "SkiLvlm",
    wanted: dict[str, list[str]],
    videos: Path,
    *,
    batch_size: int,
    workers: int,
    **generation: Any,  # noqa: ANN401
) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yield (video, question, answer, error) for every wanted question; clips are decoded ahead in workers."""
    from torch.utils.data import DataLoader

    from eval.clips import DecodedClips

    tower = model.load_tower()
    framing = model.config.manifest["video"].get("framing", "whole")
    clips = DecodedClips(list(wanted), videos, num_frames=tower.num_frames, side=tower.image_size, framing=framing)
    for batch in DataLoader(clips, batch_size=batch_size, num_workers=workers, collate_fn=list):
        readable = [clip for clip in batch if clip.frames is not None]
        for clip in batch:
            if clip.frames is None:
                yield from ((clip.name, question, None, clip.error) for question in wanted[clip.name])
        asked = [(clip, question) for clip in readable for question in wanted[clip.name]]
        for start in range(0, len(asked), batch_size):
            part = asked[start : start + batch_size]
            answers = model.generate([clip.frames for clip, _ in part], [q for _, q in part], **generation)
            for (clip, question), text in zip(part, answers, strict=True):
                yield clip.name, question, text, None


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    p = parser(__doc__ or "")
    p.add_argument("--model", type=Path, required=True, help="--output_dir of train_ski_lvlm.py")
    p.add_argument("--videos", type=Path, required=True, help="folder of videos, searched by clip name")
    p.add_argument("--questions", type=Path, required=True, help="benchmark file")
    p.add_argument("--out", type=Path, default=Path("predictions.json"), help="where the answers go")
    p.add_argument("--limit", type=int, help="answer this many items, evenly spaced over the file; default: all")
    p.add_argument("--batch_size", type=int, default=8, help="questions answered at once")
    p.add_argument("--workers", type=int, default=2, help="processes that decode videos ahead")
    p.add_argument("--max_new_tokens", type=int, default=256, help="longest answer, in tokens")
    p.add_argument("--temperature", type=float, default=0.0, help="0 is greedy; above, sampling with --seed")
    p.add_argument("--seed", type=int, default=0, help="seed for sampling")
    return p.parse_args(flags)


def main(flags: Sequence[str] | None = None) -> int:
    """Answer what is not answered yet and write the predictions."""
    args = parse(flags)
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: the answers as they come are kept under that name; give a .json file")
    items = evenly(read_questions(args.questions), args.limit)
    model = load(args.model)
    generation = {"max_new_tokens": args.max_new_tokens}
    if args.temperature:
        import torch

        torch.manual_seed(args.seed)
        generation |= {"do_sample": True, "temperature": args.temperature}
    sampling = f"{json.dumps(generation)} {args.seed if args.temperature else ''}"
    settings = f"{model_digest(model)} {args.videos.resolve()} {sampling}"
    log = args.out.with_suffix(".jsonl")
    done = {record["key"]: record for record in read_jsonl(log) if record["answer"] is not None}
    todo = unanswered(items, done, settings)
    remember(args, model, todo, done, settings=settings, log=log, generation=generation)
    predictions = [with_answers(item, done, settings) for item in items]
    write_json(args.out, predictions)
    return report(predictions, args.out)


def load(folder: Path) -> "SkiLvlm":
    """The trained model with its video projector alone, on the GPU where there is one."""
    import torch

    from ski_lvlm.llm import native_bf16
    from ski_lvlm.lvlm import SkiLvlm

    model = SkiLvlm.from_pretrained(
        folder, modalities=("video",), dtype=torch.bfloat16 if native_bf16() else torch.float32
    )
    return cast(Any, model).to("cuda" if torch.cuda.is_available() else "cpu")


def model_digest(model: "SkiLvlm") -> str:
    """Which weights answer: the projectors' and the frozen LLM's."""
    from ski_lvlm.digest import weights_digest

    return f"{weights_digest(model.projectors)} {model.config.llm_digest}"


def unanswered(items: list[Item], done: dict[str, Item], settings: str) -> dict[str, list[str]]:
    """Video → its questions without an answer, each wording once."""
    todo: dict[str, list[str]] = {}
    for item in items:
        video = str(item["video_name"])
        for question in questions_of(item).values():
            if answer_key(video, question, settings) not in done and question not in todo.get(video, []):
                todo.setdefault(video, []).append(question)
    return todo


def remember(
    args: argparse.Namespace,
    model: "SkiLvlm",
    todo: dict[str, list[str]],
    done: dict[str, Item],
    *,
    settings: str,
    log: Path,
    generation: dict[str, Any],
) -> None:
    """Answer `todo`, adding each answer to the log and to `done` as it comes."""
    from rich.progress import track

    total = sum(len(questions) for questions in todo.values())
    answers = describe(model, todo, args.videos, batch_size=args.batch_size, workers=args.workers, **generation)
    for video, question, text, error in track(answers, "describing", total=total, disable=not total):
        key = answer_key(video, question, settings)
        record = {"key": key, "video_name": video, "question": question, "answer": text, "error": error}
        append_jsonl(log, record)
        done[key] = record


def with_answers(item: Item, done: dict[str, Item], settings: str) -> Item:
    """The item with pred, pred1, pred2; null and the reason where the video could not be read."""
    records = {
        field: done[answer_key(str(item["video_name"]), question, settings)]
        for field, question in questions_of(item).items()
    }
    errors = {record["error"] for record in records.values() if record["error"]}
    answered = item | {field: record["answer"] for field, record in records.items()}
    return answered | {"error": "; ".join(sorted(errors))} if errors else answered


def report(predictions: list[Item], out: Path) -> int:
    """Say what was answered; exit code 1 when no video could be read."""
    failed = [item for item in predictions if item.get("error")]
    print(f"{len(predictions) - len(failed)} of {len(predictions)} items answered in {out}")
    for item in failed[:20]:
        print(f"  no answer: {item['video_name']}: {item['error']}")
    return 1 if len(failed) == len(predictions) else 0


if __name__ == "__main__":
    run(main)
