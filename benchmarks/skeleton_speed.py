"""Accuracy of a SkeletonCLIP at and beside the speed of its training.

    python -m benchmarks.skeleton_speed --run runs/quickstart

A clip is resized to T_s frames, so a larger T_s shows slower motion. Every row is one way to make a clip into inputs:
one view of T_s frames, several interleaved views (scripts/extract_features.py), or windows that share the clip out. The
mean token is compared with the class sentences of the seen and of the unseen classes, on test clips.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from rich.progress import track

from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_clip, read_card
from ski_lvlm.dual_encoders.language import cosine_similarity
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.skeleton_views import tokens_of_views
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, interleaved_views, preprocess

Views = Callable[[Float32[np.ndarray, "T M J D"]], Float32[np.ndarray, "V U 2 J C"]]
MULTIPLIERS, COUNTS, SHARES = (2, 4, 16), (4, 16), (0.25, 0.5, 0.75)


def windows(
    joints: Float32[np.ndarray, "T M J D"],
    *,
    share: float,
    num_frames: int,
    num_views: int,
    preprocessing: Preprocessing,
) -> Float32[np.ndarray, "V U 2 J C"]:
    """Return inputs that each show a stretch of the clip, evenly spaced from its start to its end."""
    starts = np.linspace(0, 1 - share, num_views)
    stretches = [(start, min(1.0, start + share)) for start in starts]
    inputs = partial(preprocess, joints, num_frames=num_frames, preprocessing=preprocessing)
    return np.stack([inputs(window=stretch) for stretch in stretches])


def rows(num_frames: int, preprocessing: Preprocessing) -> dict[str, Views]:
    """Return the ways to make a clip into inputs by their titles."""
    views = partial(interleaved_views, preprocessing=preprocessing)
    ways: dict[str, Views] = {
        f"1 x {num_frames} frames, as trained": partial(views, num_frames=num_frames, num_views=1)
    }
    for multiplier in MULTIPLIERS:
        slow = multiplier * num_frames
        ways[f"1 x {slow} frames"] = partial(views, num_frames=slow, num_views=1)
    for count in COUNTS:
        ways[f"{count} x {num_frames} frames, interleaved"] = partial(views, num_frames=num_frames, num_views=count)
    for share in SHARES:
        settings: dict[str, Any] = {"num_frames": num_frames, "num_views": 16, "preprocessing": preprocessing}
        ways[f"16 x {num_frames} frames of {share:.0%} of the clip"] = partial(windows, share=share, **settings)
    return ways


@torch.inference_mode()
def accuracy(
    model: SkeletonCLIP,
    packed: PackedSkeletons,
    names: Sequence[str],
    make: Views,
    *,
    selection: Selection,
    classes: Sequence[str],
    prompt: str,
) -> float:
    """Return the share of clips whose own class sentence is the nearest."""
    z_t = model.text_encoder(class_prompts(classes, template=prompt))
    right = 0
    for name, label in zip(names, selection.labels(names, classes), strict=True):
        tokens = tokens_of_views(model.encoder, torch.from_numpy(make(packed.get(name)))[None])
        nearest = int(cosine_similarity(model.projection(tokens.mean(1)), z_t).argmax())
        right += nearest == label
    return right / len(names)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of accuracies."""
    args = flags().parse_args(argv)
    folder = args.run / "skeleton_align"
    packed, card = PackedSkeletons.open(args.run / "prepared"), read_card(folder, SkeletonEncoderCard)
    model, preprocessing = load_skeleton_clip(folder)
    selection = select(split=card.split)
    parts: tuple[Part, ...] = ("seen_test", "unseen_test")
    names = {part: selection.clips(packed.names, part) for part in parts}
    print(f"{'':42}" + "".join(f"{part} ({len(names[part])})".rjust(20) for part in parts))
    for title, make in track(rows(card.num_frames, preprocessing).items(), transient=True):
        cells = [
            accuracy(
                *(model, packed, names[part], make),
                selection=selection,
                classes=selection.classes(part),
                prompt=card.prompt or "{name}",
            )
            for part in parts
        ]
        print(f"{title:42}" + "".join(f"{cell:20.1%}" for cell in cells), flush=True)
    return 0


def flags() -> argparse.ArgumentParser:
    """Return the command line."""
    p = parser(__doc__ or "")
    p.add_argument("--run", type=Path, default=Path("runs/quickstart"), help="folder of a finished quickstart")
    return p


if __name__ == "__main__":
    run(main)
