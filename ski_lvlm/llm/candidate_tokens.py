"""Probabilities of short texts, such as digits and letters, as the next token of a language model."""

from collections.abc import Sequence
from functools import lru_cache

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_MOST_SPACE = 3  # characters of white space in a token beside a candidate
_BYTE = "<0x"  # a token of one byte, in SentencePiece


def candidate_probabilities(
    logits: Float[Tensor, " V"], tokenizer: PreTrainedTokenizerBase, candidates: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """Return each token that is a candidate with its probability. The texts keep the white space around candidates.

    A tokenizer may have several tokens for one candidate, such as "4" and " 4".
    """
    probabilities = logits.float().softmax(-1)
    tokens = _tokens(tokenizer, tuple(candidates))
    return tuple((text, float(probabilities[token])) for token, text in tokens)


@lru_cache(maxsize=8)
def _tokens(tokenizer: PreTrainedTokenizerBase, candidates: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return ids and texts of all tokens that are a candidate without the white space around it."""
    longest = max(map(len, candidates)) + _MOST_SPACE
    texts = {
        token: str(tokenizer.decode([token]))
        for name, token in tokenizer.get_vocab().items()
        if len(name) <= longest or name.startswith(_BYTE)
    }
    return sorted((token, text) for token, text in texts.items() if text.strip() in candidates)
