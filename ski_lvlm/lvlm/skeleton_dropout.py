"""Samples that go without their skeleton in training: how many, and which."""

from collections.abc import Sequence
from dataclasses import dataclass

from ski_lvlm.storage.digests import digest_number
from ski_lvlm.training.epoch_sampler import SampleKey


@dataclass(frozen=True)
class SkeletonDropout:
    """Shares of samples without skeleton tokens (the tokens, not their values), since inference never has them.

    The share moves linearly from that of the first optimiser step to that of the last. Seed, epoch, sample and step
    alone decide which samples, so that a resumed run has the same ones.
    """

    first: float = 0.0
    last: float = 0.0
    seed: int = 0

    @property
    def is_active(self) -> bool:
        """Return whether some samples go without the skeleton that they have."""
        return max(self.first, self.last) > 0

    def drops(self, key: SampleKey) -> bool:
        """Return whether the sample at this place goes without its skeleton."""
        draw = digest_number(f"{self.seed}/{key.epoch}/{key.sample}") / 2**64
        return draw < self.first + (self.last - self.first) * key.progress


def dropout_shares(numbers: Sequence[float], *, strategy: str = "random") -> tuple[float, float]:
    """Return the shares of the first and of the last step that --skeleton_dropout names.

    Args:
        numbers: one share for the whole training, or two.
        strategy: --train_sampling_strategy.

    Raises:
        ValueError: no or more numbers, one beyond 0 and 1, or two where samples are grouped by length.

    >>> dropout_shares([0.5]), dropout_shares([1, 0])
    ((0.5, 0.5), (1, 0))
    """
    flag = f"--skeleton_dropout {' '.join(map(str, numbers))}"
    if len(numbers) not in (1, 2) or not all(0 <= number <= 1 for number in numbers):
        raise ValueError(f"{flag}: expected a share from 0 to 1, or two, of the first step and of the last, as 0.9 0.1")
    first, last = numbers[0], numbers[-1]
    if first != last and strategy != "random":
        raise ValueError(
            f"{flag} beside --train_sampling_strategy {strategy}: a sample's length would depend on the step that its "
            "length leads to; give one share, or --train_sampling_strategy random"
        )
    return first, last
