"""Let a model choose between the options of questions about videos, as in LLAVIDAL's benchmarks.

    python eval/choose.py --model DIR --videos DIR --questions Charades-AR.json --out choices
    python eval/choose.py … --text_only          # the floor: the same without the video, in choices/text_only
    python eval/choose.py … --orders 4           # each question with each option at each letter
    python eval/choose.py … --file_order         # the order of the file, as in published results
    python eval/choose.py … --gpus 8             # on eight GPUs of this machine, or --shard 1/8 on one of eight
    python eval/choose.py --model hf:Qwen/Qwen2.5-VL-7B-Instruct …    # any of transformers
    python eval/choose.py --model openai:MODEL --base_url http://127.0.0.1:8000/v1 …    # behind a server
    python eval/choose.py --compare choices other_choices

FILE is one of LLAVIDAL's four benchmarks, a JSON list of {video_name, question, options, answer}, or a CSV with the
columns video_name, question, A, B, … and answer. Questions with a `kind` are counted by kind too (eval/facts.py --foils
makes some). A choice is read in four ways from one look at the video: by the likelihood of each option (per token, and
as a whole), by that of each letter, and from the answer that the model writes. A server tells no likelihood of options,
and that of letters only where it has logprobs.

OUT gets choices.json (each question), accuracy.json (accuracies with intervals, chance, use of positions) and
report.html. Evidence is logged in OUT at once, so the same command resumes after a crash. A written answer that names
no option, or several, is counted and never guessed. The exit code is 1 if no question has an answer, with --strict if
any has none.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.choosing.files import read_choices
from eval.choosing.flags import arguments, check, folder_of
from eval.choosing.items import option_orders
from eval.choosing.log import ChoiceLog
from eval.choosing.model import ChoiceTask
from eval.choosing.prompt import prompt_text, read_prompt
from eval.choosing.results import TEXT_ONLY, write_results
from eval.describe_flags import videos_of
from eval.describing.model_flags import other_kind
from eval.items.answers import logged_answers
from eval.items.provenance import provenance
from eval.items.questions import evenly
from eval.scoring.terminal import write_result
from ski_lvlm.cli import progress, run
from ski_lvlm.parallel.gpu_shards import run_on_gpus, shard_of
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from eval.choosing.model import ChoosingModel

MAX_LINES = 20  # questions without an answer that are printed; the log has them all
MAX_CHARACTERS = 400  # of such a line


def main(flags: Sequence[str] | None = None) -> int:
    """Ask the questions without evidence, and write the results."""
    args = arguments(flags, description=__doc__ or "")
    if args.compare:
        return compare(*args.compare, out=args.out)
    check(args)
    if args.gpus:
        return run_on_gpus(__file__, flags, args, main)
    shard = shard_of(args)
    prompt = read_prompt(args.prompt)
    tasks = [task for task in tasks_of(args, prompt) if shard.holds(task.item.video)]
    out = folder_of(args) / "choices.json"
    with only_process(out.parent, shard):
        logged_answers(out)  # another command's file is refused before the model is loaded
        model = _load(args, shard)
        place = "text alone" if args.text_only else videos_of(args)
        log = ChoiceLog(out, json.dumps([model.identity, place, args.max_new_tokens]), shard=shard)
        _ask(model, tasks, log)
        if shard == WHOLE:
            command = [Path(__file__).name, *(sys.argv[1:] if flags is None else flags)]
            generation = {"max_new_tokens": args.max_new_tokens}
            about = provenance(model.description(), args, generation=generation, command=command)
            about |= {"choice_prompt": prompt, "text_only": args.text_only, "seed": args.seed}
            is_shuffled = not args.file_order
            result = write_results(out.parent, tasks, log, about, is_shuffled=is_shuffled, missing=model.missing)
            _show(args, result)
    return _report(tasks, log, args, out if shard == WHOLE else log.file)


def compare(a: Path, b: Path, *, out: Path | None) -> int:
    """Print the differences between two runs, and write OUT/compare.json. Returns 0.

    Raises:
        ValueError: a run is not finished, or the two asked differently.
    """
    from eval.choosing.compare import compare_choices
    from eval.choosing.terminal import print_comparison

    result = compare_choices(a, b)
    print_comparison(result)
    write_result(out, "compare.json", result)
    return 0


def tasks_of(args: argparse.Namespace, prompt: str) -> list[ChoiceTask]:
    """Return each question in each of its orders.

    Raises:
        ValueError: as `read_choices`.
    """
    seed = None if args.file_order else args.seed
    return [
        ChoiceTask(item, number, order, prompt_text(prompt, item, order))
        for item in evenly(read_choices(args.questions), args.limit)
        for number, order in enumerate(option_orders(item, args.orders, seed=seed))
    ]


def _load(args: argparse.Namespace, shard: Shard) -> "ChoosingModel":
    from eval.choosing.server_choice import ServerChoice
    from eval.choosing.ski_lvlm_choice import SkiLvlmChoice
    from eval.choosing.video_llm_choice import VideoLlmChoice
    from ski_lvlm.video_llm.opening import is_video_llm

    if (kind := other_kind(args.model)) == "openai:":
        return ServerChoice(args, shard=shard)
    if kind or (args.model and is_video_llm(Path(args.model))):
        return VideoLlmChoice(args, shard=shard)
    return SkiLvlmChoice(args, shard=shard)


def _ask(model: "ChoosingModel", tasks: list[ChoiceTask], log: ChoiceLog) -> None:
    todo = log.open_tasks(tasks)
    with progress("choosing", total=sum(map(len, todo.values()))) as advance:
        for task, evidence, error in model.evidence(todo):
            log.add(task, evidence, error)
            advance(1)


def _show(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Print the accuracies, and write the pages of the run and of its floor."""
    from eval.choosing.compare import floor_of
    from eval.choosing.terminal import print_accuracies, print_comparison, print_kinds
    from eval.pages.choice_report import write_choice_report

    print_accuracies(result)
    print_kinds(result)
    floor = floor_of(args.out)
    if floor:
        print_comparison(floor)
    pages = [args.out, args.out / TEXT_ONLY] if floor else [folder_of(args)]
    for folder in pages:
        print(f"written: {write_choice_report(folder, floor if folder == args.out else None)}")


def _report(tasks: list[ChoiceTask], log: ChoiceLog, args: argparse.Namespace, file: Path) -> int:
    """Print the questions without an answer. Return the exit code."""
    failed = [task for task in tasks if log.record(task)["answer"] is None]
    print(f"{len(tasks) - len(failed)} of {len(tasks)} answers in {file}")
    if args.shard:
        print(f"when all shards are done, the same command without --shard writes {folder_of(args)}")
    for task in failed[:MAX_LINES]:
        line = f"{task.item.video}: {log.record(task)['error']}"
        print(f"  no answer: {textwrap.shorten(line, MAX_CHARACTERS, placeholder=' …')}")
    if not failed:
        return 0
    sys.stdout.flush()
    sys.stderr.write(f"{len(failed)} of {len(tasks)} have no answer; the same command tries them again\n")
    return 1 if args.strict or len(failed) == len(tasks) else 0


if __name__ == "__main__":
    run(main)
