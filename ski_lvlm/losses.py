"""The losses of the paper, as functions of what the encoders return."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def cosine_similarity(z: Float[Tensor, "B D"], z_t: Float[Tensor, "C D"]) -> Float[Tensor, "B C"]:
    """sim(z_i, z_j^t): the cosine between every feature and every class's text feature, in [-1, 1].

    Paper: Eq. (1), Sec. 3.1; F_LV and F_LS of Sec. 3.2.
    """
    return F.normalize(z, dim=-1) @ F.normalize(z_t, dim=-1).T


def language_cross_entropy(
    similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"], *, temperature: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """L_CE: cross-entropy of the class sentences' cosines over the temperature tau.

    Paper: Eq. (1), Sec. 3.1.
    Assumption: the mean over the batch where Eq. (1) writes a sum, so that the learning rate does not depend on it.
    """
    return F.cross_entropy(similarity / temperature, labels)
