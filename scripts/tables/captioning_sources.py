"""Data of Table 3: files that were given, the last quickstart's, or steps that make what is missing."""

import argparse
from pathlib import Path
from typing import Any

from scripts.tables import data
from scripts.tables.captioning_plan import CaptioningPlan, CaptioningScale, Source
from scripts.tables.jobs import Step
from scripts.tables.methods import Encoder

QUICKSTART_STAGES = ("synthesize", "prepare", "build", "skeleton_pretrain", "skeleton_align", "features")
_NTU_FLAGS = ("ntu", "instructions", "questions", "charades_videos")


def plan_of(args: argparse.Namespace, scale: CaptioningScale, out: Path) -> CaptioningPlan:
    """Return all that the rows share.

    Raises:
        ValueError: --data ntu lacks what cannot be made here, or flags of NTU come without it.
    """
    if args.data not in ("ntu", "synthetic"):
        raise ValueError(f"found --data {args.data}, expected synthetic or ntu: Table 3 describes Charades")
    if args.data == "ntu":
        if missing := [f"--{name}" for name in _NTU_FLAGS if getattr(args, name) is None]:
            raise ValueError(
                f"--data ntu needs {', '.join(missing)}; README.md says under 'Reproduce the paper' what makes them"
            )
        return _plan(args, scale, out, ntu=Source(args.ntu))
    if foreign := [f"--{name}" for name in (*_NTU_FLAGS, "prepared", "baseline_weights") if getattr(args, name)]:
        raise ValueError(f"{', '.join(foreign)} can be given with --data ntu only")
    if data.has_quickstart(*QUICKSTART_STAGES):
        return _quickstart(args, scale, out)
    step = data.synthesize(out, clips=args.clips)
    return _plan(args, scale, out, ntu=Source(step.folder, (step,)))


def _quickstart(args: argparse.Namespace, scale: CaptioningScale, out: Path) -> CaptioningPlan:
    return CaptioningPlan(
        out,
        scale,
        instructions=Source(data.QUICKSTART / "instructions" / "instructions.json"),
        questions=Source(data.QUICKSTART / "instructions" / "questions.json"),
        videos=Source(data.QUICKSTART / "ntu" / "rgb"),
        video_features=Source(data.QUICKSTART / "features"),
        prepared=Source(data.QUICKSTART / "prepared"),
        encoders={
            "pretrained": Source(data.QUICKSTART / "skeleton_pretrain"),
            "aligned": Source(data.QUICKSTART / "skeleton_align"),
        },
        **_command_flags(args, scale),
    )


def _plan(args: argparse.Namespace, scale: CaptioningScale, out: Path, *, ntu: Source) -> CaptioningPlan:
    prepare = data.prepare(out, ntu.path, dataset=scale.dataset, needs=ntu.steps)
    prepared = Source(args.prepared) if args.prepared else Source(prepare.folder, (prepare,))
    built = Source(args.instructions.parent) if args.instructions else _built(scale, out, ntu)
    instructions = Source(args.instructions or built.path / "instructions.json", built.steps)
    return CaptioningPlan(
        out,
        scale,
        instructions=instructions,
        questions=Source(args.questions) if args.questions else Source(built.path / "questions.json", built.steps),
        videos=Source(args.charades_videos) if args.charades_videos else Source(ntu.path / "rgb", ntu.steps),
        video_features=_video_features(scale, out, ntu, instructions),
        prepared=prepared,
        encoders=_encoders(scale, out, prepared),
        **_command_flags(args, scale),
    )


def _command_flags(args: argparse.Namespace, scale: CaptioningScale) -> dict[str, Any]:
    """Return the settings of training, captions and judge."""
    from ski_lvlm.llm.loading import native_bf16

    train, describe = scale.train, scale.describe
    train += f" --bf16 {native_bf16()}" if "--bf16" not in train else ""
    train += f" --max_steps {args.max_steps}" if args.max_steps else ""
    limit = args.limit or scale.limit
    describe += f" --limit {limit}" if limit else ""
    judge = {"judge": args.judge, "base_url": args.base_url, "baseline_weights": args.baseline_weights}
    judge["add_url"] = args.add_url
    return {**judge, "train": train, "describe": describe}


def _built(scale: CaptioningScale, out: Path, ntu: Source) -> Source:
    folder = out / "instructions"
    built = folder / "built"  # below the step's folder, since the step and the command each lock their folder
    command: tuple[str | Path, ...] = ("data_curation/build.py", "--ntu", ntu.path, "--split", scale.split)
    command += ("--captioner", "kinematics", "--qa", "template", "--pairs_per_clip", "1", "--out", built)
    return Source(built, (Step(command, "built/instructions.json", out, folder, ntu.steps),))


def _video_features(scale: CaptioningScale, out: Path, ntu: Source, instructions: Source) -> Source:
    folder = out / "video_features"
    command: tuple[str | Path, ...] = ("scripts/extract_features.py", "--modalities", "video", "--ntu", ntu.path)
    command += ("--clips", instructions.path, *scale.video_features.split(), "--out", folder)
    return Source(folder, (Step(command, "features.json", out, folder, ntu.steps + instructions.steps),))


def _encoders(scale: CaptioningScale, out: Path, prepared: Source) -> dict[Encoder, Source]:
    """Return Hyperformer as pretrained on actions, and as aligned with language."""
    flags, pretrained, aligned = scale.skeletons, out / "skeleton_pretrain", out / "skeleton_align"
    shared: tuple[str | Path, ...] = ("--prepared", prepared.path, "--split", scale.split, *flags.skeletons.split())
    command: tuple[str | Path, ...] = ("train_ski_vlm.py", "--stage", "skeleton_pretrain", *shared)
    command += (*flags.skeleton_pretrain.split(), "--output_dir", pretrained)
    pretrain = Step(command, "result.json", out, pretrained, prepared.steps)
    text = ("--text_encoder", flags.text_encoder) if flags.text_encoder else ()
    command = ("train_ski_vlm.py", "--stage", "skeleton_align", "--skeleton_encoder", pretrained, *shared, *text)
    command += (*flags.skeleton_align.split(), "--output_dir", aligned)
    align = Step(command, "result.json", out, aligned, (pretrain,))
    return {"pretrained": Source(pretrained, (pretrain,)), "aligned": Source(aligned, (align,))}
