"""Write a trained model for other programs: a SKI-LVLM's language model, or a student for a small computer.

    python scripts/export.py --model DIR --to merged --out OUT    # adapter merged, OUT/llm is a plain language model
    python scripts/export.py --model DIR --to adapter --out OUT   # projectors and adapter alone, to hand on
    python scripts/export.py --student DIR --to onnx --classes "pour water" "drink water" --out OUT
    python scripts/export.py --student DIR --to exported_program --class_file names.txt --out OUT

The first two take a SKI-LVLM with an adapter, and OUT is a SKI-LVLM for all commands. The others take a student. OUT
gets student.onnx or student.pt2, which knows the sentences of these classes and needs no text encoder, and
student.json, which says what frames must be. Its logits are compared with PyTorch's before it is kept, and its CPU time
with PyTorch's. --to onnx needs the extra "export".
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.cli import parser, positive, run
from ski_lvlm.sharing.hub import model_argument
from ski_lvlm.storage.text_files import read_text

OF_MODEL, OF_STUDENT = ("merged", "adapter"), ("onnx", "exported_program")
PRECISIONS = ("float32", "bfloat16", "float16")


def main(argv: Sequence[str] | None = None) -> int:
    """Export, and say what was written."""
    flags = arguments(argv)
    if flags.student:
        return export_student_of(flags)
    return export_adapter_of(flags)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    command = parser(__doc__ or "")
    add = command.add_argument
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--model", type=model_argument, help="a train_ski_lvlm.py --lora_rank run, or a hub id")
    source.add_argument("--student", type=model_argument, help="a student of train_ski_vlm.py, or a hub id")
    add("--to", choices=[*OF_MODEL, *OF_STUDENT], required=True, help="two forms of a model, two of a student")
    add("--out", type=Path, required=True, help="folder for what is written")
    add(
        "--dtype",
        choices=["auto", *PRECISIONS],
        default="auto",
        help="of --to merged: precision of the written weights. auto: that of the base language model's files",
    )
    add("--classes", nargs="+", help="of a student: names of actions, as words in quotes or with commas")
    add("--class_file", type=Path, help="of a student: a file with the name of an action in each line")
    add("--clip", type=Path, help="of a student: a video to compare and time the file on (default: random frames)")
    add("--rounds", type=positive, default=5, help="of a student: times that each side is timed, in turns")
    flags = command.parse_args(argv)
    check_flags(flags)
    return flags


def check_flags(flags: argparse.Namespace) -> None:
    """Refuse flags that do not go together.

    Raises:
        ValueError: the message names them.
    """
    name, forms = ("student", OF_STUDENT) if flags.student else ("model", OF_MODEL)
    if flags.to not in forms:
        raise ValueError(f"--{name} beside --to {flags.to}: expected --to {' or '.join(forms)}")
    idle = ["dtype"] if flags.to != "merged" and flags.dtype != "auto" else []
    if not flags.student:
        idle += [flag for flag in ("classes", "class_file", "clip") if getattr(flags, flag)]
    if idle:
        raise ValueError(f"--to {flags.to}: {', '.join(f'--{flag}' for flag in idle)} does nothing there; leave it out")
    if flags.student and bool(flags.classes) == bool(flags.class_file):
        raise ValueError("a student needs the names of its classes; give either --classes or --class_file")


def class_names(flags: argparse.Namespace) -> list[str]:
    """Return the names of the classes, in their order.

    Raises:
        ValueError: fewer than two, or one twice.
    """
    parts = read_text(flags.class_file).splitlines() if flags.class_file else ",".join(flags.classes).split(",")
    names = [name for part in parts if (name := part.strip())]
    if len(names) < 2 or len(set(names)) < len(names):
        place = flags.class_file or "--classes"
        raise ValueError(f"{place}: found {names}, expected at least two different names")
    return names


def export_student_of(flags: argparse.Namespace) -> int:
    """Write a student for another runtime."""
    names = class_names(flags)
    from ski_lvlm.recognition.export.student import export_student

    facts = export_student(flags.student, flags.out, to=flags.to, classes=names, clip=flags.clip, rounds=flags.rounds)
    seconds = facts["cpu_seconds_a_clip"]
    print(
        f"{flags.out / facts['file']}: {len(names)} classes, {facts['num_frames']} frames of {facts['side']} pixels\n"
        f"logits as PyTorch's to {facts['largest_difference']:.1e} on {facts['compared_on']}\n"
        f"CPU seconds a clip on {seconds['threads']} threads: {seconds[flags.to]:.3f}, PyTorch {seconds['pytorch']:.3f}"
    )
    return 0


def export_adapter_of(flags: argparse.Namespace) -> int:
    """Write a SKI-LVLM with its adapter merged, or what was trained of it alone."""
    import torch

    from ski_lvlm.lvlm.merging import write_adapter, write_merged

    if flags.to == "adapter":
        base = write_adapter(flags.model, flags.out)
        print(f"projectors and adapter in {flags.out}, for the language model {base}")
        return 0
    dtype = None if flags.dtype == "auto" else getattr(torch, flags.dtype)
    precision = write_merged(flags.model, flags.out, dtype=dtype)
    print(f"merged model in {flags.out}, its language model in {flags.out / 'llm'} ({precision})")
    return 0


if __name__ == "__main__":
    run(main)
