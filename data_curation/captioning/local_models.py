"""Vision-language models on this machine's GPUs or its CPU, ready to answer."""

from pathlib import Path
from typing import NamedTuple

from data_curation.captioning import vision_models
from data_curation.captioning.vision_pool import Loading, VisionPool, visible_gpus, worker_command
from ski_lvlm.storage.digests import digest, remembered_digest
from ski_lvlm.storage.weight_files import check_weights


class LocalModel(NamedTuple):
    """The processes of a model, and a name with the version of its weights."""

    name: str
    pool: VisionPool


def open_cogvlm(loading: Loading) -> LocalModel:
    """Open the paper's captioner.

    Raises:
        ValueError: its code is not allowed or not pinned, or it cannot be used with this Python.
    """
    model = vision_models.COGVLM
    vision_models.check_trust(model, trust_remote_code=loading.trust_remote_code, revision=loading.revision)
    return _open(model, loading, worker_command("cogvlm", model, loading, tokenizer=vision_models.COGVLM_TOKENIZER))


def open_image_text(model: str, loading: Loading) -> LocalModel:
    """Open an image-text-to-text model of transformers, from the hub or a folder.

    Raises:
        ValueError: there is no such model, or it needs code that is not allowed or not pinned.
    """
    if loading.trust_remote_code:
        vision_models.check_trust(model, trust_remote_code=True, revision=loading.revision)
    opened = _open(model, loading, worker_command("hf", model, loading))
    return opened._replace(name=f"hf:{opened.name}")


def _open(model: str, loading: Loading, command: list[str]) -> LocalModel:
    check_weights(Path(model))
    gpus = visible_gpus(loading.python)
    try:
        pool = VisionPool(command, gpus=gpus)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error
    return LocalModel(_identity(model, pool.commit or loading.revision), pool)


def _identity(model: str, commit: str | None) -> str:
    """Return a model's name with the version of its weights, for a folder the digest of its files."""
    folder = Path(model)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.is_file())
        return f"{folder.name}@{digest(*(part for path in files for part in (path.name, remembered_digest(path))))}"
    return f"{model}@{commit or 'unknown'}"
