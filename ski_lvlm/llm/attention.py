"""Implementation of a language model's attention, which changes speed and memory but no result beyond rounding."""

from transformers import PreTrainedModel
from transformers.utils.import_utils import is_flash_attn_2_available

IMPLEMENTATIONS = ("sdpa", "eager", "flex_attention", "flash_attention_2")


def set_attention(llm: PreTrainedModel, implementation: str) -> None:
    """Let a language model use this implementation of attention, transformers' own choice where it is "".

    Other names, such as one of a repository, are refused: transformers would download a program and run it.

    Raises:
        ValueError: none of this name, or one that this model or machine does not have.
    """
    if not implementation:
        return
    try:
        _check_is_here(implementation)
        llm.set_attn_implementation(implementation)
    except (ImportError, ValueError, KeyError) as error:
        raise ValueError(
            f"--attn_implementation {implementation}: not to be had here ({str(error).splitlines()[0]}); expected "
            "sdpa, eager or flex_attention, or flash_attention_2 with the package flash-attn and a GPU"
        ) from error


def _check_is_here(implementation: str) -> None:
    if implementation not in IMPLEMENTATIONS:
        raise ValueError("it is none of transformers' own")
    if implementation == "flash_attention_2" and not is_flash_attn_2_available():
        raise ImportError("the package flash-attn is absent, or there is no GPU")
