"""From a folder of clips to instruction pairs: crop the persons, caption the clips, make questions and answers.

  offline:     build.py --ntu runs/quickstart/ntu --out DIR --captioner kinematics --qa template --split synthetic
  the paper's: build.py --ntu NTU --out DIR --captioner cogvlm --trust_remote_code --revision COMMIT --qa gpt-3.5-turbo
  your own:    build.py --data DIR --out OUT --captioner kinematics --qa template
  synthetic:   build.py --ntu DIR --out OUT --captioner facts --facts_about scene,dense --qa facts --crop none
  any server:  build.py --ntu NTU --out DIR --captioner openai:MODEL --qa openai:MODEL --base_url http://HOST:PORT/v1

DIR gets crops/, append-only manifests (crops, captions, qa, replies .jsonl), and:
  instructions.json             training pairs (LLaVA/Video-ChatGPT conversations) of seen classes' training clips
  instructions_validation.json  those held out by --validation_share
  questions.json                with --part all: questions with reference answers for seen classes' test clips
  questions_unseen.json         the same for the split's unseen classes, which are in no training pair
  dataset/                      all of these as Parquet, with a dataset card
  report.html, summary.json     counts, reasons, costs and clips of the run

Captions are the most expensive part. So only clips that get pairs are cropped and captioned, unless --part all or test
asks for held-out clips too. --captioner kinematics costs nothing, and its default is --part all.

After a crash, run the same command again to resume. Unusable clips are skipped and reported. Exit code: 0 for a
complete run, 1 to run the same command again (a clip failed, a batch is open, the budget is spent), 2 for a wrong
command.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from data_curation.build_flags import add_flags
from ski_lvlm.cli import parser, run, without


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    flags = parser(__doc__ or "")
    add_flags(flags)
    return flags.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Curate. Returns 1 if the same command should be run again."""
    args = arguments(argv)
    if args.engine == "ray":
        from data_curation.ray_engine import run_shards, shard_summary

        words = sys.argv[1:] if argv is None else argv
        codes = run_shards(words, shards=args.shards, workers=args.workers, gpus=args.gpus_per_shard)
        print(shard_summary(codes))
        return main(without(words, ["--engine"]))  # the remaining clips, and the files
    return curate(args)


def curate(args: argparse.Namespace) -> int:
    """Crop, caption, ask and write. Each step resumes, and passes its results to the next."""
    from data_curation import steps
    from data_curation.captioning.open_captioner import captioner_kind
    from data_curation.cropping.crop_settings import CropSettings
    from data_curation.cropping.locate import Locator
    from data_curation.joint_readers import joint_reader, motion_text
    from data_curation.ledger import done
    from data_curation.open_models import Models
    from data_curation.parts import captioned_clips, captioned_line, default_part, divide, selection_of, training
    from data_curation.questions.pair_shares import planned_pairs
    from data_curation.results import outcome
    from data_curation.sources import find_clips
    from data_curation.terminal import progress
    from ski_lvlm.estimation.detector import load_detector
    from ski_lvlm.storage.shards import only_process, parse_shard

    if args.crop == "none" and not captioner_kind(args.captioner).is_free:
        raise ValueError(
            f"--crop none --captioner {args.captioner}: expected one that uses no pictures (kinematics, facts); "
            "leave --crop out"
        )
    shard = parse_shard(args.shard)
    selection = selection_of(data=args.data, ntu=args.ntu, split=args.split, protocol=args.protocol or "")
    data = selection.data
    crop = CropSettings(args.crop, args.shape, args.size, args.fps, args.slack, args.persons)
    locator = Locator(crop, detector=args.detector, load=load_detector, nobody=args.nobody)
    with only_process(args.out, shard):
        sources = find_clips(data, args.ntu)
        args.part = args.part or default_part(args.captioner)
        parts = divide(
            sources, selection, part=args.part, validation_share=args.validation_share, by=args.validation_by
        )
        joints = joint_reader(sources, data=data, prepared=args.prepared)
        share_out = partial(planned_pairs, data=data, pairs=args.pairs, per_clip=args.pairs_per_clip)
        shares, names = share_out(training(parts)), set[str]()
        with progress() as bars:
            bars.say(captioned_line(parts, shares, part=args.part, clips=len(sources)))
            job = steps.CurationRun(args.out, args.workers, shard, announce=bars.say, only_estimate=args.estimate)
            models = Models(args, job)
            writer, queue = models.writer()
            with models.captioner() as captioner:
                # Clips that cannot be used leave their pairs to others, which then need captions too.
                while new := captioned_clips(parts, shares) - names:
                    names |= new
                    clips = {name: sources[name] for name in shard.select(sorted(names))}
                    crops = steps.crop_clips(
                        job, clips, settings=crop, locator=locator, progress=bars.track("crop", len(clips))
                    )
                    bar = bars.track("caption", len(done(crops.records)))
                    captions = steps.caption_clips(
                        job, crops.records, captioner, sources=sources, joints=joints, progress=bar
                    )
                    trained = steps.not_rejected(training(parts), crops, captions)
                    shares = share_out(trained)
            captioned = steps.assumed(captions) if args.estimate else done(captions.records)
            inputs = {name: captioned[name] for name in trained if name in captioned}
            planned = steps.PairPlan(writer, shares, motion_text(joints) if args.motion else None, queue)
            pairs = steps.write_pairs(job, inputs, planned, progress=bars.track("question-answer", len(inputs)))
        result = outcome.Outcome(
            args.out,
            parts,
            {"crop": crops, "caption": captions, "qa": pairs},
            shares,
            models.log.records,
            data=data,
            packed=joints.packed,
        )
        if args.estimate:
            return 0
        if shard.count > 1:
            return result.report_shard(shard)
        return result.finish(num_clips=len(sources), settings=vars(args), captioner=captioner, writer=writer)


if __name__ == "__main__":
    run(main)
