"""The equations of the paper: losses as functions of what the encoders return."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from ski_lvlm.dual_encoders.language import InLanguage, cosine_similarity
from ski_lvlm.recipe import Scale

Temperature = float | Float[Tensor, ""]


def language_cross_entropy(
    similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"], *, temperature: Temperature
) -> Float[Tensor, ""]:
    """Return L_CE: cross-entropy of the class sentences' cosines over the temperature tau.

    Paper: Eq. (1), Sec. 3.1.
    Assumption: the mean over the batch where Eq. (1) writes a sum, so that the learning rate does not depend on it.
    """
    return F.cross_entropy(similarity / temperature, labels)


def scaled(skeleton: InLanguage, scale: Scale) -> Float[Tensor, "B C"]:
    """Return F_LS: cosines, or in the published scale products in which the skeleton feature keeps its length."""
    if scale == "cosine":
        return skeleton.similarity
    return skeleton.similarity * skeleton.z.float().norm(dim=-1, keepdim=True)


def temperature_in(scale: Scale, temperature: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Return tau of the cross-entropy: the learnt one for cosines, 1 in the published scale."""
    return temperature if scale == "cosine" else torch.ones_like(temperature)


def language_distance(
    f_lv: Float[Tensor, "B C"],
    f_ls: Float[Tensor, "B C"],
    *,
    kind: str,
    temperatures: tuple[Temperature, Temperature],
) -> Float[Tensor, ""]:
    """Return L_D(F_LV, F_LS), the distance of the video's similarities to the classes from the skeleton's.

    `mse` is the mean squared difference. `kl` is the divergence of the video's distribution over the classes from the
    skeleton's, each at its own temperature. `contrastive` asks that a clip's two rows are nearer to each other than to
    the rows of other clips of the batch.

    Paper: Eq. (3), Sec. 3.2, and Table 5.
    Assumption: temperatures and direction of kl and contrastive, of which the paper gives the names alone.
    """
    if kind == "mse":
        return F.mse_loss(f_lv, f_ls)
    if kind == "kl":
        log_video, log_skeleton = (
            F.log_softmax(f / tau, dim=-1) for f, tau in zip((f_lv, f_ls), temperatures, strict=True)
        )
        return F.kl_div(log_video, log_skeleton, reduction="batchmean", log_target=True)
    return contrast(f_lv, f_ls, temperature=temperatures[0])


def gradient_ratio(
    weighted: Float[Tensor, ""], reference: Float[Tensor, ""], z: Float[Tensor, "B D"]
) -> Float[Tensor, ""]:
    """Return the norm of the gradient of `weighted` at the features `z` over that of `reference`.

    Only the graph between `z` and the two losses is walked, which costs next to nothing beside the encoders.
    """
    of_weighted, of_reference = (
        torch.autograd.grad(loss, z, retain_graph=True)[0].float().norm() for loss in (weighted, reference)
    )
    return of_weighted / of_reference


def feature_distance(
    z_v: Float[Tensor, "B D"], z_s: Float[Tensor, "B D"], *, kind: str, temperature: Temperature
) -> Float[Tensor, ""]:
    """Return the distance between the two features themselves, both at unit length.

    `mse` is the squared distance summed over the D channels, 2 - 2 cos. `kl` compares their softmax over channels.

    Paper: "Feature-level KD", Table 4.
    Assumption: unit length, and the sum over channels, so that alpha does not depend on D.
    """
    a, b = F.normalize(z_v.float(), dim=-1), F.normalize(z_s.float(), dim=-1)
    if kind == "mse":
        return (a - b).square().sum(-1).mean()
    return language_distance(a, b, kind=kind, temperatures=(temperature, temperature))


def contrast(
    a: Float[Tensor, "B D"],
    b: Float[Tensor, "B D"],
    *,
    temperature: Temperature,
    classes: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """Return the symmetric contrastive loss, where row i of `a` belongs to row i of `b`.

    With `classes` it belongs to all rows of its class.
    """
    logits = cosine_similarity(a, b) / temperature
    classes = torch.arange(len(a), device=a.device) if classes is None else classes
    same = (classes[:, None] == classes[None]).to(logits.dtype)
    targets = same / same.sum(1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
