"""The contract between eval/choose.py and the models that choose."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from eval.choosing.items import ChoiceItem, Order


class ChoiceTask(NamedTuple):
    """A question in one order of its options, the number of that order, and the prompt that asks it."""

    item: ChoiceItem
    number: int
    order: Order
    prompt: str

    @property
    def options(self) -> list[str]:
        """Return the options in the order of their letters."""
        return [self.item.options[option] for option in self.order]


class Evidence(NamedTuple):
    """The answer that a model writes, and log-likelihoods of options and letters, by position.

    A log-likelihood is in nats and over the whole answer with its end, of so many tokens. From a server, that of a
    letter is over this one token. None where the model tells none of them, or none of that letter.
    """

    reply: str
    is_cut: bool
    options: list[tuple[float, int]] | None
    letters: list[tuple[float, int] | None] | None


Tasks = Mapping[str, Sequence[ChoiceTask]]  # by video
Found = tuple[ChoiceTask, Evidence | None, str]  # a task with its evidence, or with the reason why there is none


class ChoosingModel(Protocol):
    """A model that chooses between options."""

    @property
    def identity(self) -> str:
        """Digests of all that makes the evidence, for the log."""

    @property
    def missing(self) -> Mapping[str, str]:
        """The ways of choosing that this model gives no evidence for, with the reason."""

    def description(self) -> dict[str, Any]:
        """Return the origin of the model for accuracy.json."""

    def evidence(self, tasks: Tasks) -> Iterator[Found]:
        """Yield each task with the model's evidence. Without --text_only, each video is read once."""
