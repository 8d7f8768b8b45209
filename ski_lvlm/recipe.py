"""Every hyper-parameter, with the paper's value as default and the paper's words beside it.

A recipe says what is trained; the Hugging Face TrainingArguments beside it say how and where. A variant is
`dataclasses.replace(SkiLvlmRecipe(), modalities="video")`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


def _setting(default: Any, text: str) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class SkiLvlmRecipe:
    """SKI-LVLM: projectors of video and skeleton tokens before a frozen LLM (Sec. 3.3, Table 3)."""

    instructions: str = _setting("", "instruction file: LLaVA / Video-ChatGPT list of conversations")
    features: str = _setting(
        "", "features folder of scripts/extract_features.py, or with video/ and skeleton/ of your own"
    )
    base_llm: str = _setting(
        "mmaaz60/LLaVA-7B-Lightening-v1-1",
        "frozen LLM: hub id, folder, .gguf file, or smollm2; the default, Vicuna-7B v1.1 with LLaVA's "
        "projector, is where the authors start",
    )
    video_projector: str = _setting(
        "auto", "initialise T_v from a file or checkpoint; auto: from the default --base_llm, else untrained; none"
    )
    modalities: str = _setting(
        "video,skeleton",
        "Table 3's rows: 'video' is NTU-VCGPT; 'video,skeleton' is SK-VCGPT or SKI-LVLM, as the skeleton features were "
        "extracted by a Hyperformer or a SkeletonCLIP",
    )
    projector: str = _setting("linear", "linear: 'projection layers' (Sec. 3.3); or mlp")
    standardise: bool = _setting(False, "shift and scale the tokens' channels before the projector; not the paper's")
    chat_template: str = _setting("auto", "auto: the LLM's own, else Vicuna v1.1; or vicuna")
    model_max_length: int = _setting(2048, "longest sample in tokens, projected ones included (published code)")
    skeleton_dropout: float = _setting(
        0.0, "share of samples whose skeleton tokens are left out; the paper always has them in training"
    )
    skip_missing: bool = _setting(False, "leave out conversations whose clips have no features, and count them")


@dataclass(frozen=True)
class SkeletonDataRecipe:
    """Which skeletons the stages of SkeletonCLIP see."""

    prepared: str = _setting("", "packed skeletons: the output of scripts/prepare_ntu.py")
    ntu: str = _setting("", "folder with rgb/ and skeletons/; the skeleton stages need only --prepared")
    split: str = _setting("ntu60/48-12", "'seen classes of NTU60 (55, 48) and NTU120 (110, 96)'; or synthetic")
    protocol: Literal["xsub", "xview", "xset"] = _setting(
        "xsub", "which clips train and which test; xview is NTU60's, xset NTU120's, and synthetic has its own"
    )
    num_frames: int = _setting(64, "T_s, frames that a clip is resized to (published Hyperformer)")


@dataclass(frozen=True)
class SkeletonPretrainRecipe(SkeletonDataRecipe):
    """Stage 1: 'the skeleton encoder g_s is pretrained for the task of skeleton action recognition' (Sec. 3.1)."""

    centring: Literal["spine", "none"] = _setting(
        "spine", "spine: joints relative to the spine's, in every frame; or none"
    )
    streams: str = _setting("joint", "channels of a joint: joint, bone, velocity, or several with commas")
    absent: Literal["mask", "zeros"] = _setting(
        "mask", "mask: a person who is not there is left out; zeros: stands at the origin (published)"
    )
    num_heads: int = _setting(9, "heads of Hyperformer; 'F_s = 216' is num_heads * head_dim")
    head_dim: int = _setting(24, "width of a head")
    depth: int = _setting(10, "number of blocks")
    strided: list[int] = field(
        default_factory=lambda: [5, 8],
        metadata={"help": "blocks, counted from 1, that halve the time steps; two of them give T_s / 4 tokens"},
    )
    decay_at: list[float] = field(
        default_factory=lambda: [110 / 140, 120 / 140],
        metadata={
            "help": "shares of the training after which the rate falls to a tenth (published Hyperformer: epochs 110 "
            "and 120 of 140); used with --lr_scheduler_type constant_with_warmup, the default"
        },
    )


# What the Trainer's own flags default to in stage 1.
# Paper: the epochs. Assumption: the rest, from the published Hyperformer.
SKELETON_PRETRAIN_SCHEDULE: dict[str, Any] = {
    "num_train_epochs": 140,  # "The skeleton encoder is pretrained for 140 epochs"
    "learning_rate": 0.025,
    "weight_decay": 4e-4,
    "optim": "sgd",
    "optim_args": "momentum=0.9,nesterov=true",
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 5 / 140,  # 5 epochs
    "max_grad_norm": 0.0,
    "batch_size": 64,
    "per_device_train_batch_size": 64,
    "seed": 2,
}


@dataclass(frozen=True)
class SkeletonAlignRecipe(SkeletonDataRecipe):
    """Stage 2, SkeletonCLIP: 'trained jointly while keeping the text encoder frozen' by Eq. (1) (Sec. 3.1)."""

    skeleton_encoder: str = _setting("", "output folder of --stage skeleton_pretrain")
    text_encoder: str = _setting(
        "openai/clip-vit-base-patch16",
        "'a CLIP Text encoder' (hub id or folder; the size is the published code's), or any sentence encoder: minilm",
    )
    prompt: str = _setting("a photo of a {name}.", "'action class text prompt' (the words are the published code's)")


# What the Trainer's own flags default to in stage 2.
# Paper: epochs, rate and cosine. Assumption: the rest, from the published code.
SKELETON_ALIGN_SCHEDULE: dict[str, Any] = {
    "num_train_epochs": 100,  # "followed by alignment with a CLIP Text encoder for 100 epochs"
    "learning_rate": 2.25e-5,  # "We use a learning rate of 2.25x10^-5 with cosine decay"
    "weight_decay": 1e-3,
    "optim": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.98,
    "adam_epsilon": 1e-8,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5 / 100,  # 5 epochs
    "max_grad_norm": 0.0,
    "batch_size": 512,
    "per_device_train_batch_size": 64,
    "seed": 1024,
}
