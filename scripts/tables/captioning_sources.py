"""Where the data of Table 3 comes from: what was given, the last quickstart's, or steps that make what is missing."""

import argparse
from pathlib import Path
from typing import Any

from scripts.tables.captioning_runs import Encoder, Plan, Scale, Source
from scripts.tables.jobs import ROOT, Step

QUICKSTART = ROOT / "runs" / "quickstart"
QUICKSTART_STAGES = ("synthesize", "prepare", "build", "skeleton_pretrain", "skeleton_align", "features")
_ASKED_OF_NTU = ("ntu", "instructions", "questions", "charades_videos")


def plan_of(args: argparse.Namespace, scale: Scale, out: Path) -> Plan:
    """All that the rows share.

    Raises:
        ValueError: NTU is asked for without all that cannot be made here; or a flag of NTU without it.
    """
    if args.data == "ntu":
        if missing := [f"--{name}" for name in _ASKED_OF_NTU if getattr(args, name) is None]:
            raise ValueError(
                f"--data ntu needs {', '.join(missing)}; README.md says under 'Reproduce the paper' what makes them"
            )
        return _plan(args, scale, out, ntu=Source(args.ntu))
    if given := [f"--{name}" for name in (*_ASKED_OF_NTU, "prepared", "baseline_weights") if getattr(args, name)]:
        raise ValueError(f"{', '.join(given)} can be given with --data ntu only")
    if all((QUICKSTART / "done" / stage).exists() for stage in QUICKSTART_STAGES):
        return _quickstart(args, scale, out)
    ntu = out / "ntu"
    command = ("data_curation/synthesize.py", "--clips", str(args.clips), "--seed", "0", "--out", ntu)
    return _plan(args, scale, out, ntu=Source(ntu, (Step(command, "skeletons", out, ntu),)))


def _quickstart(args: argparse.Namespace, scale: Scale, out: Path) -> Plan:
    return Plan(
        out,
        scale,
        instructions=Source(QUICKSTART / "instructions" / "instructions.json"),
        questions=Source(QUICKSTART / "instructions" / "questions.json"),
        videos=Source(QUICKSTART / "ntu" / "rgb"),
        video_features=Source(QUICKSTART / "features"),
        prepared=Source(QUICKSTART / "prepared"),
        encoders={
            "pretrained": Source(QUICKSTART / "skeleton_pretrain"),
            "aligned": Source(QUICKSTART / "skeleton_align"),
        },
        **_asked(args, scale),
    )


def _plan(args: argparse.Namespace, scale: Scale, out: Path, *, ntu: Source) -> Plan:
    prepared = Source(args.prepared) if args.prepared else _prepared(scale, out, ntu)
    built = Source(args.instructions.parent) if args.instructions else _built(scale, out, ntu)
    instructions = Source(args.instructions or built.path / "instructions.json", built.steps)
    return Plan(
        out,
        scale,
        instructions=instructions,
        questions=Source(args.questions) if args.questions else Source(built.path / "questions.json", built.steps),
        videos=Source(args.charades_videos) if args.charades_videos else Source(ntu.path / "rgb", ntu.steps),
        video_features=_video_features(scale, out, ntu, instructions),
        prepared=prepared,
        encoders=_encoders(scale, out, prepared),
        **_asked(args, scale),
    )


def _asked(args: argparse.Namespace, scale: Scale) -> dict[str, Any]:
    """What the command's flags say of training, captions and judge."""
    from ski_lvlm.llm.loading import native_bf16

    train, describe = scale.train, scale.describe
    train += f" --bf16 {native_bf16()}" if "--bf16" not in train else ""
    train += f" --max_steps {args.max_steps}" if args.max_steps else ""
    limit = args.limit or scale.limit
    describe += f" --limit {limit}" if limit else ""
    judged = {"judge": args.judge, "base_url": args.base_url, "baseline_weights": args.baseline_weights}
    return {**judged, "train": train, "describe": describe}


def _prepared(scale: Scale, out: Path, ntu: Source) -> Source:
    folder = out / "prepared"
    command = ("scripts/prepare_ntu.py", "--ntu", ntu.path, "--dataset", scale.dataset, "--out", folder)
    return Source(folder, (Step(command, "report.json", out, folder, ntu.steps),))


def _built(scale: Scale, out: Path, ntu: Source) -> Source:
    folder = out / "instructions"
    built = folder / "built"  # below the step's folder, since both hold theirs for themselves while they work
    command: tuple[str | Path, ...] = ("data_curation/build.py", "--ntu", ntu.path, "--split", scale.split)
    command += ("--captioner", "kinematics", "--qa", "template", "--pairs_per_clip", "1", "--out", built)
    return Source(built, (Step(command, "built/instructions.json", out, folder, ntu.steps),))


def _video_features(scale: Scale, out: Path, ntu: Source, instructions: Source) -> Source:
    folder = out / "video_features"
    command: tuple[str | Path, ...] = ("scripts/extract_features.py", "--modalities", "video", "--ntu", ntu.path)
    command += ("--clips", instructions.path, *scale.video_features.split(), "--out", folder)
    return Source(folder, (Step(command, "features.json", out, folder, ntu.steps + instructions.steps),))


def _encoders(scale: Scale, out: Path, prepared: Source) -> dict[Encoder, Source]:
    """Hyperformer as pretrained on actions, and as aligned with language."""
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
