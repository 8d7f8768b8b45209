"""Let a trained SKI-LVLM answer the questions of a benchmark file about videos, without skeletons.

    python eval/describe.py --model DIR --videos DIR --questions FILE --out predictions.json
    python eval/describe.py … --data DIR         # a data set's videos, of which a clip may be a stretch
    python eval/describe.py … --features DIR     # keep the videos' tokens there, for other models on the same tower
    python eval/describe.py … --engine vllm      # decode by vLLM (scripts/vllm_environment.sh), with equal answers
    python eval/describe.py … --gpus 8           # on eight GPUs of this machine
    python eval/describe.py … --shard 1/8        # one of eight, each on a GPU (at last once without, which writes OUT)
    python eval/describe.py --model hf:Qwen/Qwen2.5-VL-7B-Instruct …  # any of transformers
    python eval/describe.py --model openai:MODEL --base_url http://127.0.0.1:8000/v1 …  # behind a server
    python eval/describe.py --baseline video-chatgpt --projector_weights mm_projector.bin --base_llm ID \\
        --vision_tower openai/clip-vit-large-patch14 …

FILE is a list of {video_name, Q, A, Q1, Q2}, or one of the kinds in eval/items/records.py. OUT repeats it with pred,
pred1, pred2. A file beside OUT, as predictions.run.json, states model, settings and versions. Answers are greedy unless
--temperature is given.

Each answer is logged beside OUT at once, so the same command resumes after a crash. In bf16, other neighbours in a
batch can tip a near tie, and they change what is sampled: --batch_size 1 is exact. A video that is missing or cannot be
read gets null answers and the reason. The last line on stderr counts them. The exit code is 1 if no item has an answer,
with --strict if any has none. An answer that runs into --max_new_tokens is marked "cut" in the log and listed.

Models of hf: and openai: see --num_frames frames, evenly spaced, by their own processor or as pictures.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.describe_flags import arguments, check, run_file, videos_of
from eval.describing.model_flags import other_kind
from eval.items.answers import Answer, AnswerLog, logged_answers
from eval.items.provenance import provenance
from eval.items.questions import evenly, read_questions
from eval.items.records import Item
from ski_lvlm.cli import progress, run
from ski_lvlm.llm.sampling import generation_settings
from ski_lvlm.parallel.gpu_shards import run_on_gpus, shard_of
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from eval.describing.answering import AnsweringModel, Clips, Engine

MAX_LINES = 20  # failed or cut answers that are printed; the log has them all
MAX_CHARACTERS = 200  # of a name, a question or a reason on the terminal


def describe(
    questions: Mapping[str, Sequence[str]], clips: "Clips", engine: "Engine", *, workers: int
) -> Iterator[Answer]:
    """Yield an answer to every question about a video. Workers read ahead, and each clip is encoded once."""
    from eval.describing.answering import Prompt
    from ski_lvlm.datasets.reading import batched, read_ahead

    for batch in read_ahead(batched(list(questions), engine.clips_at_once), clips.read, workers=workers):
        prompts = []
        for clip in batch:
            content, error = clips.content(clip)
            if content is None:
                yield from (Answer(clip.name, question, None, error) for question in questions[clip.name])
                continue
            for question in questions[clip.name]:
                if problem := engine.problem(content, question):
                    yield Answer(clip.name, question, None, problem)
                else:
                    prompts.append(Prompt(clip.name, content, question))
        yield from engine.answer(prompts)
    yield from engine.rest()


def main(flags: Sequence[str] | None = None) -> int:
    """Answer the questions without an answer, and write the predictions."""
    args = arguments(flags, description=__doc__ or "")
    check(args)
    if args.gpus:
        return run_on_gpus(__file__, flags, args, main)
    shard = shard_of(args)
    generation = generation_settings(args)
    items = [item for item in evenly(read_questions(args.questions), args.limit) if shard.holds(item["video_name"])]
    with only_process(args.out.parent / f".{args.out.stem}.lock", shard):
        logged_answers(args.out)  # another command's file is refused before the model is loaded
        model = _load(args, shard, generation)
        sampling = f"{json.dumps(generation)} {args.seed if args.temperature else ''}"
        log = AnswerLog(args.out, f"{model.identity} {videos_of(args)} {sampling}", shard=shard)
        _answer(args, model, items, log)
        predictions = [log.answered(item) for item in items]
        if shard == WHOLE:
            command = [Path(__file__).name, *(sys.argv[1:] if flags is None else flags)]
            about = provenance(model.description(), args, generation=generation, command=command)
            write_json(run_file(args.out), about)
            write_json(args.out, predictions)
    return report(predictions, log.cut(items), args, log.file if shard != WHOLE else args.out)


def _load(args: argparse.Namespace, shard: Shard, generation: dict[str, Any]) -> "AnsweringModel":
    from eval.describing.server_model import ServerModel
    from eval.describing.ski_lvlm_model import SkiLvlmModel
    from eval.describing.video_llm_model import VideoLlmModel
    from ski_lvlm.video_llm.opening import is_video_llm

    if (kind := other_kind(args.model)) == "openai:":
        return ServerModel(args, shard=shard, generation=generation)
    if kind or (args.model and is_video_llm(Path(args.model))):
        return VideoLlmModel(args, shard=shard, generation=generation)
    return SkiLvlmModel(args, shard=shard, generation=generation)


def _answer(args: argparse.Namespace, model: "AnsweringModel", items: list[Item], log: AnswerLog) -> None:
    todo = log.unanswered(items)
    total = sum(len(questions) for questions in todo.values())
    with model.open(todo) as (clips, engine), progress("describing", total=total) as advance:
        for answer in describe(todo, clips, engine, workers=args.workers):
            log.add(answer)
            advance(1)


def report(predictions: list[Item], cut: list[tuple[str, str]], args: argparse.Namespace, file: Path) -> int:
    """Print the numbers of answers, those that were cut and those that are missing. Return the exit code."""
    failed = [item for item in predictions if item.get("error")]
    print(f"{len(predictions) - len(failed)} of {len(predictions)} items answered in {file}")
    if file != args.out:
        print(f"when all shards are done, the same command without --shard writes {args.out}")
    for item in failed[:MAX_LINES]:
        print(f"  no answer: {_short(item['video_name'])}: {_short(item['error'])}")
    if cut:
        print(f'{len(cut)} answers ran into --max_new_tokens {args.max_new_tokens}, marked "cut" in the log:')
    for video, question in cut[:MAX_LINES]:
        print(f"  cut: {_short(video)}: {_short(question)}")
    if not failed:
        return 0
    sys.stdout.flush()
    sys.stderr.write(f"{len(failed)} of {len(predictions)} items have no answer; the same command tries them again\n")
    return 1 if args.strict or len(failed) == len(predictions) else 0


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 1]}…"


if __name__ == "__main__":
    run(main)
