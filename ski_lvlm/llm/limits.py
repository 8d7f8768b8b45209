"""Limits of a language model: its context in tokens, and the token ids that its embedding has rows for."""

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
_UNSTATED = 10_000_000  # tokenizers without a limit state numbers up to 1e30
_MAX_WORDS = 5  # in a message


class Context(NamedTuple):
    """Tokens that a language model reads, prompt and answer together, and the entry that states it."""

    tokens: int
    source: str


def context_of(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> Context | None:
    """Return the shortest limit that the configuration and the tokenizer state, None where they state none.

    Scaled rotary embeddings reach as far as the longer of the stated limit and the scaled original one.
    """
    config = config.get_text_config(decoder=True)
    limits = [
        Context(_scaled(limit, config), name)
        for name in _CONTEXT
        if isinstance(limit := getattr(config, name, None), int) and limit > 0
    ]
    if 0 < tokenizer.model_max_length < _UNSTATED:
        limits.append(Context(int(tokenizer.model_max_length), "the tokenizer's model_max_length"))
    return min(limits, default=None, key=lambda limit: limit.tokens)


def _scaled(limit: int, config: PretrainedConfig) -> int:
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(kind for kind in rope.values() if isinstance(kind, dict))]  # one for each kind of layer
    reached = [
        int(kind["factor"] * (kind.get("original_max_position_embeddings") or limit))
        for kind in kinds
        if kind.get("factor")
    ]
    return max([limit, *reached])


def rows_of(model: PreTrainedModel) -> int:
    """Return the number of token ids that the model's embedding has a row for."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.num_embeddings)


def without_foreign_padding(config: PretrainedConfig) -> PretrainedConfig:
    """Return the configuration without padding ids for which its embedding would have no row."""
    for part in (config, config.get_text_config(decoder=True)):
        padding = getattr(part, "pad_token_id", None)
        if padding is not None and padding >= getattr(part, "vocab_size", padding + 1):
            part.pad_token_id = None
    return config


def check_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Make sure that every word of the tokenizer has a row in the model, and set a token for padding.

    Padding is masked, so that any token of the model serves. A tokenizer without such a special token keeps none, and
    `pad_id` is 0.
    """
    rows, vocabulary = rows_of(model), tokenizer.get_vocab()
    added = tokenizer.added_tokens_decoder
    words = {k: word for word, k in vocabulary.items() if k >= rows and k not in added}
    if words:
        first = [words[k] for k in sorted(words)[:_MAX_WORDS]]
        raise ValueError(
            f"{name}: {len(words)} words of the tokenizer, first {first}, have ids beyond the {rows} rows of the "
            "model's embedding; give the tokenizer that belongs to this model"
        )
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < rows:
        return
    reason = "no pad token" if tokenizer.pad_token_id is None else f"no row for its pad token {tokenizer.pad_token!r}"
    special = [tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token, *tokenizer.all_special_tokens]
    present = [token for token in special if token and vocabulary.get(token, rows) < rows]
    tokenizer.pad_token = present[0] if present else None
    logger.warning("%s has %s; padding with %r, masked out", name, reason, tokenizer.pad_token or "id 0")


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id for padding, which the attention mask hides."""
    return 0 if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)


def check_ids(ids: Iterable[int], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that the model has a row for each of these ids. Negative ones are filled by projectors."""
    rows = rows_of(model)
    if beyond := sorted({k for k in ids if k >= rows}):
        tokens = {token: k for k, token in zip(beyond, tokenizer.convert_ids_to_tokens(beyond), strict=True)}
        raise ValueError(
            f"the chat template of {tokenizer.name_or_path!r} writes {tokens}, but the model's embedding has {rows} "
            "rows; resize it (resize_token_embeddings) and save it, or use --chat_template vicuna"
        )
