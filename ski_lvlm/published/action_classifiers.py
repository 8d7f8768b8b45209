"""The cards of released skeleton encoders, which their authors trained to classify NTU's actions."""

from collections.abc import Mapping

from torch import Tensor

from ski_lvlm.datasets.catalogue import Split, open_data_set
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard
from ski_lvlm.encoders.skeleton_encoder import SkeletonEncoder
from ski_lvlm.published.weights import AFFINE, PublishedWeightsError
from ski_lvlm.skeletons.layouts import layout_named
from ski_lvlm.skeletons.preprocessing import Preprocessing

LAYOUT, NUM_PERSONS = layout_named("ntu-25"), 2  # of the published trainings
NORM = (*AFFINE, "running_mean", "running_var")
COUNTER = "num_batches_tracked"
_NUM_FRAMES = 64
_DATA_SETS = ("ntu60", "ntu120")  # that such weights were released for


def published_preprocessing(streams: tuple[str, ...]) -> Preprocessing:
    """Return the preprocessing of the published trainings, with an absent person at the origin."""
    return Preprocessing(layout=LAYOUT.name, streams=streams, absent="zeros")  # type: ignore[arg-type]


def card_of(
    encoder: SkeletonEncoder, *, num_classes: int, protocol: str, preprocessing: Preprocessing
) -> SkeletonEncoderCard:
    """Return the card of a network that was trained to classify `num_classes` actions.

    Assumption: on clips of 64 frames. A network of 60 or 120 classes was trained on all actions, one of fewer on the
    seen actions of the split with as many.

    Raises:
        PublishedWeightsError: no split has as many seen actions.
    """
    split = _training_split(num_classes)
    return SkeletonEncoderCard(
        stage="skeleton_pretrain",
        encoder=encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=_NUM_FRAMES,
        split=split.name,
        seen=split.seen,
        protocol=protocol,
        dataset=split.dataset,
    )


def _training_split(num_classes: int) -> Split:
    data_sets = [open_data_set(name) for name in _DATA_SETS]
    zero_shot = [data.split(key) for data in data_sets for key in data.description.splits]
    for split in (*(data.split(data.name) for data in data_sets), *zero_shot):
        if len(split.seen) == num_classes:
            return split
    raise PublishedWeightsError(
        f"the weights classify {num_classes} actions, expected all 60 or 120, or the seen ones of "
        f"{', '.join(split.name for split in zero_shot)}"
    )


def shape_of(published: Mapping[str, Tensor], name: str, axes: int, *, title: str) -> tuple[int, ...]:
    """Return the shape of a tensor of `axes` axes, which every network of this title has.

    Raises:
        PublishedWeightsError: there is none, or it has other axes.
    """
    if name not in published or published[name].ndim != axes:
        raise PublishedWeightsError(f"the file has no {name} of {axes} axes, which every {title} has")
    return tuple(published[name].shape)


def check_channels(published: Mapping[str, Tensor], in_channels: int, *, title: str) -> None:
    """Make sure that the first batch norm is for the channels of these streams.

    Raises:
        PublishedWeightsError: it is for others.
    """
    (features,) = shape_of(published, "data_bn.weight", 1, title=title)
    if features != NUM_PERSONS * LAYOUT.num_joints * in_channels:
        raise PublishedWeightsError(
            f"data_bn.weight has {features} features, expected {NUM_PERSONS} persons x {LAYOUT.num_joints} joints x "
            f"{in_channels} channels; give the --streams it was trained on"
        )
