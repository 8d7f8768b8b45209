"""Tasks with the videos that they are about, read ahead batch by batch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from eval.choosing.model import ChoiceTask, Tasks

if TYPE_CHECKING:
    from eval.describing.answering import Clips


class Shown(NamedTuple):
    """A task with its video as the model takes it, or None and the reason why it cannot be shown."""

    task: ChoiceTask
    content: Any | None
    error: str


def shown_tasks(
    tasks: Tasks,
    clips: "Clips | None",
    *,
    batch_size: int,
    workers: int,
    no_video: Any,  # noqa: ANN401
) -> Iterator[list[Shown]]:
    """Yield the tasks about `batch_size` videos at a time, each of which is read once.

    Without `clips`, each task gets `no_video`, and a batch has `batch_size` tasks.
    """
    from ski_lvlm.datasets.reading import batched, read_ahead

    if clips is None:
        every_task = [Shown(task, no_video, "") for tasks_of_video in tasks.values() for task in tasks_of_video]
        yield from (every_task[start : start + batch_size] for start in range(0, len(every_task), batch_size))
        return
    for batch in read_ahead(batched(list(tasks), batch_size), clips.read, workers=workers):
        contents = [(clip.name, *clips.content(clip)) for clip in batch]
        yield [Shown(task, content, error) for name, content, error in contents for task in tasks[name]]
