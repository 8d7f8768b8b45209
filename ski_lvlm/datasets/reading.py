"""Clips that worker processes read ahead of a model. A clip that cannot be read carries the error instead."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Content = TypeVar("Content")


@dataclass(frozen=True)
class LoadedClip(Generic[Content]):
    """A clip's content, or None and the error."""

    name: str
    content: Content | None
    error: str = ""


def load_clip(name: str, read: Callable[[str], Content]) -> LoadedClip[Content]:
    """Read one clip. What is wrong with the clip is returned and not raised."""
    try:
        return LoadedClip(name, read(name))
    except (ValueError, OSError) as error:
        return LoadedClip(name, None, str(error))


def batched(names: Sequence[str], size: int) -> list[list[str]]:
    """Return names in lists of `size`, the last of which may be shorter.

    >>> batched(["a", "b", "c"], 2)
    [['a', 'b'], ['c']]
    """
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


class _Batches(Generic[Content]):
    """A map-style dataset of batches."""

    def __init__(self, batches: Sequence[Sequence[str]], read: Callable[[str], Content]) -> None:
        self.batches, self.read = batches, read

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> list[LoadedClip[Content]]:
        return [load_clip(name, self.read) for name in self.batches[index]]


def read_ahead(
    batches: Sequence[Sequence[str]], read: Callable[[str], Content], *, workers: int
) -> Iterator[list[LoadedClip[Content]]]:
    """Yield batches of clips in order, read by worker processes while the caller uses earlier ones.

    Args:
        batches: names of clips.
        read: returns the content of a clip. It may raise ValueError or OSError.
        workers: number of processes. With 0, this one reads.

    Raises:
        OSError: a worker process was killed.
    """
    from torch.utils.data import DataLoader

    loader: DataLoader[list[LoadedClip[Content]]] = DataLoader(
        _Batches(batches, read),  # type: ignore[arg-type]
        batch_size=None,  # an item is a batch already
        collate_fn=list,  # else arrays become tensors
        num_workers=min(workers, len(batches)),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise OSError("a worker process was killed, perhaps for want of memory; try fewer --workers") from error
