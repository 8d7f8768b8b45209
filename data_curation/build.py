"""From a folder of NTU clips to instruction pairs: crop the persons, caption the clips, make questions and answers.

  offline:     build.py --ntu runs/quickstart/ntu --out DIR --captioner kinematics --qa template --split synthetic
  the paper's: build.py --ntu NTU --out DIR --captioner cogvlm --trust_remote_code --revision COMMIT --qa gpt-3.5-turbo
  any server:  build.py --ntu NTU --out DIR --captioner openai:MODEL --qa openai:MODEL --base_url http://HOST:PORT/v1

DIR gets crops/, one .jsonl file per step, and:
  instructions.json      training pairs (LLaVA/Video-ChatGPT conversations) of seen classes' training subjects
  questions.json         questions with reference answers for seen classes' test subjects
  questions_unseen.json  the same for the split's unseen classes, which are in no training pair

Killed at any time, the same command goes on where it stopped. Clips that cannot be used are left out and reported.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ski_lvlm.cli import parser, run  # noqa: E402

SPLITS = ("all", "ntu60/55-5", "ntu60/48-12", "ntu120/110-10", "ntu120/96-24", "synthetic")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = parser(__doc__ or "")
    add = flags.add_argument
    add("--ntu", type=Path, required=True, help="folder with rgb/ and skeletons/")
    add("--out", type=Path, required=True, help="folder for the results; one process at a time")
    add("--captioner", default="cogvlm", help="kinematics (offline), cogvlm, openai:MODEL or ollama:MODEL")
    add("--qa", default="gpt-3.5-turbo", help="template (offline), gpt-3.5-turbo, openai:MODEL or ollama:MODEL")
    add("--split", default="all", choices=SPLITS, help="whose unseen classes to leave out of training; all: none")
    add("--part", default="all", choices=("all", "train", "test"), help="which subjects' clips to work on")
    add(
        "--pairs_per_clip",
        type=int,
        default=2,
        help="2 give about the paper's 100K on NTU120; the published code has 6",
    )
    add("--prepared", type=Path, help="output of prepare_ntu.py, to read joints from instead of .skeleton files")
    add("--base_url", help="address of the server for openai: and ollama: models")
    add("--trust_remote_code", action="store_true", help="let cogvlm run the code of its repository")
    add("--revision", help="commit of that repository, 40 digits")
    add("--workers", type=int, default=min(8, os.cpu_count() or 1), help="clips worked on at a time")
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Curate; 1 if clips failed for a reason that may pass, so that the same command should be run again."""
    args = arguments(argv)
    from data_curation import outcome, steps
    from data_curation.caption import load_captioner
    from data_curation.ledger import done, only_process
    from data_curation.make_qa import load_qa

    with only_process(args.out):
        sources = steps.find_clips(args.ntu)
        parts = outcome.parts(sources, split=args.split, part=args.part)
        writer = load_qa(args.qa, pairs_per_clip=args.pairs_per_clip, base_url=args.base_url)
        captioner = load_captioner(
            args.captioner,
            base_url=args.base_url,
            trust_remote_code=args.trust_remote_code,
            revision=args.revision,
        )
        joints = steps.skeleton_reader(sources, prepared=args.prepared)
        wanted = {name: sources[name] for name in sorted(name for names in parts.values() for name in names)}
        with outcome.progress() as track:
            how = {"out": args.out, "workers": args.workers}
            crops = steps.crop_clips(wanted, **how, progress=track("crop", len(wanted)))
            bar = track("caption", len(done(crops)))
            captions = steps.caption_clips(crops, captioner, joints=joints, **how, progress=bar)
            training = {name: captions[name] for name in parts["train"] if name in done(captions)}
            pairs = steps.write_pairs(training, writer, **how, progress=track("question-answer", len(training)))
        written = outcome.write(args.out, parts=parts, captions=captions, pairs=pairs)
        return outcome.summarise(
            args.out, found=len(sources), steps={"crop": crops, "caption": captions, "qa": pairs}, written=written
        )


if __name__ == "__main__":
    run(main)
