"""Trained models of both kinds from their folders, ready for questions about videos."""

from pathlib import Path

from transformers import PretrainedConfig

from ski_lvlm.lvlm.inference import LoadedModel, fast_dtype, on_device
from ski_lvlm.lvlm.inference import load_for_inference as load_lvlm
from ski_lvlm.sharing.hub import model_folder
from ski_lvlm.video_llm.config import MODEL_TYPE
from ski_lvlm.video_llm.inference import LoadedVideoLlm
from ski_lvlm.video_llm.model import SkiVideoLlm


def load_for_inference(folder: str | Path, *, revision: str | None = None, number: int = 0) -> LoadedModel:
    """Load a trained model, by folder or hub id, for questions about videos, on GPU `number` if any.

    Raises:
        ValueError: as `SkiLvlm.from_pretrained`, `SkiVideoLlm.from_pretrained` and `LoadedLvlm`.
    """
    folder = model_folder(folder, revision=revision)
    if not is_video_llm(folder):
        return load_lvlm(folder, number=number)
    model = SkiVideoLlm.from_pretrained(folder, is_for_video=True, dtype=fast_dtype())
    return LoadedVideoLlm(on_device(model, number=number))


def is_video_llm(folder: Path) -> bool:
    """Return whether a folder was written by training with --base_vlm."""
    if not (folder / "config.json").is_file():
        return False
    config, _ = PretrainedConfig.get_config_dict(str(folder))
    return config.get("model_type") == MODEL_TYPE
