"""Random CLIP and SigLIP checkpoints of three layers, laid out on disk as the hub has them."""

import json

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "initializer_range": 0.3,
}
_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]


def tiny_tower(folder, *, family="clip", seed=0):
    torch.manual_seed(seed)
    if family == "clip":
        model = CLIPModel(CLIPConfig(vision_config=_VISION | {"initializer_factor": 8.0}, text_config=_TEXT))
    else:
        model = SiglipModel(SiglipConfig(vision_config=_VISION, text_config=_TEXT))
    model.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return model
