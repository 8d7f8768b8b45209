"""Ask a trained SKI-LVLM about a video in the terminal; words appear as they come.

    python -m ski_lvlm.chat VIDEO --model DIR      # Ctrl-C stops an answer; an empty line or Ctrl-D ends the command
    python -m ski_lvlm.chat VIDEO --model DIR --question "What is the person doing?"

Every question is answered from the video alone: no skeleton is needed, and earlier questions are not remembered, as in
training.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ski_lvlm.cli import parser, run
from ski_lvlm.llm.sampling import add_sampling_flags, generation_settings


def main(argv: Sequence[str] | None = None) -> int:
    """Load, look at the video once, answer."""
    args = _arguments(argv)
    settings = generation_settings(args)
    if args.question is not None and not args.question.strip():
        raise ValueError("--question is empty; give a question, or leave --question out to be asked for them")
    if not args.video.is_file():
        raise ValueError(f"{args.video}: no such video file; check the path")
    import torch
    from transformers import StoppingCriteriaList

    from ski_lvlm.llm.answer_text import AnswerStreamer
    from ski_lvlm.lvlm.inference import end_watch, load_for_inference
    from ski_lvlm.videos.decoding import read_for_tower

    model = load_for_inference(args.model)
    tower = model.load_tower()
    framing = model.config.manifest["video"].get("framing", "whole")
    frames = read_for_tower(args.video, num_frames=tower.num_frames, side=tower.image_size, framing=framing)
    tokens = tower(frames.unsqueeze(0).to(model.device))[0].float()
    for question in _asked() if args.question is None else [args.question]:
        torch.manual_seed(args.seed)
        watch = end_watch(model)
        streamer = AnswerStreamer(model.tokenizer, model.end_ids)
        stop = StoppingCriteriaList([watch])
        try:
            model.answer([tokens], [question], streamer=streamer, stopping_criteria=stop, **settings)
        except KeyboardInterrupt:
            sys.stdout.write("\n[stopped]\n")
            if args.question:
                return 130
            continue
        if watch.cut[0]:
            sys.stdout.write(f"[cut: --max_new_tokens {args.max_new_tokens}]\n")
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.prog = "python -m ski_lvlm.chat"
    flags.add_argument("video", type=Path, help="the video's file")
    flags.add_argument("--model", type=Path, required=True, help="--output_dir of train_ski_lvlm.py")
    flags.add_argument("--question", help="answer this one question and exit")
    add_sampling_flags(flags)
    return flags.parse_args(argv)


def _asked() -> Iterator[str]:
    """Questions from the terminal until an empty line, the end of input or Ctrl-C."""
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
