"""From a recipe to the model of each stage of SkeletonCLIP, and what its folder will say about it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ski_lvlm.clip import load_text_encoder
from ski_lvlm.hyperformer import ActionClassifier, Hyperformer
from ski_lvlm.ntu import class_names, split_named
from ski_lvlm.packed import PackedSkeletons
from ski_lvlm.recipe import SkeletonAlignRecipe, SkeletonDataRecipe, SkeletonPretrainRecipe
from ski_lvlm.skeleton import Preprocessing
from ski_lvlm.skeleton_clip import SkeletonCLIP, SkeletonEncoderCard, load_skeleton_encoder, read_card
from ski_lvlm.zero_shot import class_prompts


def preprocessing_of(recipe: SkeletonPretrainRecipe, packed: PackedSkeletons) -> Preprocessing:
    """How stage 1 turns the packed clips into the network's input."""
    return Preprocessing(
        layout=packed.layout.name,
        cleaning=packed.cleaning,
        centring=recipe.centring,
        streams=tuple(recipe.streams.split(",")),  # type: ignore[arg-type]
        absent=recipe.absent,
    )


def classifier(recipe: SkeletonPretrainRecipe, packed: PackedSkeletons) -> tuple[ActionClassifier, Preprocessing]:
    """Stage 1: an untrained encoder with a linear layer over the seen classes."""
    preprocessing = preprocessing_of(recipe, packed)
    encoder = Hyperformer(
        layout=packed.layout,
        num_heads=recipe.num_heads,
        head_dim=recipe.head_dim,
        depth=recipe.depth,
        strided=recipe.strided,
        in_channels=preprocessing.num_channels,
    )
    return ActionClassifier(encoder, num_classes=len(split_named(recipe.split).seen)), preprocessing


def aligner(recipe: SkeletonAlignRecipe, packed: PackedSkeletons) -> tuple[SkeletonCLIP, Preprocessing]:
    """Stage 2: stage 1's encoder, a projection, and the frozen text encoder."""
    if not recipe.skeleton_encoder:
        raise ValueError(
            "give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_pretrain "
            f"--prepared {recipe.prepared} --split {recipe.split}"
        )
    folder = Path(recipe.skeleton_encoder)
    encoder, preprocessing = load_skeleton_encoder(folder)
    preprocessing.check_matches(dataclasses.replace(preprocessing, layout=packed.layout.name, cleaning=packed.cleaning))
    leaked = sorted(set(read_card(folder).seen) & set(split_named(recipe.split).unseen))
    if leaked:
        raise ValueError(
            f"{folder} was pretrained on actions that are unseen in {recipe.split}: "
            f"{', '.join(f'A{action}' for action in leaked)}; pretrain with --split {recipe.split}"
        )
    return SkeletonCLIP(encoder, load_text_encoder(recipe.text_encoder)), preprocessing


def sentences(recipe: SkeletonDataRecipe, actions: Sequence[int]) -> tuple[str, ...]:
    """The class sentences that stage 2 compares skeletons with."""
    assert isinstance(recipe, SkeletonAlignRecipe)
    return class_prompts(class_names(actions=actions), template=recipe.prompt)


def card_of(
    stage: str, recipe: SkeletonDataRecipe, model: ActionClassifier | SkeletonCLIP, preprocessing: Preprocessing
) -> SkeletonEncoderCard:
    """What the folder will say about the encoder in it."""
    text, prompt = None, None
    if isinstance(model, SkeletonCLIP) and isinstance(recipe, SkeletonAlignRecipe):
        text, prompt = {"id": model.text_encoder.model_id, "digest": model.text_encoder.digest}, recipe.prompt
    return SkeletonEncoderCard(
        stage=stage,
        encoder=model.encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=recipe.num_frames,
        split=recipe.split,
        seen=split_named(recipe.split).seen,
        text_encoder=text,
        prompt=prompt,
    )
