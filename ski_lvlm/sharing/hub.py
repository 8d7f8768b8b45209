"""Folders of trained models by hub id."""

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Any, TypeVar

from ski_lvlm.sharing.kinds import FILES, WEIGHTS

_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
_MODELS = ("skeleton_encoder", "skeleton_clip", "video_student", "init_from")  # settings of recipes that name models
Recipe = TypeVar("Recipe")


def is_hub_id(name: str) -> bool:
    """Return whether a name may be that of a model on the hub: `user/name`, and no such path here.

    >>> is_hub_id("lmsys/vicuna-7b-v1.5"), is_hub_id("/data/vicuna"), is_hub_id("runs/a/b")
    (True, False, False)
    """
    return _ID.fullmatch(name) is not None and not Path(name).exists()


def model_folder(
    name: str | Path,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the folder of a trained model by its path, or by its hub id as `user/name` or `user/name@revision`.

    A path that exists comes first. From the hub come weights as safetensors, settings and texts. Pickles and code are
    never fetched. Other names are returned as paths, so that whoever opens them says what is missing.

    Raises:
        ValueError: the hub cannot be reached, has no such model or revision, or its model has no safetensors.
    """
    match = _ID.fullmatch(str(name))
    if not match or Path(name).exists():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HTTPError

    repo_id, revision = match["id"], revision or match["revision"]
    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            allow_patterns=list(FILES),
        )
    except (HTTPError, OSError, ValueError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ValueError(
            f"found no folder {name} here, and could not fetch {repo_id!r}{at} from the hub "
            f"({' '.join(str(error).split())[:300]}); expected a folder of a trained model or the id of a model that "
            "can be reached. Without a network, fetch it elsewhere with `hf download` and give the folder"
        ) from error
    if not (Path(folder) / WEIGHTS).is_file():
        raise ValueError(
            f"{repo_id}: found no {WEIGHTS} on the hub, expected a model pushed by this package; weights as pickle "
            "(.bin, .pt) are never loaded"
        )
    return Path(folder)


def model_argument(name: str) -> Path:
    """Return `model_folder` of a flag's value, as the `type` of the flag."""
    try:
        return model_folder(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def with_local_models(recipe: Recipe) -> Recipe:
    """Return a recipe whose earlier models are folders here. Those that it names by hub id are fetched.

    Raises:
        ValueError: as `model_folder`.
    """
    settings: Any = recipe
    names = {name: value for name in _MODELS if (value := getattr(settings, name, None))}
    folders = {
        name: [str(model_folder(entry)) for entry in value] if isinstance(value, list) else str(model_folder(value))
        for name, value in names.items()
    }
    changed: Recipe = dataclasses.replace(settings, **folders)
    return changed
