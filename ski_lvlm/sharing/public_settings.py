"""Settings of a model as they can leave the machine: bases by hub id, and no paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ski_lvlm.sharing.hub import is_hub_id

_BASES = ("base_llm", "backbone", "text_encoder", "id", "tower", "base_model_name_or_path")  # needed to load a model
_ORIGINS = ("encoder", "folder", "_name_or_path", "name_or_path")  # named for the record alone

_LONGEST = 256  # characters of a file's name


def is_local(name: str) -> bool:
    """Return whether a model's name is a path of this machine, and neither a hub id nor a short name.

    >>> is_local("/data/vicuna"), is_local("openai/clip-vit-base-patch16"), is_local("minilm")
    (True, False, False)
    """
    return ("/" in name and not is_hub_id(name)) or (0 < len(name) < _LONGEST and Path(name).exists())


def public_settings(settings: Any, bases: Mapping[str, str], *, file: str) -> Any:  # noqa: ANN401
    """Return a file's settings with bases by the hub ids that `bases` gives, and other paths without their folders.

    Raises:
        ValueError: the model rests on a base that has no hub id.
    """
    if isinstance(settings, list):
        return [public_settings(entry, bases, file=file) for entry in settings]
    if not isinstance(settings, dict):
        return settings
    has_own_llm = bool(settings.get("llm_folder"))
    return {
        key: _public(key, value, bases, file=file, is_needed=key in _BASES and not (key == "base_llm" and has_own_llm))
        if isinstance(value, str)
        else public_settings(value, bases, file=file)
        for key, value in settings.items()
    }


def _public(key: str, value: str, bases: Mapping[str, str], *, file: str, is_needed: bool) -> str:
    if value in bases and key in (*_BASES, *_ORIGINS):
        return bases[value]
    if key not in (*_BASES, *_ORIGINS) or not is_local(value):
        return value
    if is_needed:
        raise ValueError(
            f"{file}: found {key} {value!r}, a path of this machine, expected a hub id, from which others load it; say "
            f"where they find the same weights, as {value}=user/name (its digest is checked when the model is loaded)"
        )
    return Path(value).name
