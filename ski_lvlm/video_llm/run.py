"""The run of train_ski_lvlm.py with --base_vlm: model, samples and batches, from the flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ski_lvlm.datasets.instruction_file import Conversation
from ski_lvlm.llm.conversation import IGNORED, Encoded, marked
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.projectors.settings import chosen_settings
from ski_lvlm.lvlm.run import Run
from ski_lvlm.lvlm.skeleton_dropout import SkeletonDropout, dropout_shares
from ski_lvlm.lvlm.stages import freeze, take_weights
from ski_lvlm.lvlm.token_statistics import token_statistics
from ski_lvlm.recipe import AdapterRecipe, SkiLvlmRecipe, VideoLlmRecipe
from ski_lvlm.video_llm.model import SkiVideoLlm
from ski_lvlm.video_llm.samples import VideoCollator, VideoDataset, VideoSampleSettings, usable_conversations
from ski_lvlm.videos.folder import VideoFolder

# Flags of a run with a language model, by what takes their place.
_OTHERS_FLAGS = {
    "base_llm": "--base_vlm is the base",
    "video_projector": "the base has a way of looking at videos of its own",
    "modalities": "the base always sees the video, and the skeleton where a conversation has one",
    "chat_template": "the base's own is used",
    "skeleton_control": "not built",
    "video_only_distillation": "not built",
    "model_max_length": "the base's context is the limit; lower --video_frames or --video_side",
}


def check_video_flags(recipe: SkiLvlmRecipe, tuning: AdapterRecipe, flags: VideoLlmRecipe) -> None:
    """Refuse flags that do nothing with a video LLM, or without one.

    Raises:
        ValueError: the message names the flag.
    """
    if not flags.base_vlm:
        default = VideoLlmRecipe()
        if idle := [name for name in vars(default) if getattr(flags, name) != getattr(default, name)]:
            raise ValueError(f"--{idle[0]} is for --base_vlm; give that too, or leave it out")
        return
    for name, reason in _OTHERS_FLAGS.items():
        if getattr(recipe, name) != getattr(SkiLvlmRecipe(), name):
            raise ValueError(f"--{name} {getattr(recipe, name)} beside --base_vlm: {reason}; leave it out")
    if tuning.train != "projectors" or tuning.load_in_4bit:
        flag = "--load_in_4bit" if tuning.load_in_4bit else f"--train {tuning.train}"
        raise ValueError(f"{flag} beside --base_vlm: not built; leave it out, and train an adapter with --lora_rank")
    if not (recipe.instructions and recipe.features):
        raise ValueError("--base_vlm: give --instructions FILE and --features DIR with skeleton tokens")
    if not flags.videos:
        raise ValueError(
            "--base_vlm looks at videos; give --videos DIR, the folder that holds them, or NTU's with rgb/"
        )
    if flags.video_frames < 1 or flags.video_side < 0:
        numbers = f"--video_frames {flags.video_frames} --video_side {flags.video_side}"
        raise ValueError(f"{numbers}: expected 1 or more frames, and a side of 0 (full size) or more pixels")


def video_run(
    recipe: SkiLvlmRecipe,
    tuning: AdapterRecipe,
    flags: VideoLlmRecipe,
    features: FeatureFolder,
    conversations: Sequence[Conversation],
    *,
    bf16: bool,
    seed: int,
) -> Run:
    """Build the model and the samples of a run.

    Raises:
        ValueError: as `SkiVideoLlm.build` and `usable_conversations`.
    """
    videos = VideoFolder(flags.videos)
    usable = usable_conversations(conversations, videos, features, skip_missing=recipe.skip_missing)
    clips = [conversation.skeleton for conversation in usable if conversation.skeleton]
    if not clips:
        raise ValueError(f"{recipe.instructions}: no conversation has a <skeleton>; nothing would be trained on them")
    projector = chosen_settings(recipe, ["skeleton"])["skeleton"]
    model = SkiVideoLlm.build(
        base_vlm=flags.base_vlm,
        skeleton_width=features.width("skeleton"),
        projector=projector,
        num_frames=flags.video_frames,
        frame_side=flags.video_side,
        manifest={name: entry for name, entry in features.manifest.items() if name == "skeleton"},
        statistics=token_statistics(features, clips, "skeleton") if recipe.standardise else None,
        tuning=tuning,
        dtype=torch.bfloat16 if bf16 else torch.float32,
    )
    trained = take_weights(model, Path(recipe.init_from), features) if recipe.init_from else []
    if recipe.freeze:
        freeze(model, recipe.freeze.split(","), trained=trained)
    dropout = SkeletonDropout(*dropout_shares(recipe.skeleton_dropout), seed=seed)
    settings = VideoSampleSettings(flags.video_frames, flags.video_side, projector, dropout)
    dataset = VideoDataset(usable, videos, features, model.prompting, settings)
    collator = VideoCollator(features.width("skeleton"))
    return Run(model, dataset, collator, token_counts, _first_text(model, dataset, usable, tuning))


def token_counts(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Count the tokens of a batch, for the log. Operations are not counted, since vision paths differ."""
    tokens = batch["lengths"].sum().double()
    trained = (batch["labels"] != IGNORED).sum().double()
    return {"trained_tokens": trained, "real_tokens": tokens, "padded_tokens": tokens}


def _first_text(
    model: SkiVideoLlm, dataset: VideoDataset, usable: Sequence[Conversation], tuning: AdapterRecipe
) -> str:
    sample: Any = dataset[0]
    text = marked(model.prompting.shown(Encoded(sample.ids, sample.labels)), model.tokenizer)
    with_skeleton = sum(conversation.skeleton is not None for conversation in usable)
    note = f"{with_skeleton} conversations have a skeleton, {len(usable) - with_skeleton} have not"
    if not tuning.lora_rank:
        note += (
            "\nonly the skeleton projector is trained: answers from video alone stay those of the untouched base. Add "
            "--lora_rank to change them"
        )
    return f"{text}\n{note}"
