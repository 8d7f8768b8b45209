"""Stage 2, SkeletonCLIP: the skeleton encoder is brought into the space of the class sentences."""

from functools import partial
from pathlib import Path

import torch

from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.datasets.skeleton_clips import collate
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_encoder, read_card, save_model
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import SkeletonAlignRecipe
from ski_lvlm.recognition.class_sentences import class_prompts
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing
from ski_lvlm.vlm.skeleton_accuracy import Accuracy, measure_accuracy
from ski_lvlm.vlm.stage_clips import check_pretraining, selection_of, skeleton_clips
from ski_lvlm.vlm.stage_losses import AlignmentLoss
from ski_lvlm.vlm.trainer import Stage


def skeleton_align(recipe: SkeletonAlignRecipe, *, seed: int) -> Stage:
    """Build stage 2: stage 1's encoder, a projection, and the frozen text encoder.

    Paper: Sec. 3.1.
    """
    selection = selection_of(recipe)
    split, packed = selection.split, open_skeletons(recipe.prepared, selection.data)
    model, preprocessing = _skeleton_clip(recipe, packed, selection)
    card = SkeletonEncoderCard(
        stage="skeleton_align",
        encoder=model.encoder.settings,
        preprocessing=preprocessing.to_json(),
        num_frames=recipe.num_frames,
        split=split.name,
        seen=split.seen,
        text_encoder={"id": model.text_encoder.model_id, "digest": model.text_encoder.digest},
        prompt=recipe.prompt,
        protocol=selection.protocol_name,
        scale=recipe.scale,
        dataset=selection.data.name,
    )
    data = partial(skeleton_clips, selection, packed, preprocessing, num_frames=recipe.num_frames)
    train = data("seen_train", seed=seed)

    def accuracy(part: Part, *, device: torch.device) -> Accuracy:
        prompts = class_prompts(selection.classes(part), template=recipe.prompt)
        return measure_accuracy(lambda skeleton: model(skeleton, prompts).similarity, data(part), device=device)

    def test(device: torch.device) -> dict[str, Accuracy]:
        parts: tuple[Part, ...] = ("seen_test", "unseen_test", "unseen_all") if split.unseen else ("seen_test",)
        return {part: accuracy(part, device=device) for part in parts}

    return Stage(
        loss=AlignmentLoss(model, prompts=class_prompts(split.seen, template=recipe.prompt), scale=recipe.scale),
        train=train,
        collate=collate,
        about=f"{len(train)} clips of {len(split.seen)} seen actions",
        save=lambda folder: save_model(folder, model.float().eval(), card=card),
        test=test,
    )


def _skeleton_clip(
    recipe: SkeletonAlignRecipe, packed: PackedSkeletons, selection: Selection
) -> tuple[SkeletonCLIP, Preprocessing]:
    if not recipe.skeleton_encoder:
        raise ValueError(
            "give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_pretrain "
            f"--prepared {packed.folder} --split {selection.split.name}"
        )
    folder = Path(recipe.skeleton_encoder)
    encoder, preprocessing = load_skeleton_encoder(folder)
    packed.check_made_for(preprocessing)
    _check_pretrained_alike(folder, read_card(folder, SkeletonEncoderCard), recipe, selection)
    text_encoder = load_text_encoder(recipe.text_encoder).requires_grad_(recipe.text == "trainable")
    return SkeletonCLIP(encoder, text_encoder), preprocessing


def _check_pretrained_alike(
    folder: Path, card: SkeletonEncoderCard, recipe: SkeletonAlignRecipe, selection: Selection
) -> None:
    """Refuse an encoder that was pretrained on clips of the test, or at another speed of motion."""
    check_pretraining(folder, card, selection)
    if card.num_frames != recipe.num_frames:
        raise ValueError(
            f"{folder} was pretrained on clips of {card.num_frames} frames, but --num_frames is {recipe.num_frames}, "
            f"which shows motion at another speed; pass --num_frames {card.num_frames}, or pretrain again"
        )
