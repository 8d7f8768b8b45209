"""How answers are drawn, as flags that every command which lets a model answer shares."""

import argparse
from typing import Any


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Add --max_new_tokens, --temperature, --top_p and --seed.

    Assumption: greedy, so that answers can be repeated. Deviation: the published code samples at temperature 0.1
    without a seed; its limit of 1,024 tokens is kept.
    """
    add = parser.add_argument
    add("--max_new_tokens", type=int, default=1024, help="longest answer, in tokens; what runs into it is marked")
    add("--temperature", type=float, default=0.0, help="0 is greedy; above, sampling with --seed")
    add("--top_p", type=float, default=1.0, help="sample from the likeliest words with this share of the probability")
    add("--seed", type=int, default=0, help="seed for sampling")


def generation_settings(flags: argparse.Namespace) -> dict[str, Any]:
    """What the language model's `generate` is told; nothing but the length of an answer when greedy.

    >>> generation_settings(argparse.Namespace(max_new_tokens=8, temperature=0.0, top_p=1.0, seed=3))
    {'max_new_tokens': 8}

    Raises:
        ValueError: a flag out of its range.
    """
    if flags.max_new_tokens < 1:
        raise ValueError(f"--max_new_tokens {flags.max_new_tokens}: expected 1 or more")
    if flags.temperature < 0 or not 0 < flags.top_p <= 1:
        raise ValueError(
            f"--temperature {flags.temperature} --top_p {flags.top_p}: expected a temperature of 0 (greedy) or more, "
            "and a share above 0 and up to 1"
        )
    settings: dict[str, Any] = {"max_new_tokens": flags.max_new_tokens}
    if flags.temperature == 0:
        return settings
    # top_k is told as well: language models come with choices of their own
    return settings | {"do_sample": True, "temperature": flags.temperature, "top_p": flags.top_p, "top_k": 0}
