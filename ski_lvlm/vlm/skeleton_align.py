"""Stage 2, SkeletonCLIP: the skeleton encoder is brought into the space of the class sentences."""

from functools import partial
from pathlib import Path

import torch

from ski_lvlm.datasets.ntu import Part, Split, class_names, split_named
from ski_lvlm.datasets.skeleton_clips import collate
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_encoder, read_card, save_model
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.skeleton_accuracy import Accuracy, measure_accuracy
from ski_lvlm.vlm.stage_clips import skeleton_clips
from ski_lvlm.vlm.stage_losses import AlignmentLoss
from ski_lvlm.vlm.trainer import Stage


def skeleton_align(recipe: SkeletonAlignRecipe, *, seed: int) -> Stage:
    """Build stage 2: stage 1's encoder, a projection, and the frozen text encoder.

    Paper: Sec. 3.1.
    """
    packed, split = PackedSkeletons.open(Path(recipe.prepared)), split_named(recipe.split)
    model, preprocessing = _skeleton_clip(recipe, packed, split)
    card = SkeletonEncoderCard(
        stage="skeleton_align",
        encoder=model.encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=recipe.num_frames,
        split=recipe.split,
        seen=split.seen,
        text_encoder={"id": model.text_encoder.model_id, "digest": model.text_encoder.digest},
        prompt=recipe.prompt,
        protocol=recipe.protocol,
        scale=recipe.scale,
    )
    data = partial(skeleton_clips, recipe, packed, preprocessing)
    train = data("seen_train", seed=seed)

    def sentences(actions: tuple[int, ...]) -> tuple[str, ...]:
        return class_prompts(class_names(actions=actions), template=recipe.prompt)

    def accuracy(part: Part, actions: tuple[int, ...], *, device: torch.device) -> Accuracy:
        prompts = sentences(actions)
        return measure_accuracy(lambda skeleton: model(skeleton, prompts).similarity, data(part), device=device)

    def test(device: torch.device) -> dict[str, Accuracy]:
        return {
            "seen_test": accuracy("seen_test", split.seen, device=device),
            "unseen_test": accuracy("unseen_test", split.unseen, device=device),
            "unseen_all": accuracy("unseen_all", split.unseen, device=device),
        }

    return Stage(
        loss=AlignmentLoss(model, prompts=sentences(split.seen), scale=recipe.scale),
        train=train,
        collate=collate,
        about=f"{len(train)} clips of {len(split.seen)} seen actions",
        save=lambda folder: save_model(folder, model.float().eval(), card=card),
        test=test,
    )


def _skeleton_clip(
    recipe: SkeletonAlignRecipe, packed: PackedSkeletons, split: Split
) -> tuple[SkeletonCLIP, Preprocessing]:
    if not recipe.skeleton_encoder:
        raise ValueError(
            "give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_pretrain "
            f"--prepared {recipe.prepared} --split {recipe.split}"
        )
    folder = Path(recipe.skeleton_encoder)
    encoder, preprocessing = load_skeleton_encoder(folder)
    packed.check_made_for(preprocessing)
    _check_pretrained_alike(folder, read_card(folder, SkeletonEncoderCard), recipe, split)
    text_encoder = load_text_encoder(recipe.text_encoder).requires_grad_(recipe.text == "trainable")
    return SkeletonCLIP(encoder, text_encoder), preprocessing


def _check_pretrained_alike(folder: Path, card: SkeletonEncoderCard, recipe: SkeletonAlignRecipe, split: Split) -> None:
    """Refuse an encoder that was pretrained on clips of the test, or at another speed of motion."""
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
