"""Gradient of alpha * L_D at a student's features, beside its own cross-entropy, for each scale and alpha.

    python -m benchmarks.scd_gradients

Simulated at the paper's numbers of classes with CLIP's width and tau. Class sentences are as alike as CLIP's are. The
student's cosines are 0.25 with a standard deviation of 0.02, and it names 80 % of the clips. The teacher's similarities
are alike in the cosine scale, and logits of unit variance in the published one. Its cross-entropy is 0.1 in both. No
network is involved, so the figures say what the losses do and nothing about accuracy. A real run logs the same ratio as
`gradient_ratio` in metrics.jsonl.
"""

import math
from collections.abc import Callable, Sequence
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, normalize, one_hot

from ski_lvlm.cli import parser, run
from ski_lvlm.dual_encoders.language import cosine_similarity
from ski_lvlm.recipe import Scale
from ski_lvlm.vlm.losses import gradient_ratio

WIDTH, CLIPS, SENTENCE_COSINE, TAU = 512, 512, 0.75, 0.01
COSINE, DEVIATION = 0.25, 0.02
STUDENT_ACCURACY, TEACHER_LOSS = 0.8, 0.1


def ratio(scale: Scale, *, num_classes: int, alpha: float) -> float:
    """Return the gradient of alpha * L_D over that of the video's cross-entropy, both at z^v."""
    draw = torch.Generator().manual_seed(0)
    common, specific = torch.randn(1, WIDTH, generator=draw), torch.randn(num_classes, WIDTH, generator=draw)
    sentences = normalize(math.sqrt(SENTENCE_COSINE) * common + math.sqrt(1 - SENTENCE_COSINE) * specific, dim=-1)
    labels = torch.arange(CLIPS) % num_classes

    def similarities(seed: int, rises: Callable[[Float[Tensor, "B C"]], float], target: float) -> Float[Tensor, "B C"]:
        noise = torch.randn(CLIPS, num_classes, generator=torch.Generator().manual_seed(seed))
        right = one_hot(labels, num_classes)
        return noise + solve(lambda margin: rises(noise + margin * right), target) * right

    def accuracy(f: Float[Tensor, "B C"]) -> float:
        return (f.argmax(1) == labels).float().mean().item()

    f_lv = COSINE + DEVIATION * similarities(1, accuracy, STUDENT_ACCURACY)
    inverse_tau = DEVIATION / TAU if scale == "cosine" else 1.0
    logits = similarities(2, lambda f: -cross_entropy(inverse_tau * f, labels).item(), -TEACHER_LOSS)
    f_ls = COSINE + DEVIATION * logits if scale == "cosine" else logits
    z_v = with_cosines(f_lv, sentences).requires_grad_()
    f_lv = cosine_similarity(z_v, sentences)
    loss = cross_entropy(f_lv / TAU if scale == "cosine" else f_lv, labels)
    return gradient_ratio(alpha * mse_loss(f_lv, f_ls), loss, z_v).item()


def with_cosines(cosines: Float[Tensor, "B C"], sentences: Float[Tensor, "C D"]) -> Float[Tensor, "B D"]:
    """Return unit features that have these cosines with the sentences."""
    inverse = torch.linalg.pinv(sentences)
    z = cosines @ inverse.T
    other = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(3))
    other = normalize(other - other @ sentences.T @ inverse.T, dim=-1)  # no sentence notices it
    return z + (1 - z.square().sum(-1, keepdim=True)).clamp(min=0).sqrt() * other


def solve(rises: Callable[[float], float], target: float) -> float:
    """Return where a rising function of a margin reaches the target, by bisection."""
    low, high = 0.0, 100.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < target else (low, middle)
    return middle


def main(argv: Sequence[str] | None = None) -> int:
    """Print the ratios as a table."""
    parser(__doc__ or "").parse_args(argv)
    print(f"{'scale':<12}{'classes':>8}{'alpha':>8}{'gradient ratio':>16}")
    for scale in get_args(Scale):
        for num_classes, alpha in ((48, 0.01), (110, 10.0)):
            print(f"{scale:<12}{num_classes:>8}{alpha:>8g}{ratio(scale, num_classes=num_classes, alpha=alpha):>16.1e}")
    return 0


if __name__ == "__main__":
    run(main)
