"""A tiny SKI-LVLM on disk, as train_ski_lvlm.py saves it, with random weights."""

import torch

from ski_lvlm.encoders.vision_tower import load_vision_tower
from ski_lvlm.lvlm.model import SkiLvlm

FRAMES = 6


def build_model(folder, *, tower, llm, modalities=("video", "skeleton"), framing="whole", num_frames=FRAMES):
    """Save a model as train_ski_lvlm.py does. The skeleton encoder of its training is gone."""
    loaded = load_vision_tower(str(tower), num_frames=num_frames, device="cpu")
    manifest = {
        "video": {"tower": str(tower), "digest": loaded.digest, "num_frames": num_frames, "framing": framing},
        "skeleton": {"encoder": "gone", "digest": "0" * 16, "num_frames": 32},
    }
    torch.manual_seed(0)
    widths = {name: {"video": loaded.width, "skeleton": 8}[name] for name in modalities}
    model = SkiLvlm.build(base_llm=str(llm), token_widths=widths, manifest=manifest)
    model.save_pretrained(folder)
    return folder
