"""Flags for the length and the sampling of answers, shared by all commands that generate some."""

import argparse
from typing import Any

MAX_NEW_TOKENS = 1024  # the published code's limit


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """Add --max_new_tokens, --temperature, --top_p and --seed.

    Assumption: greedy, so that answers can be repeated. Deviation: the published code samples at temperature 0.1
    without a seed.
    """
    add = parser.add_argument
    add("--max_new_tokens", type=int, default=MAX_NEW_TOKENS, help="maximum tokens of an answer (a cut one is marked)")
    add("--temperature", type=float, default=0.0, help="0 is greedy, a higher one samples with --seed")
    add("--top_p", type=float, default=1.0, help="sample from the likeliest words with this share of the probability")
    add("--seed", type=int, default=0, help="seed for sampling")


def generation_settings(flags: argparse.Namespace) -> dict[str, Any]:
    """Return the settings for the language model's `generate`: the maximum length alone when greedy.

    >>> generation_settings(argparse.Namespace(max_new_tokens=8, temperature=0.0, top_p=1.0, seed=3))
    {'max_new_tokens': 8}
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
    # top_k is set as well, because language models come with settings of their own
    return settings | {"do_sample": True, "temperature": flags.temperature, "top_p": flags.top_p, "top_k": 0}
