"""A student written as a file for another runtime, checked against PyTorch and timed beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.recognition.export.classifier import ClipClassifier
from ski_lvlm.recognition.export.formats import FORMATS, check_packages, program_of
from ski_lvlm.recognition.export.speed import median_cpu_seconds
from ski_lvlm.recognition.recogniser import whole_clip
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.videos.folder import VideoClip
from ski_lvlm.videos.frame_cache import DecodedFrames

TOLERANCE = 1e-4  # between logits
NAME = "student"  # of the files


def export_student(
    folder: Path, out: Path, *, to: str, classes: Sequence[str], clip: Path | None = None, rounds: int = 5
) -> dict[str, Any]:
    """Write a student as a classifier of these classes, and return the facts of the JSON beside it.

    Args:
        folder: a `video_finetune` or `distill` run.
        out: folder for student.onnx or student.pt2, and student.json.
        to: one of `FORMATS`.
        classes: their names.
        clip: a video on which the logits are compared and timed. None: random frames.
        rounds: of the timing.

    Raises:
        ImportError: packages of the format are missing.
        ValueError: nothing usable is in the folder, or the logits differ from PyTorch's. Then nothing is written.
    """
    check_packages(to)
    student, card = load_student(folder)
    classifier = ClipClassifier(student, class_prompts(classes, template=card.prompt))
    frames = _frames(card, clip)
    form = FORMATS[to]
    file = out / f"{NAME}{form.suffix}"
    with atomic_path(file) as temporary:
        form.write(program_of(classifier, frames), temporary)
        run = form.open(temporary)
        with torch.inference_mode():
            difference = largest_difference(run(frames), classifier(frames))
            works = {"pytorch": lambda: classifier(frames[:1]), to: lambda: run(frames[:1])}
            seconds = median_cpu_seconds(works, rounds=rounds)
    facts = {
        "file": file.name,
        "format": to,
        **_facts(classifier, card, classes),
        "largest_difference": difference,
        "compared_on": "random frames" if clip is None else clip.name,
        "cpu_seconds_a_clip": seconds | {"threads": torch.get_num_threads(), "rounds": rounds},
        "torch": torch.__version__,
    }
    write_json(out / f"{NAME}.json", facts)
    return facts


def largest_difference(logits: Float[Tensor, "B C"], expected: Float[Tensor, "B C"]) -> float:
    """Return the largest difference of two tables of logits.

    Raises:
        ValueError: it is above the tolerance.
    """
    difference = (logits - expected).abs().max().item()
    if not difference <= TOLERANCE:
        raise ValueError(
            f"found logits that differ from PyTorch's by {difference:.1e}, expected at most {TOLERANCE:g}; nothing was "
            "written. Try the other --to, and report the student's --student and --backbone"
        )
    return difference


def _frames(card: StudentCard, clip: Path | None) -> UInt8[Tensor, "2 T 3 S S"]:
    """Return two clips. A dimension of one would be taken for a constant by the tracer."""
    shape = (2, card.num_frames, 3, card.side, card.side)
    random = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    if clip is None:
        return random
    source = DecodedFrames({"clip": VideoClip(clip)}, side=card.side, framing=card.framing)
    real = whole_clip(source, "clip", num_frames=card.num_frames, side=card.side)
    return torch.stack([real, random[1]])


def _facts(classifier: ClipClassifier, card: StudentCard, classes: Sequence[str]) -> dict[str, Any]:
    frames = classifier.student.frames
    return {
        "input": {"name": "frames", "type": "uint8", "shape": ["batch", card.num_frames, 3, card.side, card.side]},
        "output": {"name": "logits", "type": "float32", "shape": ["batch", len(classes)]},
        "classes": list(classes),
        "sentences": list(classifier.prompts),
        "num_frames": card.num_frames,
        "side": card.side,
        "framing": card.framing,
        "mean": _per_channel(frames.get_buffer("mean")),
        "std": _per_channel(frames.get_buffer("std")),
        "temperature": classifier.student.temperature.item(),
        "student": card.student,
        "backbone": card.backbone,
        "split": card.split,
    }


def _per_channel(pixels: Float[Tensor, "3 1 1"]) -> list[float]:
    """Return values for pixels between 0 and 1. The file itself normalises."""
    return [round(value, 6) for value in (pixels.flatten() / 255).tolist()]
