"""Kind and sizes of a projector, and the number of embeddings that it makes of a clip's tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ski_lvlm.recipe import SkiLvlmRecipe


@dataclass(frozen=True)
class ProjectorSettings:
    """Kind and sizes of a projector, as its folder keeps them. Each kind reads its own sizes alone."""

    kind: str = "linear"
    queries: int = 64  # resampler: Q, embeddings of a clip
    heads: int = 8  # resampler: of its attention
    kernel: int = 9  # temporal: tokens that one embedding is made of
    stride: int = 4  # temporal: tokens from one embedding to the next

    def count(self, tokens: int) -> int:
        """Return the number of embeddings that a clip of so many tokens becomes.

        >>> ProjectorSettings("resampler", queries=32).count(356), ProjectorSettings("temporal").count(255)
        (32, 64)
        """
        if self.kind == "resampler":
            return self.queries if tokens else 0  # no video, as in a question of text alone
        return -(-tokens // self.stride) if self.kind == "temporal" else tokens


def settings_of(projectors: Mapping[str, Mapping[str, Any]]) -> dict[str, ProjectorSettings]:
    """Return the settings of each modality, from JSON."""
    return {modality: ProjectorSettings(**settings) for modality, settings in projectors.items()}


def chosen_settings(recipe: SkiLvlmRecipe, modalities: Sequence[str]) -> dict[str, ProjectorSettings]:
    """Return the settings of each modality's projector that the flags choose.

    Raises:
        ValueError: a temporal projector for video tokens, a number below 1, or an even kernel.
    """
    kinds = dict.fromkeys(modalities, recipe.projector)
    if recipe.skeleton_projector:
        if "skeleton" not in kinds:
            raise ValueError(
                f"--skeleton_projector {recipe.skeleton_projector}: --modalities has no skeleton; leave it out"
            )
        kinds["skeleton"] = recipe.skeleton_projector
    if kinds.get("video") == "temporal":
        raise ValueError(
            "--projector temporal: found video tokens, of which those of the patches have no order in time; expected "
            "it for skeleton tokens alone, as --skeleton_projector temporal"
        )
    sizes = {
        "queries": recipe.projector_queries,
        "heads": recipe.projector_heads,
        "kernel": recipe.projector_kernel,
        "stride": recipe.projector_stride,
    }
    for name, value in sizes.items():
        if value < 1 or (name == "kernel" and value % 2 == 0):
            raise ValueError(f"--projector_{name} {value}: expected {'an odd number' if name == 'kernel' else '1'} up")
    return {modality: ProjectorSettings(kind, **sizes) for modality, kind in kinds.items()}
