"""Let a trained SKI-LVLM answer the questions of a benchmark file about videos; no skeleton is needed.

    python eval/describe.py --model DIR --videos DIR --questions FILE --out predictions.json
    python eval/describe.py … --shard 1/8        # one of eight, each on a GPU; at last once without, which writes OUT
    python eval/describe.py --baseline video-chatgpt --projector_weights mm_projector.bin --base_llm ID \\
        --vision_tower openai/clip-vit-large-patch14 …

FILE is a list of {video_name, Q, A, Q1, Q2}, or one of the kinds in eval/items/records.py; OUT repeats it with pred,
pred1, pred2. Greedy unless --temperature is given. Answers are kept one by one beside OUT, so the same command goes on
after a kill (in bf16, other neighbours in a batch can tip a near tie, as they change what is sampled; --batch_size 1 is
exact). A video that is missing or cannot be read gets null answers and the reason, never another video's. An answer
that runs into --max_new_tokens is marked "cut" in the log and listed.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eval.items.answers import Answer, AnswerLog  # noqa: E402
from eval.items.questions import evenly, read_questions  # noqa: E402
from eval.items.records import Item  # noqa: E402
from ski_lvlm.cli import parser, run  # noqa: E402
from ski_lvlm.files import write_json  # noqa: E402
from ski_lvlm.sampling import add_sampling_flags, generation_settings  # noqa: E402
from ski_lvlm.shards import WHOLE, Shard, only_process, parse_shard  # noqa: E402

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from ski_lvlm.lvlm import SkiLvlm

BASELINE = ("projector_weights", "base_llm", "vision_tower")
SHOWN = 20  # failed or cut answers that are printed; the log has them all


def describe(
    model: "SkiLvlm",
    wanted: dict[str, list[str]],
    videos: Path,
    *,
    batch_size: int,
    workers: int,
    seed: int = 0,
    **generation: Any,  # noqa: ANN401
) -> Iterator[Answer]:
    """Yield an answer for every wanted question; clips are decoded ahead in workers, and each is seen once."""
    from torch.utils.data import DataLoader

    from eval.items.clips import DecodedClips

    tower = model.load_tower()
    framing = model.config.manifest["video"].get("framing", "whole")
    clips = DecodedClips(list(wanted), videos, num_frames=tower.num_frames, side=tower.image_size, framing=framing)
    for batch in DataLoader(clips, batch_size=batch_size, num_workers=workers, collate_fn=list):
        asked = []
        for clip in batch:
            if clip.frames is None:
                yield from (Answer(clip.name, question, None, clip.error) for question in wanted[clip.name])
            else:
                tokens = tower(clip.frames.unsqueeze(0).to(model.device))[0].float()
                asked += [(clip.name, tokens, question) for question in wanted[clip.name]]
        for start in range(0, len(asked), batch_size):
            yield from _answers(model, asked[start : start + batch_size], seed, generation)


def _answers(
    model: "SkiLvlm", asked: list[tuple[str, "Float[Tensor, 'N F']", str]], seed: int, generation: dict[str, Any]
) -> Iterator[Answer]:
    """One batch; what is sampled depends on the seed and on what is in the batch, not on what went before."""
    import torch
    from transformers import StoppingCriteriaList

    from ski_lvlm.inference import end_watch

    names, tokens, questions = zip(*asked, strict=True)
    digest = hashlib.sha256(json.dumps([seed, names, questions]).encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7]))
    watch = end_watch(model)
    texts = model.answer(tokens, questions, stopping_criteria=StoppingCriteriaList([watch]), **generation)
    for name, question, text, cut in zip(names, questions, texts, watch.cut, strict=True):
        yield Answer(name, question, text, cut=cut)


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    p = parser(__doc__ or "")
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", type=Path, help="--output_dir of train_ski_lvlm.py")
    which.add_argument("--baseline", choices=["video-chatgpt"], help="a published projector, with the next three flags")
    p.add_argument("--projector_weights", type=Path, help="mm_projector.bin of Video-ChatGPT, LLAVIDAL or SKI")
    p.add_argument("--base_llm", help="the baseline's language model, the one its projector was trained with")
    p.add_argument("--vision_tower", help="the baseline's tower, such as openai/clip-vit-large-patch14")
    p.add_argument("--num_frames", type=int, default=100, help="frames that the baseline sees of a video")
    p.add_argument("--videos", type=Path, required=True, help="folder of videos, searched by clip name")
    p.add_argument("--questions", type=Path, required=True, help="benchmark file")
    p.add_argument("--out", type=Path, default=Path("predictions.json"), help="where the answers go")
    p.add_argument("--limit", type=int, help="answer this many items, evenly spaced over the file; default: all")
    p.add_argument("--shard", help="i/n: answer part i of n, on GPU i of this machine; the run without it writes OUT")
    p.add_argument("--batch_size", type=int, default=8, help="questions answered at once")
    p.add_argument("--workers", type=int, default=2, help="processes that decode videos ahead")
    add_sampling_flags(p)
    args = p.parse_args(flags)
    wrong = [f"--{name}" for name in BASELINE if (getattr(args, name) is None) == bool(args.baseline)]
    if wrong:
        p.error(f"--baseline needs {', '.join(wrong)}" if args.baseline else f"{', '.join(wrong)}: only for --baseline")
    return args


def main(flags: Sequence[str] | None = None) -> int:
    """Answer what is not answered yet and write the predictions."""
    args = parse(flags)
    if args.out.suffix == ".jsonl":
        raise ValueError(f"--out {args.out}: the answers as they come are kept under that name; give a .json file")
    shard = parse_shard(args.shard) if args.shard else WHOLE
    generation = generation_settings(args)
    items = [item for item in evenly(read_questions(args.questions), args.limit) if shard.holds(item["video_name"])]
    with only_process(args.out.parent / f".{args.out.stem}.lock", shard):
        model = _open(args, shard)
        sampling = f"{json.dumps(generation)} {args.seed if args.temperature else ''}"
        log = AnswerLog(args.out, f"{model_digest(model)} {args.videos.resolve()} {sampling}", shard=shard)
        _answer(args, model, items, log, generation)
        predictions = [log.answered(item) for item in items]
        if shard == WHOLE:
            write_json(args.out, predictions)
    return report(predictions, log.cut(items), args, log.file if shard != WHOLE else args.out)


def _open(args: argparse.Namespace, shard: Shard) -> "SkiLvlm":
    if not args.baseline:
        return load(args.model, number=shard.index - 1)
    from ski_lvlm.inference import fast_dtype, on_device
    from ski_lvlm.published_projectors import video_chatgpt

    model = video_chatgpt(
        args.projector_weights,
        base_llm=args.base_llm,
        vision_tower=args.vision_tower,
        num_frames=args.num_frames,
        dtype=fast_dtype(),
    )
    return on_device(model, number=shard.index - 1)


def load(folder: Path, *, number: int = 0) -> "SkiLvlm":
    """The trained model with its video projector alone, on GPU `number` where there is one."""
    from ski_lvlm.inference import load_for_inference

    return load_for_inference(folder, number=number)


def model_digest(model: "SkiLvlm") -> str:
    """What answers: the projectors' weights, the frozen LLM's and tower's, and how a video is shown to it."""
    from ski_lvlm.digest import weights_digest

    video = model.config.manifest.get("video", {})
    shown = (video.get("digest"), video.get("num_frames"), video.get("framing"), model.config.chat_template)
    return f"{weights_digest(model.projectors)} {model.config.llm_digest} {' '.join(map(str, shown))}"


def _answer(
    args: argparse.Namespace, model: "SkiLvlm", items: list[Item], log: AnswerLog, generation: dict[str, Any]
) -> None:
    from rich.progress import track

    todo = log.unanswered(items)
    total = sum(len(questions) for questions in todo.values())
    settings = {"batch_size": args.batch_size, "workers": args.workers, "seed": args.seed}
    answers = describe(model, todo, args.videos, **settings, **generation)
    for answer in track(answers, "describing", total=total, disable=not total):
        log.add(answer)


def report(predictions: list[Item], cut: list[tuple[str, str]], args: argparse.Namespace, file: Path) -> int:
    """Say what was answered and what was cut; exit code 1 when no video could be read."""
    failed = [item for item in predictions if item.get("error")]
    print(f"{len(predictions) - len(failed)} of {len(predictions)} items answered in {file}")
    if args.shard:
        print(f"when all shards are done, the same command without --shard writes {args.out}")
    for item in failed[:SHOWN]:
        print(f"  no answer: {item['video_name']}: {item['error']}")
    if cut:
        print(f'{len(cut)} answers ran into --max_new_tokens {args.max_new_tokens}, marked "cut" in the log:')
    for video, question in cut[:SHOWN]:
        print(f"  cut: {video}: {question}")
    return 1 if predictions and len(failed) == len(predictions) else 0


if __name__ == "__main__":
    run(main)
