"""The contract of captioners."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from data_curation.captioning.key_joints import KeyJoints
from data_curation.captioning.vision_pool import Loading
from ski_lvlm.datasets.action_classes import ActionClass

if TYPE_CHECKING:
    from data_curation.asking.asker import Asker

MAX_TOKENS = 256  # Assumption: as LLAVIDAL, because the paper does not say


@dataclass(frozen=True)
class CroppedClip:
    """A clip to caption. Its class and its skeleton are only for captioners that measure.

    `joints` reads the skeleton. They are None where there is nothing to measure.
    """

    name: str
    crop: Path
    action: ActionClass
    joints: Callable[[], KeyJoints | None]


class Caption(NamedTuple):
    """A caption and its tokens, 0 without a language model.

    A `cut` caption reached `MAX_TOKENS` and ends with its last whole sentence.
    """

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False


@dataclass(frozen=True)
class Captioner:
    """A captioner of clips, and a context manager that closes it.

    Attributes:
        model: the name in records.
        version: a digest of the instructions.
        describe: captions a clip.
        threads: the number of clips in parallel, or None for as many as there are workers.
        asker: the model on a server, if there is one.
        pictures: the number of pictures of a clip that the asker gets.
        measures: whether class and joints are read.
        note: a remark on its pictures for the dataset card.
        close: ends its processes.
    """

    model: str
    version: str
    describe: Callable[[CroppedClip], Caption]
    threads: int | None = None
    asker: "Asker | None" = None
    pictures: int = 1
    measures: bool = False
    note: str = ""
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class CaptionerSettings(NamedTuple):
    """The settings that a captioner is opened with.

    Attributes:
        frames: the pictures of a clip, from `frames_choice`.
        loading: code, commit and Python of a model on this machine.
        asker: the model on a server.
        facts: a folder with facts.jsonl, of synthetic clips.
        facts_about: styles in which facts are told, with commas.
        seed: of the wording.
    """

    frames: str = "middle"
    loading: Loading = Loading()
    asker: "Asker | None" = None
    facts: Path | None = None
    facts_about: str = "action"
    seed: int = 0
