"""The two stages of SkeletonCLIP, from a recipe to what the Trainer needs and what is left behind."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ski_lvlm.datasets.ntu import Part, class_names, clips, split_named
from ski_lvlm.datasets.skeleton_clips import SkeletonClips, collate
from ski_lvlm.dual_encoders.skeleton_clip import (
    SkeletonCLIP,
    SkeletonEncoderCard,
    load_skeleton_encoder,
    read_card,
    save_skeleton_encoder,
)
from ski_lvlm.encoders.hyperformer import ActionClassifier, Hyperformer
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import SkeletonAlignRecipe, SkeletonDataRecipe, SkeletonPretrainRecipe
from ski_lvlm.recognition.classes import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.skeleton_trainer import AlignmentLoss, ClassifierLoss, measure_accuracy
from ski_lvlm.vlm.trainer import Stage


def pretrain(recipe: SkeletonPretrainRecipe, *, seed: int) -> Stage:
    """Stage 1: recognise the seen actions."""
    packed = PackedSkeletons.open(Path(recipe.prepared))
    model, preprocessing = classifier(recipe, packed)
    data = partial(dataset, recipe, packed, preprocessing)
    return Stage(
        loss=ClassifierLoss(model),
        train=data("seen_train", seed=seed),
        collate=collate,
        about=_about(recipe, data("seen_train")),
        save=lambda folder: _save(folder, model, card_of("skeleton_pretrain", recipe, model, preprocessing)),
        test=lambda device: {"seen_test": measure_accuracy(model, data("seen_test"), prompts=None, device=device)},
        decay_at=recipe.decay_at,
    )


def align(recipe: SkeletonAlignRecipe, *, seed: int) -> Stage:
    """Stage 2: bring skeletons into the space of the class sentences."""
    packed = PackedSkeletons.open(Path(recipe.prepared))
    model, preprocessing = aligner(recipe, packed)
    data = partial(dataset, recipe, packed, preprocessing)
    split = split_named(recipe.split)

    def test(device: torch.device) -> dict[str, Any]:
        parts: tuple[Part, ...] = ("seen_test", "unseen_test", "unseen_all")
        return {
            part: measure_accuracy(
                model,
                data(part),
                prompts=sentences(recipe, split.seen if part == "seen_test" else split.unseen),
                device=device,
            )
            for part in parts
        }

    return Stage(
        loss=AlignmentLoss(model, prompts=sentences(recipe, split.seen), scale=recipe.scale),
        train=data("seen_train", seed=seed),
        collate=collate,
        about=_about(recipe, data("seen_train")),
        save=lambda folder: _save(folder, model, card_of("skeleton_align", recipe, model, preprocessing)),
        test=test,
    )


def dataset(
    recipe: SkeletonDataRecipe,
    packed: PackedSkeletons,
    preprocessing: Preprocessing,
    part: Part,
    *,
    seed: int | None = None,
) -> SkeletonClips:
    """One part of the recipe's split; with a seed, augmented for training.

    Raises:
        ValueError: there is nothing to train on.
    """
    split = split_named(recipe.split)
    names = clips(packed.names, split=split, protocol=recipe.protocol, part=part)
    if part == "seen_train" and not names:
        raise ValueError(
            f"{recipe.prepared} holds {len(packed)} clips, but none of {split.name}'s seen actions that "
            f"{recipe.protocol} trains on; check --split, or prepare the folder that holds them"
        )
    return SkeletonClips(
        packed,
        names,
        actions=split.seen if part.startswith("seen") else split.unseen,
        num_frames=recipe.num_frames,
        preprocessing=preprocessing,
        seed=seed,
    )


def _about(recipe: SkeletonDataRecipe, data: SkeletonClips) -> str:
    return f"{len(data)} clips of {len(split_named(recipe.split).seen)} seen actions"


def _save(folder: Path, model: ActionClassifier | SkeletonCLIP, card: SkeletonEncoderCard) -> None:
    save_skeleton_encoder(folder, model.float().eval(), card=card)


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
    _check_goes_on(folder, read_card(folder), recipe)
    text_encoder = load_text_encoder(recipe.text_encoder).requires_grad_(recipe.text == "trainable")
    return SkeletonCLIP(encoder, text_encoder), preprocessing


def _check_goes_on(folder: Path, card: SkeletonEncoderCard, recipe: SkeletonAlignRecipe) -> None:
    """Refuse a stage 2 that would show the encoder other clips, or another speed of motion, than stage 1 did."""
    split = split_named(recipe.split)
    leaked = sorted(set(card.seen) & set(split.unseen))
    if leaked:
        raise ValueError(
            f"{folder} was pretrained on actions that are unseen in {recipe.split}: "
            f"{', '.join(f'A{action}' for action in leaked)}; pretrain with --split {recipe.split}"
        )
    if split.dataset != "synthetic" and card.protocol != recipe.protocol:
        raise ValueError(
            f"{folder} was pretrained on {card.protocol}'s training clips, but --protocol is {recipe.protocol}, which "
            f"tests some of them; pass --protocol {card.protocol}, or pretrain with --protocol {recipe.protocol}"
        )
    if card.num_frames != recipe.num_frames:
        raise ValueError(
            f"{folder} was pretrained on clips of {card.num_frames} frames, but --num_frames is {recipe.num_frames}, "
            f"which shows motion at another speed; pass --num_frames {card.num_frames}, or pretrain again"
        )


def sentences(recipe: SkeletonDataRecipe, actions: Sequence[int]) -> tuple[str, ...]:
    """The class sentences that stage 2 compares skeletons with."""
    assert isinstance(recipe, SkeletonAlignRecipe)
    return class_prompts(class_names(actions=actions), template=recipe.prompt)


def card_of(
    stage: str, recipe: SkeletonDataRecipe, model: ActionClassifier | SkeletonCLIP, preprocessing: Preprocessing
) -> SkeletonEncoderCard:
    """What the folder will say about the encoder in it."""
    language: dict[str, Any] = {}
    if isinstance(model, SkeletonCLIP) and isinstance(recipe, SkeletonAlignRecipe):
        text = {"id": model.text_encoder.model_id, "digest": model.text_encoder.digest}
        language = {"text_encoder": text, "prompt": recipe.prompt, "scale": recipe.scale}
    return SkeletonEncoderCard(
        stage=stage,
        encoder=model.encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=recipe.num_frames,
        split=recipe.split,
        seen=split_named(recipe.split).seen,
        protocol=recipe.protocol,
        **language,
    )
