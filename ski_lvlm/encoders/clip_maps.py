"""Maps of clips: one vector for each joint and time step, for systems that read body parts."""

from einops import reduce
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.encoders.presence import average_maps, presence_of
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder


def mean_map(encoder: SkeletonEncoder, skeleton: Float[Tensor, "B T M J C"]) -> Float[Tensor, "B F U J"]:
    """Encode clips and average over the persons present. NaN marks a joint that is absent from a time step.

    Raises:
        ValueError: skeletons that the encoder does not take, or a clip without anybody.
    """
    skeleton = encoder.checked(skeleton)
    present, has_joint = presence_of(skeleton)
    features = encoder.feature_map(skeleton, present=present, has_joint=has_joint)
    return average_maps(features, None if has_joint is None else encoder.remaining(has_joint), present=present)


def scrambled_map(encoder: SkeletonEncoder, skeleton: Float[Tensor, "B T M J C"]) -> Float[Tensor, "B F U J"]:
    """Encode clips and average over the persons as STAR's published code does.

    It averages neighbours in memory, which are joints and time steps of one person. An absent person stands at the
    origin. `mean_map` is right.

    Raises:
        ValueError: skeletons that the encoder does not take, a clip without anybody, or single absent joints.
    """
    skeleton = encoder.checked(skeleton)
    present, has_joint = presence_of(skeleton)
    if has_joint is not None:
        raise ValueError(
            "some joints are absent, but expected were all of them, since the published map knows no absent joints; "
            "leave out --published scrambled_map"
        )
    features = encoder.feature_map(skeleton, present=present.new_ones(present.shape))
    clips, persons = len(skeleton), skeleton.shape[2]
    neighbours = features.reshape(clips, *features.shape[1:], persons)
    return reduce(neighbours, "b f u j m -> b f u j", "mean")
