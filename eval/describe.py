"""Let a trained SKI-LVLM answer the questions of a benchmark file about videos; no skeleton is needed.

    python eval/describe.py --model DIR --videos DIR --questions FILE --out predictions.json
    python eval/describe.py … --gpus 8           # on eight GPUs of this machine
    python eval/describe.py … --shard 1/8        # one of eight, each on a GPU; at last once without, which writes OUT
    python eval/describe.py --baseline video-chatgpt --projector_weights mm_projector.bin --base_llm ID \\
        --vision_tower openai/clip-vit-large-patch14 …

FILE is a list of {video_name, Q, A, Q1, Q2}, or one of the kinds in eval/items/records.py; OUT repeats it with pred,
pred1, pred2, and beside it, as in predictions.run.json, stands what it was made with. Greedy unless --temperature is
given. Answers are kept one by one beside OUT, so the same command goes on after a kill (in bf16, other neighbours in a
batch can tip a near tie, as they change what is sampled; --batch_size 1 is exact). A video that is missing or cannot be
read gets null answers and the reason, never another video's; the last line on stderr counts them. The exit code is 1 if
no item has an answer, with --strict if any has none. An answer that runs into --max_new_tokens is marked "cut" in the
log and listed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.describe_flags import arguments, check, run_file
from eval.items.answers import Answer, AnswerLog, logged_answers
from eval.items.provenance import provenance
from eval.items.questions import evenly, read_questions
from eval.items.records import Item
from ski_lvlm.cli import progress, run
from ski_lvlm.llm.sampling import generation_settings
from ski_lvlm.parallel.gpu_shards import run_on_gpus, shard_of
from ski_lvlm.storage.digests import digest, digest_number
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from ski_lvlm.lvlm.model import SkiLvlm

SHOWN = 20  # failed or cut answers that are printed; the log has them all
LONGEST = 200  # characters of a name, a question or a reason on the terminal


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
    from ski_lvlm.datasets.reading import batched, read_ahead
    from ski_lvlm.videos.decoding import read_clip
    from ski_lvlm.videos.folder import VideoFolder

    tower = model.load_tower()
    framing = model.config.manifest["video"].get("framing", "whole")
    folder = VideoFolder(videos)
    read = partial(read_clip, videos=folder, num_frames=tower.num_frames, side=tower.image_size, framing=framing)
    for batch in read_ahead(batched(list(wanted), batch_size), read, workers=workers):
        asked = []
        for clip in batch:
            if clip.content is None:
                yield from (Answer(clip.name, question, None, clip.error) for question in wanted[clip.name])
            else:
                tokens = tower(clip.content.unsqueeze(0).to(model.device))[0].float()
                for question in wanted[clip.name]:
                    if problem := model.prompting.problem(model.prompt_ids(len(tokens), question)):
                        yield Answer(clip.name, question, None, problem)
                    else:
                        asked.append((clip.name, tokens, question))
        for start in range(0, len(asked), batch_size):
            yield from _answers(model, asked[start : start + batch_size], seed, generation)


def _answers(
    model: "SkiLvlm", asked: list[tuple[str, "Float[Tensor, 'N F']", str]], seed: int, generation: dict[str, Any]
) -> Iterator[Answer]:
    """One batch; what is sampled depends on the seed and on what is in the batch, not on what went before."""
    import torch
    from transformers import StoppingCriteriaList

    from ski_lvlm.lvlm.inference import end_watch

    names, tokens, questions = zip(*asked, strict=True)
    torch.manual_seed(digest_number(json.dumps([seed, names, questions]), num_bytes=7))
    watch = end_watch(model)
    texts = model.answer(tokens, questions, stopping_criteria=StoppingCriteriaList([watch]), **generation)
    for name, question, text, cut in zip(names, questions, texts, watch.cut, strict=True):
        yield Answer(name, question, text, cut=cut)


def main(flags: Sequence[str] | None = None) -> int:
    """Answer what is not answered yet and write the predictions."""
    args = arguments(flags, description=__doc__ or "")
    check(args)
    if args.gpus:
        return run_on_gpus(__file__, flags, args, main)
    shard = shard_of(args)
    generation = generation_settings(args)
    items = [item for item in evenly(read_questions(args.questions), args.limit) if shard.holds(item["video_name"])]
    with only_process(args.out.parent / f".{args.out.stem}.lock", shard):
        logged_answers(args.out)  # another command's file is refused before the model is loaded
        model = _open(args, shard)
        sampling = f"{json.dumps(generation)} {args.seed if args.temperature else ''}"
        log = AnswerLog(args.out, f"{model_digest(model)} {args.videos.resolve()} {sampling}", shard=shard)
        _answer(args, model, items, log, generation)
        predictions = [log.answered(item) for item in items]
        if shard == WHOLE:
            command = [Path(__file__).name, *(sys.argv[1:] if flags is None else flags)]
            write_json(run_file(args.out), provenance(model, args, generation=generation, command=command))
            write_json(args.out, predictions)
    return report(predictions, log.cut(items), args, log.file if shard != WHOLE else args.out)


def _open(args: argparse.Namespace, shard: Shard) -> "SkiLvlm":
    from ski_lvlm.lvlm.inference import fast_dtype, load_for_inference, on_device

    if not args.baseline:
        return load_for_inference(args.model, number=shard.index - 1)
    from ski_lvlm.published.projectors import video_chatgpt

    model = video_chatgpt(
        args.projector_weights,
        base_llm=args.base_llm,
        vision_tower=args.vision_tower,
        num_frames=args.num_frames,
        delimited=args.delimiters == "auto",
        dtype=fast_dtype(),
    )
    return on_device(model, number=shard.index - 1)


def model_digest(model: "SkiLvlm") -> str:
    """What answers: the weights of projectors, LLM and tower, the tokenizer, and how they are asked about a video."""
    from ski_lvlm.encoders.digest import weights_digest
    from ski_lvlm.llm.loading import tokenizer_digest

    video = model.config.manifest.get("video", {})
    prompt = digest(json.dumps(model.config.prompt))
    shown = (video.get("digest"), video.get("num_frames"), video.get("framing"), model.config.chat_template, prompt)
    learned = weights_digest(model.projectors, rounded=False)
    return f"{learned} {model.config.llm_digest} {tokenizer_digest(model.tokenizer)} {' '.join(map(str, shown))}"


def _answer(
    args: argparse.Namespace, model: "SkiLvlm", items: list[Item], log: AnswerLog, generation: dict[str, Any]
) -> None:
    todo = log.unanswered(items)
    total = sum(len(questions) for questions in todo.values())
    settings = {"batch_size": args.batch_size, "workers": args.workers, "seed": args.seed}
    with progress("describing", total=total) as advance:
        for answer in describe(model, todo, args.videos, **settings, **generation):
            log.add(answer)
            advance(1)


def report(predictions: list[Item], cut: list[tuple[str, str]], args: argparse.Namespace, file: Path) -> int:
    """Say what was answered, what was cut and, at last, what has no answer; returns the exit code."""
    failed = [item for item in predictions if item.get("error")]
    print(f"{len(predictions) - len(failed)} of {len(predictions)} items answered in {file}")
    if file != args.out:
        print(f"when all shards are done, the same command without --shard writes {args.out}")
    for item in failed[:SHOWN]:
        print(f"  no answer: {_short(item['video_name'])}: {_short(item['error'])}")
    if cut:
        print(f'{len(cut)} answers ran into --max_new_tokens {args.max_new_tokens}, marked "cut" in the log:')
    for video, question in cut[:SHOWN]:
        print(f"  cut: {_short(video)}: {_short(question)}")
    if not failed:
        return 0
    sys.stdout.flush()
    sys.stderr.write(f"{len(failed)} of {len(predictions)} items have no answer; the same command tries them again\n")
    return 1 if args.strict or len(failed) == len(predictions) else 0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


if __name__ == "__main__":
    run(main)
