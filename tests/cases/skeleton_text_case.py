"""A skeleton-text system in miniature, trained for a second or two."""

import train_ski_vlm
from tests.cases.skeleton_case import packed_set

SHORT = ["--rounds", "1", "--round_length", "1700", "--batch_size", "4", "--select", "last", "--use_cpu", "True"]


def synse_run(folder, *, encoder, text, seed=5):
    """Train SynSE on a skeleton encoder's folder, for the seen classes of the synthetic split."""
    prepared = packed_set(folder.with_name(f"{folder.name}_skeletons"), performers=(1, 9))
    places = ["--skeleton_encoder", encoder, "--prepared", prepared, "--text_encoder", text, "--output_dir", folder]
    stage = ["--stage", "skeleton_text", "--method", "synse", "--split", "synthetic", "--seed", str(seed)]
    train_ski_vlm.main([*stage, *map(str, places), *SHORT])
    return folder
