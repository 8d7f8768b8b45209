"""The commands that train and test a skeleton-text method in miniature."""

import json

from eval import zero_shot
from tests.cases.recognition_case import skeleton_run
from tests.cases.skeleton_case import packed_set
from tests.cases.text_case import tiny_sentence_encoder


def encoder_home(folder):
    """Write encoder/ of a pretraining, prepared/ of four performers, and text/."""
    tiny_sentence_encoder(folder / "text", max_tokens=77)
    skeleton_run(folder / "encoder", text=str(folder / "text"))
    packed_set(folder / "prepared")
    return folder


def flags(home, output_dir, *more, split="synthetic"):
    """Return flags of the stage. The last of equal flags counts."""
    places = ["--skeleton_encoder", home / "encoder", "--prepared", home / "prepared", "--text_encoder", home / "text"]
    settings = ["--split", split, "--rounds", "1", "--round_length", "1700", "--batch_size", "4", "--use_cpu", "True"]
    return ["--stage", "skeleton_text", "--output_dir", *map(str, [output_dir, *places]), *settings, *more]


def zero_shot_result(home, model, out, *more):
    """Return the content of zero_shot.json after a test on the CPU."""
    places = ["--model", model, "--prepared", home / "prepared", "--split", "synthetic", "--out", out]
    command = [*places, "--modality", "skeleton", "--device", "cpu", "--workers", "0", *more]
    assert zero_shot.main([*map(str, command)]) == 0
    return json.loads((out / "zero_shot.json").read_text())
