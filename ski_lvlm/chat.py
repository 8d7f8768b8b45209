"""Ask a trained SKI-LVLM about a video in the terminal. Words appear as they are generated.

    python -m ski_lvlm.chat VIDEO --model DIR      # Ctrl-C stops an answer, an empty line or Ctrl-D ends the command
    python -m ski_lvlm.chat VIDEO --model DIR --question "What is the person doing?"

Every question is answered from the video alone, without a skeleton and, as in training, without earlier questions.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run
from ski_lvlm.llm.sampling import add_sampling_flags, generation_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model, encode the video once, and answer."""
    args = _arguments(argv)
    settings = generation_settings(args)
    if args.question is not None and not args.question.strip():
        raise ValueError("--question is empty; give a question, or drop --question to type questions")
    if not args.video.is_file():
        raise ValueError(f"{args.video}: no such video file; check the path")
    import torch

    from ski_lvlm import from_pretrained
    from ski_lvlm.llm.answer_text import AnswerStreamer

    lvlm = from_pretrained(args.model)
    tokens = lvlm.encode(lvlm.read(args.video))
    for question in _typed_questions() if args.question is None else [args.question]:
        torch.manual_seed(args.seed)
        streamer = AnswerStreamer(lvlm.model.tokenizer, lvlm.model.end_ids)
        try:
            (answer,) = lvlm.answer([tokens], [question], streamer=streamer, **settings)
        except KeyboardInterrupt:
            sys.stdout.write("\n[stopped]\n")
            if args.question:
                return 130
            continue
        if answer.is_cut:
            sys.stdout.write(f"[cut: --max_new_tokens {args.max_new_tokens}]\n")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.prog = "python -m ski_lvlm.chat"
    flags.add_argument("video", type=Path, help="the video's file")
    flags.add_argument("--model", type=Path, required=True, help="--output_dir of train_ski_lvlm.py, or a hub id")
    flags.add_argument("--question", help="answer this one question and exit")
    add_sampling_flags(flags)
    return flags.parse_args(argv)


def _typed_questions() -> Iterator[str]:
    """Yield questions from the terminal until an empty line, the end of input or Ctrl-C."""
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            sys.stdout.write("\n")
            return
        if not question:
            return
        yield question


if __name__ == "__main__":
    run(main)
