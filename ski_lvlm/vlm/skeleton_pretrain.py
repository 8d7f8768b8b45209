"""Stage 1: the skeleton encoder learns to recognise the seen actions."""

from functools import partial

from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.skeleton_clips import collate
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, save_model
from ski_lvlm.encoders.skeleton_encoder import ActionClassifier, SkeletonEncoder
from ski_lvlm.encoders.skeleton_encoders import ENCODERS
from ski_lvlm.recipe import SkeletonPretrainRecipe
from ski_lvlm.skeletons.layouts import Layout
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.skeleton_accuracy import measure_accuracy
from ski_lvlm.vlm.stage_clips import selection_of, skeleton_clips
from ski_lvlm.vlm.stage_losses import ClassifierLoss
from ski_lvlm.vlm.trainer import Stage


def skeleton_pretrain(recipe: SkeletonPretrainRecipe, *, seed: int) -> Stage:
    """Build stage 1: an untrained encoder with a linear layer over the seen classes.

    Paper: Sec. 3.1.
    """
    selection = selection_of(recipe)
    split, packed = selection.split, open_skeletons(recipe.prepared, selection.data)
    preprocessing = Preprocessing(
        layout=packed.layout.name,
        cleaning=packed.cleaning,
        centring=recipe.centring,
        streams=tuple(recipe.streams.split(",")),  # type: ignore[arg-type]
        absent=recipe.absent,
    )
    encoder = untrained_encoder(recipe, packed.layout, in_channels=preprocessing.num_channels)
    model = ActionClassifier(encoder, num_classes=len(split.seen))
    card = SkeletonEncoderCard(
        stage="skeleton_pretrain",
        encoder=encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=recipe.num_frames,
        split=split.name,
        seen=split.seen,
        protocol=selection.protocol_name,
        dataset=selection.data.name,
    )
    data = partial(skeleton_clips, selection, packed, preprocessing, num_frames=recipe.num_frames)
    train = data("seen_train", seed=seed)
    loss = ClassifierLoss(model)
    multipliers = {
        name: multiplier
        for name, _ in loss.named_parameters()
        for end, multiplier in encoder.strongly_decayed.items()
        if name.endswith(end)
    }
    return Stage(
        loss=loss,
        train=train,
        collate=collate,
        about=f"{len(train)} clips of {len(split.seen)} seen actions",
        save=lambda folder: save_model(folder, model.float().eval(), card=card),
        test=lambda device: {"seen_test": measure_accuracy(model, data("seen_test"), device=device)},
        decay_at=recipe.decay_at,
        decay_multipliers=multipliers,
    )


def untrained_encoder(recipe: SkeletonPretrainRecipe, layout: Layout, *, in_channels: int) -> SkeletonEncoder:
    """Build the encoder that the recipe names, of the recipe's sizes.

    Raises:
        ValueError: the sizes fit no network, or the recipe sets those of another encoder.
    """
    kind, usual = ENCODERS[recipe.encoder], SkeletonPretrainRecipe()
    foreign = {size for other in ENCODERS.values() for size in other.sizes} - {*kind.sizes}
    if ignored := sorted(size for size in foreign if getattr(recipe, size) != getattr(usual, size)):
        raise ValueError(
            f"{kind.title} has no {', '.join(f'--{size}' for size in ignored)}; leave them out. Its sizes are "
            f"{', '.join(f'--{size}' for size in kind.sizes)}"
        )
    return kind(layout=layout, in_channels=in_channels, **{size: getattr(recipe, size) for size in kind.sizes})
