"""Implementation of a language model's attention, which changes speed and memory but no result beyond rounding."""

from transformers import PreTrainedModel


def set_attention(llm: PreTrainedModel, implementation: str) -> None:
    """Let a language model use this implementation of attention, transformers' own choice where it is "".

    Raises:
        ValueError: none of this name, or one that this model or machine does not have.
    """
    if not implementation:
        return
    try:
        llm.set_attn_implementation(implementation)
    except (ImportError, ValueError, KeyError) as error:
        raise ValueError(
            f"--attn_implementation {implementation}: not to be had here ({str(error).splitlines()[0]}); expected "
            "sdpa, eager or flex_attention, or flash_attention_2 with the package flash-attn and a GPU"
        ) from error
