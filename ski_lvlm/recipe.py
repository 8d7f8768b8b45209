"""Every hyper-parameter, with the paper's value as default and the paper's words beside it.

A recipe defines what is trained, the Hugging Face TrainingArguments beside it define how and where. A variant is
`dataclasses.replace(SkiLvlmRecipe(), modalities="video")`.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

# How similarities enter the losses of stages 2 and 4. The printed equations and the printed alphas do not go together.
# Eq. (1) divides cosines by tau, but the authors chose 0.01 and 10 in code without tau, where skeleton features keep
# their length. There alpha * L_D has 8e-3 and 8 times the gradient of the video's cross-entropy. Under Eq. (1) as
# printed it has 3e-6 and 2e-3 times (benchmarks/scd_gradients.py).
Scale = Literal["published", "cosine"]
Framing = Literal["whole", "centre"]  # how a frame becomes square
FRAMINGS: tuple[Framing, ...] = get_args(Framing)


def _setting(default: Any, text: str, **metadata: Any) -> Any:  # noqa: ANN401
    return field(default=default, metadata={"help": text, **metadata})


_SPLIT_HELP = (
    "zero-shot split: one of the data set's, a file of unseen classes, a list of them with commas, or all (every class "
    "is seen). Default: all with --data, else ntu60/48-12 ('seen classes of NTU60 (55, 48) and NTU120 (110, 96)')"
)
_SAME_CLASSES_HELP = (
    "for several data sets: JSON {class: the same class in another data set}. Equal names are one class"
)
_PROTOCOL_HELP = "which clips train and which test: one of the data set's protocols. Default: its first, xsub for NTU"


def _data_sets() -> Any:  # noqa: ANN401
    text = (
        "data sets: ntu60, ntu120, synthetic, synthetic48, or folders with dataset.json (docs/data.md). "
        "Several are joined. Default: the one that --split begins with"
    )
    return field(default_factory=list, metadata={"help": text, "action": "extend"})


@dataclass(frozen=True)
class SkiLvlmRecipe:
    """SKI-LVLM: projectors of video and skeleton tokens before a frozen LLM (Sec. 3.3, Table 3)."""

    instructions: str = _setting("", "instruction file: LLaVA / Video-ChatGPT list of conversations")
    features: str = _setting(
        "", "features folder of scripts/extract_features.py, or with video/ and skeleton/ of your own"
    )
    base_llm: str = _setting(
        "mmaaz60/LLaVA-7B-Lightening-v1-1",
        "frozen LLM: hub id, folder, .gguf file, or smollm2. The authors start from the default, Vicuna-7B v1.1 with "
        "LLaVA's projector",
    )
    video_projector: str = _setting(
        "auto",
        "initialise T_v from a file or checkpoint. auto: a linear one from the default --base_llm, else untrained. "
        "Or none",
    )
    modalities: str = _setting(
        "video,skeleton",
        "Table 3's rows: 'video' is NTU-VCGPT. 'video,skeleton' is SK-VCGPT with the skeleton features of a "
        "Hyperformer, SKI-LVLM with those of a SkeletonCLIP",
    )
    projector: str = _setting(
        "linear",
        "network from tokens to the language model's width. linear: one layer, as in the paper. mlp: two layers with a "
        "GELU, as in LLaVA-1.5. resampler: learned queries that attend to the tokens. temporal: a convolution over "
        "time, for skeleton tokens alone",
    )
    skeleton_projector: str = _setting("", "another kind for the skeleton tokens. Default: as --projector")
    projector_queries: int = _setting(64, "resampler: embeddings of a clip, however many tokens it has")
    projector_heads: int = _setting(8, "resampler: heads of the attention, which must divide the tokens' width")
    projector_kernel: int = _setting(9, "temporal: tokens that become one embedding, an odd number")
    projector_stride: int = _setting(4, "temporal: tokens from one embedding to the next, so 256 tokens become 64")
    standardise: bool = _setting(False, "shift and scale the tokens' channels before the projector (not in the paper)")
    chat_template: str = _setting("auto", "auto: the LLM's own, else Vicuna v1.1. Or vicuna")
    model_max_length: int = _setting(2048, "longest sample in tokens, projected ones included (published code)")
    skeleton_dropout: list[float] = field(
        default_factory=lambda: [0.0],
        metadata={
            "help": "share of samples without their skeleton tokens. Two numbers: the share of the first step and that "
            "of the last, between which it moves linearly. In the paper every training sample has them"
        },
    )
    skeleton_control: Literal["none", "shuffled", "noise"] = _setting(
        "none",
        "a control, which shows what skeletons add and is no system of its own. shuffled: each clip has the skeleton "
        "tokens of another clip. noise: Gaussian tokens with mean and deviation of the real ones",
    )
    video_only_distillation: float = _setting(
        0.0,
        "weight of a self-distillation: the language model's answers with video and skeleton teach those with the "
        "video alone, by one more forward of the samples that have a skeleton. 0: none, as in the paper",
    )
    skip_missing: bool = _setting(False, "skip conversations whose clips have no features, and count them")
    init_from: str = _setting(
        "", "begin with the projectors, the adapter or the language model of this finished run: its --output_dir"
    )
    freeze: str = _setting("", "modalities whose projectors are not trained, as video. They come from --init_from")


def recipe_record(recipe: SkiLvlmRecipe) -> dict[str, Any]:
    """Return the settings as recipe.json has them, where a single share of dropout is a number.

    >>> recipe_record(SkiLvlmRecipe(skeleton_dropout=[0.5]))["skeleton_dropout"]
    0.5
    """
    shares = recipe.skeleton_dropout
    return asdict(recipe) | {"skeleton_dropout": shares[0] if len(shares) == 1 else shares}


@dataclass(frozen=True)
class AdapterRecipe:
    """Training of the language model itself, which the paper leaves frozen: an adapter, or all of its weights."""

    lora_rank: int = _setting(
        0, "train LoRA adapters of this rank in the language model, beside the projectors. 0: none, as in the paper"
    )
    lora_alpha: float | None = _setting(None, "scale of the adapters is alpha / rank. Default: twice the rank")
    lora_dropout: float = _setting(
        0.0, "dropout before the adapters. Any above 0 keeps a copy of each input, which doubles the memory of a step"
    )
    lora_target: str = _setting(
        "all-linear", "layers with adapters: names with commas, as q_proj,v_proj. all-linear: all but the output layer"
    )
    dora: bool = _setting(False, "DoRA: adapters that also learn the length of each column of the weights")
    load_in_4bit: bool = _setting(
        False, "hold the frozen language model in 4 bits (NF4 of bitsandbytes). With --lora_rank it is QLoRA"
    )
    adapter_learning_rate: float | None = _setting(
        None, "learning rate of the adapters, or of the language model with --train llm. Default: --learning_rate"
    )
    train: str = _setting(
        "projectors",
        "projectors: as in the paper, with adapters if --lora_rank asks for them. llm: the whole language model too. A "
        "checkpoint then holds all its weights and two values of the optimiser for each, in fp32",
        choices=["projectors", "llm"],
    )


@dataclass(frozen=True)
class VideoLlmRecipe:
    """A frozen video LLM of transformers as the base, which looks at videos itself (not in the paper)."""

    base_vlm: str = _setting(
        "",
        "frozen video LLM in place of --base_llm: hub id or folder of a Qwen2.5-VL, LLaVA-OneVision, SmolVLM or other. "
        "It looks at --videos itself, and a skeleton projector is trained, with --lora_rank an adapter too",
    )
    videos: str = _setting("", "with --base_vlm: folder of the videos, searched by clip name, or NTU's with rgb/ in it")
    video_frames: int = _setting(16, "with --base_vlm: frames of a video, evenly spaced")
    video_side: int = _setting(
        448, "with --base_vlm: longest side of the frames in pixels, before its own processor. 0: full size"
    )


@dataclass(frozen=True)
class SkeletonDataRecipe:
    """The skeletons of both stages of SkeletonCLIP."""

    prepared: str = _setting("", "packed skeletons: the output of scripts/prepare_ntu.py")
    ntu: str = _setting("", "folder with rgb/ and skeletons/. The skeleton stages need only --prepared")
    data: list[str] = _data_sets()
    same_classes: str = _setting("", _SAME_CLASSES_HELP)
    split: str = _setting("", _SPLIT_HELP)
    protocol: str = _setting("", _PROTOCOL_HELP)
    num_frames: int = _setting(64, "T_s, frames that a clip is resized to (published Hyperformer)")


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
# Every encoder has a schedule here. Its names are the choices of --encoder.
# Assumption: Shift-GCN's, from its authors' code, whose last epoch is 140. Of their clips of 300 frames STAR makes 64.
SKELETON_PRETRAIN_SCHEDULES: dict[str, dict[str, Any]] = {
    "hyperformer": SKELETON_PRETRAIN_SCHEDULE,
    "shift_gcn": {
        **SKELETON_PRETRAIN_SCHEDULE,
        "learning_rate": 0.1,
        "weight_decay": 1e-4,  # ten times of it for the linear layers between the two shifts of joints
        "warmup_steps": 0,
        "seed": 1,
        "decay_at": [60 / 140, 80 / 140, 100 / 140],
    },
    # From SMIE's code, where the number of epochs was chosen by the seen test clips. Assumption: no weight decay.
    "st_gcn": {
        **SKELETON_PRETRAIN_SCHEDULE,
        "widths": [16, 16, 16, 16, 32, 32, 32, 64, 64, 256],
        "num_frames": 50,
        "num_train_epochs": 150,
        "learning_rate": 5e-3,
        "weight_decay": 0.0,
        "optim": "adamw_torch",  # Adam, where weights do not decay
        "optim_args": None,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0,
        "batch_size": 128,
        "per_device_train_batch_size": 128,
        "seed": 5277,
    },
}


@dataclass(frozen=True)
class SkeletonPretrainRecipe(SkeletonDataRecipe):
    """Stage 1: 'the skeleton encoder g_s is pretrained for the task of skeleton action recognition' (Sec. 3.1)."""

    centring: Literal["spine", "none"] = _setting(
        "spine", "spine: joints relative to the spine's, in every frame. Or none"
    )
    streams: str = _setting("joint", "channels of a joint: joint, bone, velocity, or several with commas")
    absent: Literal["mask", "zeros"] = _setting(
        "mask", "mask: absent persons are skipped. zeros: they stand at the origin (published)"
    )
    encoder: str = _setting(
        "hyperformer",
        "hyperformer, the paper's g_s. shift_gcn, the encoder of SynSE and STAR. st_gcn, the encoder of SMIE's own "
        "track",
        choices=tuple(SKELETON_PRETRAIN_SCHEDULES),
    )
    num_heads: int = _setting(9, "heads of Hyperformer. 'F_s = 216' is num_heads * head_dim")
    head_dim: int = _setting(24, "width of a head of Hyperformer")
    depth: int = _setting(10, "number of blocks of Hyperformer")
    widths: list[int] = field(
        default_factory=lambda: [64, 64, 64, 64, 128, 128, 128, 256, 256, 256],
        metadata={"help": "channels of each block of Shift-GCN or ST-GCN. The last is its F_s"},
    )
    strided: list[int] = field(
        default_factory=lambda: [5, 8],
        metadata={"help": "blocks, counted from 1, that halve the time steps. Two of them give T_s / 4 tokens"},
    )
    decay_at: list[float] = field(
        default_factory=lambda: [110 / 140, 120 / 140],
        metadata={
            "help": "shares of the training after which the rate falls to a tenth (published Hyperformer: epochs 110 "
            "and 120 of 140, Shift-GCN: 60, 80 and 100 of 140). Used with --lr_scheduler_type "
            "constant_with_warmup, the default"
        },
    )


@dataclass(frozen=True)
class SkeletonAlignRecipe(SkeletonDataRecipe):
    """Stage 2, SkeletonCLIP: 'trained jointly while keeping the text encoder frozen' by Eq. (1) (Sec. 3.1)."""

    skeleton_encoder: str = _setting(
        "", "a skeleton_pretrain run, or released Hyperformer weights that scripts/convert_clip.py converted"
    )
    text_encoder: str = _setting(
        "openai/clip-vit-base-patch16",
        "'a CLIP Text encoder' (hub id or folder, of the published code's size), or any sentence encoder: minilm",
    )
    text: Literal["frozen", "trainable"] = _setting(
        "frozen", "'keeping the text encoder frozen'. trainable: Table 6's other row"
    )
    prompt: str = _setting("a photo of a {name}.", "'action class text prompt' (the words are the published code's)")
    scale: Scale = _setting(
        "published",
        "published: skeleton features keep their length and the cross-entropy has no tau. cosine: Eq. (1) as printed. "
        "--stage distill needs the same",
    )


# What the Trainer's own flags default to in stage 2.
# Paper: epochs, rate and cosine. Assumption: the rest, from the published code, which also smooths labels by 0.1 and
# ends at a hundredth of the rate; here labels are not smoothed and the rate ends at zero.
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


# What the stage's own flags default to, by method (published, where they are not 0).
# Every method has a schedule here. Its names are the choices of --method.
SKELETON_TEXT_SCHEDULES: dict[str, dict[str, Any]] = {
    "synse": {"rounds": 10, "round_length": 1900, "batch_size": 64, "learning_rate": 1e-4, "seed": 5},
    "msf": {"rounds": 10, "round_length": 1900, "batch_size": 64, "learning_rate": 1e-4, "seed": 5},
    "smie": {"rounds": 100, "round_length": 0, "batch_size": 128, "learning_rate": 1e-5, "seed": 0},
    "star": {"rounds": 40, "round_length": 0, "batch_size": 64, "learning_rate": 0.01, "seed": 1},
    "ridge": {"rounds": 0, "round_length": 0, "batch_size": 1, "learning_rate": 0.5, "seed": 0},
}

# What a method's published code does otherwise than is right: names for --published, by method.
SKELETON_TEXT_DEVIATIONS: dict[str, dict[str, str]] = {
    "synse": (_RELU := {"relu": "a ReLU ends the decoders of texts and the classifier"}),
    "msf": _RELU,
    "smie": {
        "rolled_negatives": "negatives are the next skeletons of a batch, also of the same class",
        "raw_test": "features are normalised in training alone",
    },
    "star": {
        "scrambled_map": "persons are averaged over neighbours in memory, which are joints and time steps of one",
        "no_temperature": "cosines are not divided by a temperature",
        "transductive": "names and part sentences of unseen classes take part in the training",
    },
    "ridge": {},
}


@dataclass(frozen=True)
class SkeletonTextRecipe:
    """A skeleton-text method on a skeleton encoder's features (Table 2)."""

    method: str = _setting(
        "synse",
        "synse: autoencoders of verbs and nouns. msf: the same on sentences. smie: mutual information of pairs. star: "
        "body parts and sentences about them. ridge: a linear map in closed form, the floor",
        choices=tuple(SKELETON_TEXT_SCHEDULES),
    )
    published: str = _setting(
        "",
        "what to do as in the method's published code instead of correctly, with commas, or all. "
        + " ".join(f"{name}: {', '.join(ways)}." for name, ways in SKELETON_TEXT_DEVIATIONS.items() if ways),
    )
    skeleton_encoder: str = _setting("", "a skeleton_pretrain run")
    encoder_rate: float = _setting(
        0.0,
        "learning-rate multiplier of the skeleton encoder, which then learns too. 0: it stays frozen, as in all "
        "published methods",
    )
    text_encoder: str = _setting("minilm", "of class texts: any sentence encoder or CLIP (hub id or folder)")
    class_texts: str = _setting(
        "",
        "which texts a class is known by: name, definition, or all (name, definition and motion). synse: words (verb "
        "and noun). Default: the method's own",
    )
    prepared: str = _setting("", "packed skeletons: the output of scripts/prepare_ntu.py")
    data: list[str] = _data_sets()
    same_classes: str = _setting("", _SAME_CLASSES_HELP)
    split: str = _setting("", _SPLIT_HELP)
    protocol: str = _setting("", _PROTOCOL_HELP)
    track: Literal["synse", "own"] = _setting(
        "synse",
        "of smie. synse: whole clips, as in Table 2. own: also clips without their liveliest frames, from which a text "
        "must be harder to tell by a margin. Published for --encoder st_gcn",
    )
    num_shortened: int = _setting(
        4, "versions of each training clip for --track own. The published code shortens anew in every step"
    )
    latent: int = _setting(
        0,
        "latent dimensions of synse and msf. 0: 100, 200 for NTU120, 20 for features narrower than 100. Or queries of "
        "star for each part. 0: 100, 32 for narrow features",
    )
    rounds: int = _setting(10, "rounds of training at most: cycles of synse and msf, epochs of the others")
    round_length: int = _setting(
        1900, "steps of a round, each a random batch. 0: an epoch. Published for synse: 1700 for ntu60/55-5"
    )
    batch_size: int = _setting(64, "clips a step")
    learning_rate: float = _setting(1e-4, "highest learning rate")
    select: Literal["held_out", "last", "unseen_test"] = _setting(
        "held_out",
        "how the number of rounds is chosen. held_out: by seen classes that a rehearsal does not train on. last: all "
        "--rounds. unseen_test: by the unseen test clips as the published code does, which is optimistic",
    )
    held_out: str = _setting("", "seen classes for --select held_out, with commas. Empty: SynSE's own for NTU's splits")


@dataclass(frozen=True)
class StudentRecipe:
    """The videos of both stages of a student, and their views."""

    ntu: str = _setting("", "folder with rgb/ (and skeletons/, which no student needs), or the videos themselves")
    data: list[str] = _data_sets()
    same_classes: str = _setting("", _SAME_CLASSES_HELP)
    split: str = _setting("", _SPLIT_HELP)
    protocol: str = _setting("", _PROTOCOL_HELP)
    frames_cache: str = _setting(
        "", "output of scripts/cache_frames.py: decoded, resized frames. Empty: videos are decoded"
    )
    framing: Framing = _setting("centre", "centre: the central square, as CLIP. whole: squeezed")
    augment: bool = _setting(True, "random window, crop, flip (with the skeleton's), colours, greys (published code)")


# What the Trainer's own flags default to in stage 3.
# Assumption: all of it; the paper gives no figure. From each student's own training on Kinetics (ViFi-CLIP's for
# zero-shot tests, there with 32 frames). Theirs end at a hundredth of the rate, these at zero.
VIDEO_FINETUNE_SCHEDULE: dict[str, Any] = {
    "num_train_epochs": 10,
    "learning_rate": 8e-6,
    "weight_decay": 1e-3,
    "optim": "adamw_torch",
    "adam_beta1": 0.9,
    "adam_beta2": 0.98,
    "adam_epsilon": 1e-8,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 5 / 10,  # 5 epochs
    "max_grad_norm": 0.0,
    "batch_size": 256,
    "per_device_train_batch_size": 4,
    "seed": 1024,
}
# Every student has a schedule here. Its names are the choices of --student.
VIDEO_FINETUNE_SCHEDULES: dict[str, dict[str, Any]] = {
    "vificlip": VIDEO_FINETUNE_SCHEDULE,
    "xclip": {**VIDEO_FINETUNE_SCHEDULE, "num_train_epochs": 30, "warmup_steps": 5 / 30},
    "froster": {
        **VIDEO_FINETUNE_SCHEDULE,
        "num_train_epochs": 22,
        "warmup_steps": 2 / 22,
        "learning_rate": 3.33e-6,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "batch_size": 64,
    },
}


@dataclass(frozen=True)
class VideoFinetuneRecipe(StudentRecipe):
    """Stage 3, a VideoCLIP: a student 'pretrained on the training distribution' by L_CE(z^v, z^tv) (Sec. 3.2)."""

    student: str = _setting(
        "vificlip",
        "model that recognises actions in videos: vificlip averages frames, xclip lets frames exchange messages, "
        "froster stays near the original CLIP",
        choices=tuple(VIDEO_FINETUNE_SCHEDULES),
    )
    backbone: str = _setting(
        "openai/clip-vit-base-patch16",
        "CLIP, SigLIP or, for xclip, X-CLIP (hub id or folder, published code: this size). Or efficientnet-lite0",
    )
    text_encoder: str = _setting("", "for efficientnet-lite0, which has none: minilm. Empty: the backbone's own")
    num_frames: int = _setting(16, "T_v (published code)")
    side: int = _setting(0, "of the frames in pixels. 0: the backbone's own, 224 for CLIP")
    freeze: Literal["auto", "none", "text", "video"] = _setting(
        "auto", "auto: as the student's authors, who freeze X-CLIP's text encoder and nothing else"
    )
    untrained_rate: float = _setting(
        10.0, "learning-rate multiplier for layers without pretrained weights (published X-CLIP)"
    )
    prompt: str = _setting("a photo of a {name}.", "'a predefined template' (the words are the published code's)")
    names: str = _setting("canonical", "spelling of the class names: canonical, ntu, ski, synse, star")


@dataclass(frozen=True)
class DistillRecipe(StudentRecipe):
    """Stage 4, SCD: a student and SkeletonCLIP trained together by Eq. (3) (Sec. 3.2), and what the paper varies."""

    prepared: str = _setting("", "packed skeletons: the output of scripts/prepare_ntu.py")
    video_student: str = _setting("", "a video_finetune run")
    skeleton_clip: list[str] = field(
        default_factory=list,
        metadata={
            "help": "the teacher: a skeleton_align run, or a skeleton_pretrain run, whose projection into language "
            "then starts untrained. With --teacher offline also a skeleton_text run, or several runs together",
            "action": "extend",
        },
    )
    alpha: float | None = _setting(None, "'alpha to 0.01 for NTU60 and 10.0 for NTU120', the default. 0 is allowed")
    scale: Scale = _setting(
        "published",
        "of F_LV and F_LS. published: no tau, skeleton features keep their length, as when the authors chose alpha. "
        "cosine: Eq. (1) and (3) as printed, where the paper's alphas do next to nothing",
    )
    distance: Literal["mse", "kl", "contrastive"] = _setting("mse", "'distillation loss (mean squared error)', Table 5")
    teacher: Literal["online", "offline"] = _setting(
        "online",
        "'both ... trainable'. offline: the teacher is frozen (Table 4), as every one but SkeletonCLIP has to be",
    )
    level: Literal["logit", "feature", "feature_projected"] = _setting(
        "logit", "'language-contextualized features', or the features z, without or with a projection (Table 4)"
    )
    teacher_text: Literal["frozen", "trainable"] = _setting("frozen", "SkeletonCLIP's text encoder (Table 6)")
    teacher_text_encoder: str = _setting("", "for a --skeleton_clip that was never aligned. Empty: the student's")
    untrained_rate: float = _setting(
        1.0, "learning-rate multiplier for layers that no stage has trained, such as projections"
    )
    alignment: Literal["scd", "tri_modal", "cross_projection", "fusion"] = _setting("scd", "Table 1's ways of aligning")
    batch_norm: Literal["frozen", "trained"] = _setting(
        "frozen",
        "statistics of the skeleton encoder's batch norms. frozen: as they were pretrained, which small batches and "
        "several processes cannot spoil. trained: for an encoder never pretrained, synchronised between processes",
    )


# What the Trainer's own flags default to in stage 4.
# Paper: epochs, rate and cosine. Assumption: the rest, from the published code, which also smooths labels by 0.1 and
# ends at a hundredth of the rate; here labels are not smoothed and the rate ends at zero.
DISTILL_SCHEDULE: dict[str, Any] = {
    **SKELETON_ALIGN_SCHEDULE,
    "num_train_epochs": 2,  # "SCD requires 2 epochs"
    "warmup_steps": 0,
    "per_device_train_batch_size": 4,
}


def paper_alpha(split: str) -> float:
    """Return the weight of the distillation: 0.01 for NTU60's splits, 10 for NTU120's.

    Paper: Sec. 4 "Implementation Details", Fig. 5. Assumption: 10 also for the synthetic set.

    >>> paper_alpha("ntu60/48-12"), paper_alpha("ntu120/110-10")
    (0.01, 10.0)
    """
    return 0.01 if split.startswith("ntu60") else 10.0
