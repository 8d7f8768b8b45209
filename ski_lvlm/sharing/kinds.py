"""The kinds of trained models, and the files of each that are worth sharing. A run's folder holds more."""

from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm.storage.json_files import read_json

CARD = "README.md"
CONFIG = "config.json"  # by which transformers knows the type of a model
WEIGHTS = "model.safetensors"


class Kind(NamedTuple):
    """A kind of trained model."""

    model_type: str  # in config.json
    title: str
    settings: str  # the file that says how the weights are used
    pipeline_tag: str  # of the hub
    tags: tuple[str, ...]


_LVLM_TAGS = ("video", "skeleton", "activities-of-daily-living")
_STUDENT = Kind("ski_student", "student (SKI-VLM)", "student.json", "video-classification", (*_LVLM_TAGS, "zero-shot"))
_ENCODER = Kind(
    "ski_skeleton_encoder", "skeleton encoder", "skeleton_encoder.json", "feature-extraction", _LVLM_TAGS[1:]
)
_TEXT = Kind("ski_skeleton_text", "skeleton-text model", "skeleton_text.json", "other", (*_LVLM_TAGS[1:], "zero-shot"))
KINDS = {
    kind.model_type: kind
    for kind in (
        Kind("ski_lvlm", "SKI-LVLM", CONFIG, "video-text-to-text", _LVLM_TAGS),
        Kind("ski_video_llm", "SKI-trained video LLM", CONFIG, "video-text-to-text", _LVLM_TAGS),
        _STUDENT,
        _ENCODER,
        Kind("ski_skeleton_clip", "SkeletonCLIP", _ENCODER.settings, "feature-extraction", _ENCODER.tags),
        _TEXT,
    )
}
_PARTS = ("adapter", "llm", "skeleton_clip", "skeleton_encoder", "rehearsal")  # sub-folders of models
_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")  # never pickles, never code
FILES = (
    *(CARD, CONFIG, WEIGHTS, _STUDENT.settings, _ENCODER.settings, _TEXT.settings),
    *(f"{part}/*{suffix}" for part in _PARTS for suffix in _SUFFIXES),
)


def kind_of(folder: Path) -> Kind:
    """Return the kind of the trained model in a folder.

    Raises:
        ValueError: there is none.
    """
    for kind in (_STUDENT, _TEXT, _ENCODER):
        if (folder / kind.settings).is_file():
            has_text = kind is _ENCODER and settings_of(folder, kind).get("text_encoder")
            return KINDS["ski_skeleton_clip"] if has_text else kind
    model_type = settings_of(folder, KINDS["ski_lvlm"]).get("model_type") if (folder / CONFIG).is_file() else None
    if model_type not in ("ski_lvlm", "ski_video_llm"):
        raise ValueError(
            f"{folder}: found {f'a model of type {model_type!r}' if model_type else 'no trained model'}, expected the "
            "--output_dir of train_ski_vlm.py or train_ski_lvlm.py, or a copy of it"
        )
    return KINDS[model_type]


def settings_of(folder: Path, kind: Kind) -> dict[str, Any]:
    """Return the content of the file that says how a folder's weights are used.

    Raises:
        ValueError: it cannot be read, or is no JSON object.
    """
    settings = read_json(folder / kind.settings)
    if not isinstance(settings, dict):
        raise ValueError(f"{folder / kind.settings}: found a {type(settings).__name__}, expected a JSON object")
    return settings


def model_files(folder: Path) -> list[Path]:
    """Return the files of a folder that belong to its model, as paths within it."""
    from huggingface_hub.utils import filter_repo_objects

    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [Path(path) for path in filter_repo_objects(paths, allow_patterns=list(FILES))]
