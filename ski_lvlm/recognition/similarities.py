"""Similarities of clips with classes, stored on disk batch by batch so that a crash loses little."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from ski_lvlm.cli import progress
from ski_lvlm.datasets.reading import batched, read_ahead
from ski_lvlm.recognition.class_sentences import ClassSentences
from ski_lvlm.recognition.recogniser import Recogniser
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.shards import WHOLE, Shard


class Compared(NamedTuple):
    """One clip's cosine with every class, or an error."""

    name: str
    similarity: Float32[np.ndarray, " C"] | None
    error: str


@torch.no_grad()
def compare(
    recogniser: Recogniser,
    batches: Sequence[Sequence[str]],
    sentences: ClassSentences,
    *,
    device: torch.device,
    workers: int = 0,
) -> Iterator[list[Compared]]:
    """Compare batches of clips with classes, in bf16 on a GPU.

    Raises:
        ValueError: the model's answer is not finite.
    """
    model = recogniser.model.to(device)
    for batch in read_ahead(batches, recogniser.read, workers=workers):
        readable = [clip.content for clip in batch if clip.content is not None]
        rows = iter(())
        if readable:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                similarity = model(torch.stack(readable).to(device), sentences.prompts).similarity
            rows = iter(sentences.per_class(similarity.float().cpu()).numpy())
        answers = [Compared(c.name, None if c.content is None else next(rows), c.error) for c in batch]
        _check_finite(answers)
        yield answers


def _check_finite(answers: Sequence[Compared]) -> None:
    broken = [a.name for a in answers if a.similarity is not None and not np.isfinite(a.similarity).all()]
    if broken:
        raise ValueError(
            f"the model's similarities of {', '.join(broken[:3])} are not numbers; its training diverged: train it "
            "again with a lower --learning_rate"
        )


class Similarities(NamedTuple):
    """Cosines of clips with classes. A clip with an error has a row of NaN."""

    values: Float[Tensor, "N C"]
    errors: dict[str, str]


def fused(parts: Sequence[Similarities]) -> Similarities:
    """Return the mean of several models' cosines, for the clips that all of them could read.

    Assumption: the paper fuses ViFiCLIP and SkeletonCLIP (Table 1) without saying how. Both cosines weigh the same.
    """
    values = torch.stack([part.values for part in parts]).mean(0)
    return Similarities(values, {name: error for part in parts for name, error in part.errors.items()})


def similarities(
    recogniser: Recogniser,
    names: Sequence[str],
    sentences: ClassSentences,
    *,
    folder: Path,
    device: torch.device,
    batch_size: int,
    workers: int = 0,
    shard: Shard = WHOLE,
) -> Similarities:
    """Compare clips with classes, except those that an earlier call left in `folder`, with a progress bar.

    The file's name is a digest of the weights, the sentences and the clips. Unreadable clips are tried again. A shard
    compares its batches only, and writes a file of its own.
    """
    names, errors = list(names), {}
    key = json.dumps([recogniser.digest, recogniser.origin, str(device.type), sentences.of_class, names])
    stem = f"similarity_{recogniser.modality}_{digest(key)}"
    rows = _rows_on_disk(folder, stem, shard, clips=len(names), classes=len(sentences.of_class))
    row = {name: number for number, name in enumerate(names)}
    # Batches are cut from all clips, whichever shard compares them: the values of a clip depend in their last digits on
    # the clips beside it.
    batches = [batch for k, batch in enumerate(batched(names, batch_size)) if shard.index - 1 == k % shard.count]
    todo = [[name for name in batch if np.isnan(rows[row[name]]).any()] for batch in batches]
    todo = [batch for batch in todo if batch]
    total = sum(map(len, batches))
    with progress(recogniser.modality, total=total, completed=total - sum(map(len, todo))) as advance:
        for answers in compare(recogniser, todo, sentences, device=device, workers=workers):
            for answer in answers:
                if answer.similarity is None:
                    errors[answer.name] = answer.error
                else:
                    rows[row[answer.name]] = answer.similarity
            rows.flush()
            advance(len(answers))
    return Similarities(torch.from_numpy(np.array(rows)), errors)


def _rows_on_disk(folder: Path, stem: str, shard: Shard, *, clips: int, classes: int) -> np.memmap:
    """Map the shard's file of a row per clip, with the rows that any other shard or the whole has.

    A row that a crash lost or tore holds a NaN.
    """
    file = folder / f"{stem}{shard.suffix}.npy"
    if not file.exists():
        with atomic_path(file) as temporary:
            np.save(temporary, np.full((clips, classes), np.nan, np.float32))
    rows = _mapped(file, clips=clips, classes=classes, mode="r+")
    for other in {folder / f"{stem}.npy", *folder.glob(f"{stem}.*-of-*.npy")} - {file}:
        if other.exists():
            other_rows = _mapped(other, clips=clips, classes=classes, mode="r")
            missing = np.isnan(rows).any(axis=1) & ~np.isnan(other_rows).any(axis=1)
            rows[missing] = other_rows[missing]
    rows.flush()
    return rows


def _mapped(file: Path, *, clips: int, classes: int, mode: Literal["r", "r+"]) -> np.memmap:
    rows = np.load(file, mmap_mode=mode, allow_pickle=False)
    if rows.shape != (clips, classes) or rows.dtype != np.float32:
        raise ValueError(
            f"{file}: found {rows.dtype} values of shape {rows.shape}, expected float32, {(clips, classes)}; delete it"
        )
    return rows
