"""Flags of an estimate, and the sample that it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MODALITIES = ("video", "skeleton")
# Paper: Sec. 4, F_v = 1024 and F_s = 216, 356 visual and 256 skeleton tokens, 100K pairs.
TOKEN_WIDTHS = {"video": 1024, "skeleton": 216}
NUM_SAMPLES = 100_000
# Assumption: 150 tokens of prompt, question and answer, of which the answer has 60.
SAMPLE_TOKENS = (356, 256, 150, 60)


@dataclass(frozen=True)
class EstimateFlags:
    """An estimate of memory and time, which trains nothing and needs no weights, features or GPU."""

    estimate: bool = field(
        default=False,
        metadata={
            "help": "print memory, largest batch and hours of this command on well-known GPUs, and train nothing. Of "
            "--base_llm it reads config.json alone. --gpus is any number of GPUs then"
        },
    )
    sample_tokens: list[int] = field(
        default_factory=lambda: list(SAMPLE_TOKENS),
        metadata={
            "help": "for --estimate, tokens of a sample: video, skeleton, text, and how many of the text are the "
            "answer. The first two are the paper's"
        },
    )
    num_samples: int = field(
        default=0,
        metadata={"help": "for --estimate, samples in an epoch. Default: those of --instructions, else 100,000"},
    )
    estimate_json: bool = field(
        default=False, metadata={"help": "with --estimate, also write estimate.json into --output_dir"}
    )


@dataclass(frozen=True)
class SampleTokens:
    """Tokens of a sample before the projectors, by modality, and of its text and its answer."""

    features: Mapping[str, int]
    text: int
    answer: int


def sample_tokens(numbers: Sequence[int], modalities: Sequence[str]) -> SampleTokens:
    """Return the tokens of a sample of these modalities.

    Raises:
        ValueError: not four numbers, negative ones, or an answer that is no part of the text.
    """
    if len(numbers) != 4 or min(numbers) < 0 or not 0 < numbers[3] <= numbers[2]:
        raise ValueError(
            f"--sample_tokens {' '.join(map(str, numbers))}: expected four numbers, tokens of video, skeleton and text "
            "and how many of the text are the answer, as 356 256 150 60"
        )
    counts = dict(zip(MODALITIES, numbers[:2], strict=True))
    return SampleTokens({name: counts[name] for name in modalities}, numbers[2], numbers[3])
