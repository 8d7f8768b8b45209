"""Skeleton tokens at the speed of motion that an encoder was trained on."""

from typing import NamedTuple

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder


class Views(NamedTuple):
    """Number of inputs that a clip is made into, and of frames in each."""

    num_views: int
    num_frames: int


def views_for(
    encoder: SkeletonEncoder,
    *,
    trained_frames: int,
    num_tokens: int,
    num_frames: int | None = None,
    allow_other_speed: bool = False,
) -> Views:
    """Choose the views of a clip that give `num_tokens` tokens.

    `num_frames` defaults to `trained_frames`, T_s of the encoder's training. A clip is resized to T_s frames, so
    another T_s shows the encoder another speed of motion.

    Deviation: 256 tokens are 16 interleaved views of 64 frames. One view of 1024 frames gives 256 tokens as well, but
    shows motion 16 times slower than in training, which the encoder does not understand.

    Raises:
        ValueError: other frames than in training without `allow_other_speed`, or no number of views gives the tokens.
    """
    num_frames = num_frames or trained_frames
    if num_frames != trained_frames and not allow_other_speed:
        raise ValueError(
            f"--skeleton_frames is {num_frames}, but the encoder was trained on clips of {trained_frames} frames, so "
            f"it would see motion {num_frames / trained_frames:g} times slower; leave the flag out, or add "
            "--allow_other_speed"
        )
    tokens = encoder.num_tokens(num_frames)
    num_views, remainder = divmod(num_tokens, tokens)
    if remainder or not num_views:
        raise ValueError(
            f"--skeleton_tokens is {num_tokens}, but {num_frames} frames give {tokens} tokens a view; choose a "
            f"multiple of {tokens}, for example {max(1, num_views) * tokens}"
        )
    return Views(num_views, num_frames)


def tokens_of_views(encoder: SkeletonEncoder, views: Float[Tensor, "B V T M J C"]) -> Float[Tensor, "B N F"]:
    """Encode each view on its own and lay the tokens of all views out in the order of time."""
    tokens = encoder(rearrange(views, "b v t m j c -> (b v) t m j c")).tokens
    return rearrange(tokens, "(b v) n f -> b (n v) f", v=views.shape[1])
