"""Zero-shot recognition: action classes as sentences, and how often the right one is among the nearest."""

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

PROMPT = "a photo of a {name}."  # the published code's template; the paper only says "a predefined template"


def class_prompts(names: Sequence[str], *, template: str = PROMPT) -> tuple[str, ...]:
    """One sentence for every action class.

    >>> class_prompts(["drink water", "kicking something"])
    ('a photo of a drink water.', 'a photo of a kicking something.')

    Raises:
        ValueError: the template has no place for the name.
    """
    if "{name}" not in template:
        raise ValueError(f"the prompt template {template!r} has no {{name}} in it, as in {PROMPT!r}")
    return tuple(template.replace("{name}", name) for name in names)


def top_k_accuracy(similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"], *, k: int = 1) -> float:
    """Share of samples whose class is among the `k` most similar ones; ties go to the lower class number.

    >>> import torch
    >>> similarity = torch.tensor([[0.9, 0.1, 0.2], [0.4, 0.3, 0.2]])
    >>> top_k_accuracy(similarity, torch.tensor([0, 1])), top_k_accuracy(similarity, torch.tensor([0, 1]), k=2)
    (0.5, 1.0)

    Raises:
        ValueError: no samples, or not more classes than `k`: then every answer would be right.
    """
    samples, classes = similarity.shape
    if not samples:
        raise ValueError("there are no samples to take an accuracy of")
    if k >= classes:
        raise ValueError(f"top-{k} of {classes} classes is always 100 %; ask for a smaller k")
    best = similarity.argsort(dim=-1, descending=True, stable=True)[:, :k]
    return (best == labels[:, None]).any(-1).double().mean().item()
