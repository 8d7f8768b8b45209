"""Train SKI-LVLM: projectors of video and skeleton tokens before a frozen language model.

    deepspeed train_ski_lvlm.py --deepspeed zero2.json --instructions FILE --features DIR --base_llm ID --output_dir DIR
    python train_ski_lvlm.py --gpus 8 …                        # all GPUs of this machine, without --gpus one of them
    deepspeed --hostfile hosts.txt train_ski_lvlm.py …         # several machines
    torchrun --nnodes 2 --nproc_per_node 8 --rdzv_backend c10d --rdzv_endpoint NAME:29500 train_ski_lvlm.py …  # on each

hosts.txt has a line `NAME slots=8` for each machine, which deepspeed reaches by ssh. Data and --output_dir must lie on
storage that all machines mount at the same place. The same command resumes after a crash, also with another number of
GPUs, with or without DeepSpeed: --batch_size stays the batch of all together.

Without --instructions and --features it trains on what the last `bash scripts/quickstart.sh` made.

Paper: Sec. 3.3, Sec. 4 "Implementation Details": 3 epochs, batch 32, learning rate 2e-5.
"""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import torch
from transformers import HfArgumentParser, set_seed
from transformers.integrations import is_deepspeed_zero3_enabled

from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.datasets.instruction_index import indexed_instructions
from ski_lvlm.encoders.vision_tower import CLIP_L14, load_vision_tower
from ski_lvlm.llm.attention import set_attention
from ski_lvlm.llm.conversation import PLACEHOLDER_IDS, Encoded, marked
from ski_lvlm.llm.kernels import Lean, choose_kernels
from ski_lvlm.llm.limits import pad_id
from ski_lvlm.llm.packed_rows import prepare_rows
from ski_lvlm.lvlm.adapter import check_adapter
from ski_lvlm.lvlm.collator import InstructCollator
from ski_lvlm.lvlm.costs.command import asks_estimate, run_estimate
from ski_lvlm.lvlm.costs.flags import EstimateFlags
from ski_lvlm.lvlm.distillation import check_distillation
from ski_lvlm.lvlm.features import FeatureError, FeatureFolder
from ski_lvlm.lvlm.flops import BatchWork
from ski_lvlm.lvlm.model import SkiLvlm
from ski_lvlm.lvlm.projectors.projector import Projector
from ski_lvlm.lvlm.projectors.settings import chosen_settings
from ski_lvlm.lvlm.run import Run
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.lvlm.skeleton_control import check_control, control_settings
from ski_lvlm.lvlm.skeleton_dropout import dropout_shares
from ski_lvlm.lvlm.stages import freeze, run_digest, take_weights
from ski_lvlm.lvlm.token_statistics import cached_statistics
from ski_lvlm.lvlm.trained import parameter_counts
from ski_lvlm.lvlm.trainer import LvlmTrainer
from ski_lvlm.lvlm.usable_samples import drop_unusable
from ski_lvlm.parallel.launch import (
    adapted_flags,
    check_shared_folder,
    join_deepspeed,
    leave_process_group,
    start_processes,
)
from ski_lvlm.published.projectors import load_video_projector
from ski_lvlm.recipe import AdapterRecipe, SkiLvlmRecipe, VideoLlmRecipe, recipe_record
from ski_lvlm.sharing.hub import with_local_models
from ski_lvlm.sharing.model_card import add_missing_card, write_model_card
from ski_lvlm.storage.digests import cache_folder
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.training.checkpoint_damage import damage
from ski_lvlm.training.trainer import (
    GlobalBatchArguments,
    JsonLines,
    is_finished,
    write_run,
)
from ski_lvlm.video_llm.run import check_video_flags, video_run

SCHEDULE = ("batch_size", "num_train_epochs", "learning_rate", "seed", "train_sampling_strategy")
QUICKSTART = Path(__file__).resolve().parent / "runs" / "quickstart"


@dataclass
class LvlmArguments(GlobalBatchArguments):
    """The Trainer's arguments with this paper's values."""

    output_dir: str = field(default="runs/ski_lvlm", metadata={"help": "checkpoints, logs and the trained projectors"})
    num_train_epochs: float = 3  # "3 epochs"
    batch_size: int = field(default=32, metadata={"help": "'batch size 32', over all processes and accumulation steps"})
    learning_rate: float = 2e-5  # "learning rate 2e-5"
    per_device_train_batch_size: int = 4  # 8 GPUs
    lr_scheduler_type: str = "cosine"  # published code, as the next two
    warmup_steps: float = 0.03
    weight_decay: float = 0.0
    save_steps: float = 100
    attn_implementation: str = field(
        default="",
        metadata={
            "help": "attention of the language model: sdpa, eager, flex_attention, or flash_attention_2 where the "
            "package flash-attn is installed. Default: transformers' own choice"
        },
    )
    lean: Lean = field(
        default="auto",
        metadata={
            "help": "norms and gates of the language model keep their inputs alone, which takes a third of the memory "
            "of a step away and changes no bit of the result. auto: where their structure is known and Liger is not "
            "used. on: stop if it is not known. off: keep what the model keeps"
        },
    )
    packing: bool = field(
        default=False,
        metadata={
            "help": "put the samples of a process behind each other into one row, without padding. The loss is the "
            "same. For language models that attend to all earlier tokens"
        },
    )


def with_quickstart(recipe: SkiLvlmRecipe) -> SkiLvlmRecipe:
    """Fill absent --instructions and --features with the last quickstart's files, and say so."""
    if recipe.instructions and recipe.features:
        return recipe
    instructions, features = QUICKSTART / "instructions" / "instructions.json", QUICKSTART / "features"
    if not (instructions.exists() and features.exists()):
        raise ValueError(
            "give --instructions FILE and --features DIR (see data_curation/build.py and scripts/extract_features.py), "
            f"or run `bash scripts/quickstart.sh` first: it makes both in {QUICKSTART}"
        )
    sys.stderr.write(f"using the last quickstart: {instructions}, {features}, --base_llm smollm2\n")
    return dataclasses.replace(recipe, instructions=str(instructions), features=str(features), base_llm="smollm2")


def build_model(
    recipe: SkiLvlmRecipe,
    features: FeatureFolder,
    clips: Sequence[str],
    *,
    bf16: bool,
    tuning: AdapterRecipe | None = None,
    folders: Sequence[Path] = (),
) -> SkiLvlm:
    """Build projectors of the features' widths before the LLM: untrained, of an earlier run, or with a published T_v.

    Weights of the LLM are held in bf16 where it is frozen or ZeRO-3 keeps others in fp32, and in fp32 where they learn.
    `folders` may hold the statistics of the tokens from an earlier start.
    """
    is_frozen = tuning is None or tuning.train != "llm"
    modalities = recipe.modalities.split(",")
    if unknown := set(modalities) - set(PLACEHOLDER_IDS):
        raise ValueError(f"--modalities: {sorted(unknown)} unknown; expected video, skeleton or both")
    statistics = {name: cached_statistics(features, clips, name, folders) for name in modalities if recipe.standardise}
    model = SkiLvlm.build(
        base_llm=recipe.base_llm,
        token_widths={name: features.width(name) for name in modalities},
        projectors=chosen_settings(recipe, modalities),
        chat_template=recipe.chat_template,
        manifest=features.manifest,
        statistics=statistics or None,
        tuning=tuning,
        dtype=torch.bfloat16 if bf16 and (is_frozen or is_deepspeed_zero3_enabled()) else torch.float32,
    )
    check_control(recipe.skeleton_control, modalities)
    model.config.skeleton_control = recipe.skeleton_control
    trained = take_weights(model, Path(recipe.init_from), features) if recipe.init_from else []
    source = video_projector(recipe, modalities)
    if source != "none" and "video" not in trained:
        if recipe.video_projector == "auto":
            check_llava_tower(features)
        load_video_projector(source, cast(Projector, model.projectors["video"]))
        trained.append("video")
    if recipe.freeze:
        freeze(model, recipe.freeze.split(","), trained=trained)
    return model


def video_projector(recipe: SkiLvlmRecipe, modalities: Sequence[str]) -> str:
    """Return the file or checkpoint from which T_v starts, or "none"."""
    if recipe.video_projector == "auto":
        is_llava = recipe.base_llm == SkiLvlmRecipe.base_llm and "video" in modalities
        return recipe.base_llm if is_llava and recipe.projector == "linear" else "none"  # LLaVA's is linear
    if recipe.video_projector != "none" and "video" not in modalities:
        raise ValueError(f"--video_projector {recipe.video_projector}: --modalities has no video; leave it out")
    return recipe.video_projector


def check_llava_tower(features: FeatureFolder) -> None:
    """Refuse features of another tower than the one that LLaVA's projector was trained for."""
    tower = features.manifest.get("video", {}).get("tower", CLIP_L14)
    if tower == CLIP_L14:
        return
    try:
        expected = load_vision_tower(CLIP_L14).digest
    except ValueError as error:
        raise ValueError(
            f"--video_projector auto takes a projector for {CLIP_L14}, but the features were made by {tower!r}, and "
            f"the two could not be compared ({error}); give --video_projector none or {SkiLvlmRecipe.base_llm}"
        ) from error
    try:
        features.check_origin("video", expected)
    except FeatureError as error:
        raise ValueError(f"--video_projector auto takes a projector for {CLIP_L14}; give none, or: {error}") from error


def check_resumable(features: FeatureFolder, args: LvlmArguments) -> None:
    """Refuse features of another tower or encoder than those of the checkpoints in --output_dir."""
    checkpoints = list(Path(str(args.output_dir)).glob("checkpoint-*"))
    if args.resume_from_checkpoint:
        checkpoints.append(Path(args.resume_from_checkpoint))
    for checkpoint in checkpoints:
        if damage(checkpoint) is None:
            manifest = read_json(checkpoint / "config.json")["manifest"]
            features.check_same_origin(manifest, trained=str(checkpoint))


def flag_parser() -> HfArgumentParser:
    """Return the parser of all flags."""
    groups = (SkiLvlmRecipe, AdapterRecipe, VideoLlmRecipe, EstimateFlags, LvlmArguments)
    return HfArgumentParser(groups, description=__doc__)  # type: ignore[arg-type]


def lvlm_run(recipe: SkiLvlmRecipe, tuning: AdapterRecipe, features: FeatureFolder, args: LvlmArguments) -> Run:
    """Build the model and the samples of a run with a language model as the base."""
    folders = (cache_folder() / "index", Path(str(args.output_dir)) / "index")
    conversations = indexed_instructions(Path(recipe.instructions), folders)
    model = build_model(recipe, features, conversations.clips, bf16=args.bf16, tuning=tuning, folders=folders)
    model.video_only_distillation = recipe.video_only_distillation
    first, last = dropout_shares(recipe.skeleton_dropout, strategy=args.train_sampling_strategy)
    settings = SampleSettings(
        modalities=tuple(model.projectors),
        max_length=recipe.model_max_length,
        context=model.prompting.context,
        chat_template=recipe.chat_template,
        skeleton_dropout=first,
        last_skeleton_dropout=last,
        projectors=model.projector_settings,
        seed=args.seed,
        is_distilled=recipe.video_only_distillation > 0,
        **control_settings(recipe.skeleton_control, features, conversations, seed=args.seed, folders=folders),
    )
    dataset = InstructDataset(conversations, features, model.tokenizer, settings)
    dataset = drop_unusable(dataset, skip_missing=recipe.skip_missing, folders=folders)
    collator = InstructCollator(pad_id(model.tokenizer), model.config.token_widths, packing=args.packing)
    work = BatchWork(model.llm, model.projectors, is_recomputed=bool(args.activation_checkpointing))
    sample = dataset[0]
    return Run(model, dataset, collator, work, marked(Encoded(sample.ids, sample.labels), model.tokenizer))


def main(flags: list[str]) -> None:
    """Read top to bottom: data, model, trainer, train, save."""
    parsed, tuning, base, _, args = flag_parser().parse_args_into_dataclasses(flags)
    check_adapter(tuning, is_partitioned=is_deepspeed_zero3_enabled())
    is_reentrant = bool((args.activation_checkpointing_kwargs or {}).get("use_reentrant"))
    check_distillation(parsed, tuning, is_partitioned=is_deepspeed_zero3_enabled(), is_reentrant=is_reentrant)
    check_video_flags(parsed, tuning, base)
    if args.packing and base.base_vlm:
        raise ValueError("--packing True beside --base_vlm: its samples are never padded; leave --packing out")
    recipe = with_quickstart(parsed)
    output_dir = Path(args.output_dir)
    check_shared_folder(output_dir)
    schedule = {name: getattr(args, name) for name in SCHEDULE}
    local = with_local_models(recipe)
    origin = {"init_digest": run_digest(Path(local.init_from)) if local.init_from else None}
    settings = recipe_record(recipe) | asdict(tuning) | asdict(base) | schedule | origin
    defaults = recipe_record(SkiLvlmRecipe()) | asdict(AdapterRecipe()) | asdict(VideoLlmRecipe())
    defaults["train_sampling_strategy"] = "random"
    if is_finished(output_dir, settings=settings, defaults=defaults):
        print(f"{output_dir} is finished (result.json); delete it to train again")
        add_missing_card(output_dir)
        return
    set_seed(args.seed)
    if args.deepspeed:
        join_deepspeed()

    features = FeatureFolder(Path(recipe.features))
    check_resumable(features, args)
    if base.base_vlm:
        conversations = read_instructions(Path(recipe.instructions))
        run = video_run(local, tuning, base, features, conversations, bf16=args.bf16, seed=args.seed)
    else:
        run = lvlm_run(local, tuning, features, args)
    set_attention(run.model.llm, args.attn_implementation)
    kernels = {"lean": args.lean, "is_liger": args.use_liger_kernel, "liger_settings": args.liger_kernel_config}
    choose_kernels(run.model.llm, **kernels)
    args.use_liger_kernel = False  # the Trainer would apply it to the whole model, in which Liger finds nothing
    if args.should_save:
        number = len(run.dataset)
        print(f"{number} conversations; the first, trained tokens between ⟦ and ⟧:\n{run.first}", flush=True)
        if run.model.config.skeleton_control != "none":
            print(f"a control, no system: --skeleton_control {run.model.config.skeleton_control}", flush=True)
        print("trains {:,} of {:,} parameters".format(*parameter_counts(run.model)), flush=True)
        write_run(output_dir, recipe=settings, seed=args.seed)
        with atomic_path(output_dir / "sample.txt") as temporary:
            temporary.write_text(run.first + "\n", encoding="utf-8")

    if args.packing:
        prepare_rows(run.model.llm, longest=recipe.model_max_length, is_partitioned=is_deepspeed_zero3_enabled())
    trainer = LvlmTrainer(
        model=run.model,
        llm_learning_rate=tuning.adapter_learning_rate,
        args=args,
        train_dataset=run.dataset,
        data_collator=run.collator,
        callbacks=[JsonLines(output_dir / "metrics.jsonl")],
        work=run.work,
    )
    result = trainer.train_or_resume()
    trainer.save_model()
    if args.should_save:
        write_json(output_dir / "result.json", {**result.metrics, "conversations": len(run.dataset)})
        write_model_card(output_dir)
        print(f"trained weights in {output_dir}", flush=True)
    leave_process_group()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for noisy in ("httpx", "deepspeed", "DeepSpeed"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        if asks_estimate(sys.argv[1:]):
            run_estimate(flag_parser(), sys.argv[1:])
            sys.exit()
        flags = adapted_flags(sys.argv[1:])
        start_processes(__file__, flags)
        main(flags)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
