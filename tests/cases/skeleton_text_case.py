"""Skeleton-text methods in miniature, each trained for a second or two."""

import train_ski_vlm
from tests.cases.skeleton_case import packed_set

ROUND = {"synse": "1700", "msf": "1700"}  # steps; a shorter round of theirs has no cross-reconstruction
SHORT = ["--split", "synthetic", "--batch_size", "4", "--select", "last", "--use_cpu", "True"]


def skeleton_text_run(folder, *, encoder, text, method="synse", seed=5):
    """Train a method on a skeleton encoder's folder, for the seen classes of the synthetic split."""
    prepared = packed_set(folder.with_name(f"{folder.name}_skeletons"), performers=(1, 9))
    places = ["--skeleton_encoder", encoder, "--prepared", prepared, "--text_encoder", text, "--output_dir", folder]
    settings = ["--method", method, "--round_length", ROUND.get(method, "2"), "--seed", str(seed)]
    settings += ["--rounds", "0" if method == "ridge" else "1"]
    train_ski_vlm.main(["--stage", "skeleton_text", *settings, *map(str, places), *SHORT])
    return folder
