"""The stage of skeleton-text systems, which match a frozen encoder's features with class names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import (
    SkeletonEncoderCard,
    load_skeleton_encoder,
    read_card,
    save_model,
)
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.text_encoder import TextEncoder, load_text_encoder
from ski_lvlm.recipe import SkeletonTextRecipe
from ski_lvlm.recognition.accuracy import top_k_accuracy
from ski_lvlm.recognition.recogniser import folder_digest
from ski_lvlm.skeleton_text.features import FeatureTable, feature_table
from ski_lvlm.skeleton_text.folder import SkeletonTextCard, build_synse, copy_encoder
from ski_lvlm.skeleton_text.held_out import held_out_classes
from ski_lvlm.skeleton_text.recogniser import WordVectors
from ski_lvlm.skeleton_text.synse import SynSE
from ski_lvlm.skeleton_text.synse_classifier import fit_scorer
from ski_lvlm.skeleton_text.synse_loss import SHORT_CYCLE
from ski_lvlm.skeleton_text.training import Progress, SynSESchedule, WordTable, train_synse
from ski_lvlm.skeleton_text.words import words_by_name, words_of
from ski_lvlm.vlm.skeleton_accuracy import Accuracy
from ski_lvlm.vlm.stage_clips import check_pretraining, selection_of, skeleton_clips

_PARTS: tuple[Part, ...] = ("seen_train", "seen_test", "unseen_test", "unseen_all")
OPTIMISTIC = "chosen on the unseen test clips, as the published code does: optimistic"


class _Inputs(NamedTuple):
    tables: dict[Part, FeatureTable]
    words: dict[str, WordTable]  # of the seen and the unseen classes
    card: SkeletonTextCard
    schedule: SynSESchedule
    text_width: int

    def model(self) -> SynSE:
        """Return the networks as the training starts from them."""
        torch.manual_seed(self.schedule.seed)
        return build_synse(self.card, text_width=self.text_width)

    def scores(self, model: SynSE, words: WordTable, features: Tensor) -> Tensor:
        """Return the scores of features for classes by their words."""
        scorer = fit_scorer(model, *words, has_relu=self.card.has_relu, seed=self.card.seed)
        with torch.no_grad():
            return scorer(model.skeleton_encoder(features).mean)

    def accuracy(self, model: SynSE, words: WordTable, table: FeatureTable) -> float:
        """Return the share of clips that are recognised among the classes."""
        return top_k_accuracy(self.scores(model, words, table.features), table.labels)


def skeleton_text(recipe: SkeletonTextRecipe, *, output_dir: Path, seed: int, device: torch.device) -> dict[str, Any]:
    """Train a system, write its folder, and return its result.

    The encoder runs on `device`. Training runs on the CPU, where a step takes a millisecond or two.

    Raises:
        ValueError: a folder or a flag is not as expected. The message says which.
    """
    selection = selection_of(recipe)
    folder = _encoder_folder(recipe, selection)
    inputs = _inputs(recipe, selection, folder, output_dir=output_dir, seed=seed, device=device)
    model, cycles, choice = _trained(recipe, selection, inputs, output_dir)
    copy_encoder(folder, output_dir)
    card = SkeletonTextCard(**{**vars(inputs.card), "cycles": cycles})
    save_model(output_dir, model.eval(), card=card)
    return {"choice": choice, **_tested(model, inputs)}


def _encoder_folder(recipe: SkeletonTextRecipe, selection: Selection) -> Path:
    if not recipe.skeleton_encoder:
        raise ValueError(
            "give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_pretrain "
            f"--prepared DIR --split {selection.split.name}"
        )
    folder = Path(recipe.skeleton_encoder)
    check_pretraining(folder, read_card(folder, SkeletonEncoderCard), selection)
    return folder


def _inputs(
    recipe: SkeletonTextRecipe,
    selection: Selection,
    folder: Path,
    *,
    output_dir: Path,
    seed: int,
    device: torch.device,
) -> _Inputs:
    split, encoder_card = selection.split, read_card(folder, SkeletonEncoderCard)
    tables = _feature_tables(recipe, selection, folder, encoder_card, output_dir=output_dir, device=device)
    text_encoder = load_text_encoder(recipe.text_encoder)
    words = {"seen": _vectors(text_encoder, selection, split.seen)}
    if split.unseen:
        words["unseen"] = _vectors(text_encoder, selection, split.unseen)
    width = tables["seen_train"].features.shape[1]
    card = SkeletonTextCard(
        stage="skeleton_text",
        method=recipe.method,
        variant=recipe.variant,
        skeleton_width=width,
        latent=recipe.latent or usual_latent(split.name, width=width),
        num_frames=encoder_card.num_frames,
        split=split.name,
        seen=split.seen,
        text_encoder={"id": text_encoder.model_id, "digest": text_encoder.digest},
        words={name: list(entry) for name, entry in words_by_name(selection.data).items()},
        seed=seed,
        select=recipe.select,
        cycles=0,
        protocol=selection.protocol_name,
        dataset=selection.data.name,
    )
    length = recipe.cycle_length or (SHORT_CYCLE if split.name == "ntu60/55-5" else 1900)
    schedule = SynSESchedule(recipe.cycles, length, recipe.batch_size, recipe.learning_rate, seed)
    schedule.check()
    return _Inputs(tables, words, card, schedule, text_encoder.width)


def usual_latent(split: str, *, width: int) -> int:
    """Return SynSE's size of the skeleton's latent space: 200 for NTU120's splits, else 100.

    Assumption: 20 for features narrower than 100, as of the quickstart's encoder.

    >>> usual_latent("ntu120/96-24", width=256), usual_latent("ntu60/55-5", width=216), usual_latent("own", width=24)
    (200, 100, 20)
    """
    if width < 100:
        return 20
    return 200 if split.startswith("ntu120") else 100


def _feature_tables(
    recipe: SkeletonTextRecipe,
    selection: Selection,
    folder: Path,
    card: SkeletonEncoderCard,
    *,
    output_dir: Path,
    device: torch.device,
) -> dict[Part, FeatureTable]:
    packed = open_skeletons(recipe.prepared, selection.data)
    encoder, preprocessing = load_skeleton_encoder(folder)
    packed.check_made_for(preprocessing)
    encoder = freeze(encoder).to(device)
    digest = folder_digest(folder, card)
    tables: dict[Part, FeatureTable] = {}
    for part in _PARTS:
        clips = skeleton_clips(selection, packed, preprocessing, part, num_frames=card.num_frames)
        if len(clips):
            file = output_dir / "features" / f"{part}.safetensors"
            tables[part] = feature_table(
                lambda batch: encoder(batch).feature, clips, file=file, encoder=digest, device=device
            )
    return tables


def _vectors(text_encoder: TextEncoder, selection: Selection, classes: Sequence[str]) -> WordTable:
    return WordTable(*WordVectors(text_encoder)([words_of(selection.data.action(name)) for name in classes]))


def _trained(
    recipe: SkeletonTextRecipe, selection: Selection, inputs: _Inputs, output_dir: Path
) -> tuple[SynSE, int, dict[str, Any]]:
    """Return the trained networks, the number of cycles, and how that number was chosen."""
    table, words, schedule = inputs.tables["seen_train"], inputs.words, inputs.schedule
    model = inputs.model()
    if recipe.select == "unseen_test":
        test = inputs.tables.get("unseen_test")
        if test is None:
            raise ValueError("--select unseen_test: the split has no test clips of unseen classes; give --select last")
        progress = train_synse(
            model,
            table,
            words["seen"],
            schedule,
            folder=output_dir,
            accuracy=lambda candidate: inputs.accuracy(candidate, words["unseen"], test),
        )
        model.load_state_dict(progress.best)
        return model, progress.best_cycle, _choice(recipe, progress, note=OPTIMISTIC)
    if recipe.select == "last":
        train_synse(model, table, words["seen"], schedule, folder=output_dir)
        return model, schedule.cycles, {"select": "last", "cycles": schedule.cycles}
    names = recipe.held_out.split(",") if recipe.held_out else ()
    classes = held_out_classes(selection, names)
    progress = _rehearsal(selection, inputs, classes, output_dir / "rehearsal")
    train_synse(model, table, words["seen"], schedule._replace(cycles=progress.best_cycle), folder=output_dir)
    return model, progress.best_cycle, {**_choice(recipe, progress), "held_out": list(classes)}


def _rehearsal(selection: Selection, inputs: _Inputs, held_out: Sequence[str], folder: Path) -> Progress:
    """Train without some of the seen classes, and recognise their training clips after each cycle."""
    whole, vectors = inputs.tables["seen_train"], inputs.words["seen"]
    away = [number for number, name in enumerate(selection.split.seen) if name in held_out]
    remainder = [number for number in range(len(selection.split.seen)) if number not in away]
    table, words = whole.of_classes(away), WordTable(*(part[away] for part in vectors))
    if not len(table.labels):
        raise ValueError(f"no training clip shows a class that is held out ({', '.join(held_out)}); give --select last")
    return train_synse(
        inputs.model(),
        whole.of_classes(remainder),
        WordTable(*(part[remainder] for part in vectors)),
        inputs.schedule,
        folder=folder,
        accuracy=lambda candidate: inputs.accuracy(candidate, words, table),
    )


def _choice(recipe: SkeletonTextRecipe, progress: Progress, *, note: str = "") -> dict[str, Any]:
    accuracies = [round(accuracy, 4) for accuracy in progress.accuracies]
    choice = {"select": recipe.select, "cycles": progress.best_cycle, "accuracy_after_cycle": accuracies}
    return {**choice, **({"note": note} if note else {})}


def _tested(model: SynSE, inputs: _Inputs) -> dict[str, Accuracy]:
    results: dict[str, Accuracy] = {}
    for part, table in inputs.tables.items():
        if part == "seen_train":
            continue
        words = inputs.words["seen" if part == "seen_test" else "unseen"]
        scores = inputs.scores(model, words, table.features)
        clips, classes = scores.shape
        results[part] = {"clips": clips, "classes": classes, "chance": round(1 / classes, 4)}
        results[part]["top1"] = round(top_k_accuracy(scores, table.labels), 4)
    return results
