"""SKI-LVLM: skeleton-induced vision-language models for Activities of Daily Living.

Shapes in signatures use one legend throughout the package:

    B  batch                    T_v  video frames        N  tokens of one modality
    C  action classes           T_s  skeleton frames     F  width of such a token
    M  persons (1 or 2)         J    joints              K  width of the language model
    D  language width (CLIP)    L    text length         H W  pixels

Skeletons are metres in the Kinect camera frame. Videos are uint8 until a tower normalises them. A person who is absent
from a skeleton is NaN until an encoder masks it, and never zeros.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from ski_lvlm.auto.import_hook import register_when_imported

if TYPE_CHECKING:
    from ski_lvlm.lvlm.inference import LoadedModel

__all__ = ["from_pretrained"]

register_when_imported()  # for transformers' AutoModel. It imports nothing


def from_pretrained(model: str | Path, *, revision: str | None = None) -> "LoadedModel":
    """Load a trained SKI-LVLM for questions about videos, on the GPU where there is one.

        model = ski_lvlm.from_pretrained("runs/ski_lvlm")
        model.generate("kitchen.mp4", "What is the person doing?")

    `model` is the --output_dir of train_ski_lvlm.py, or an id on the hub as `user/name`.
    """
    from ski_lvlm.video_llm.opening import load_for_inference  # torch and transformers take seconds to import

    return load_for_inference(model, revision=revision)
