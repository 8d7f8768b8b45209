"""The stage of skeleton-text methods, which match a skeleton encoder's features with texts of classes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.dual_encoders.checkpoints import SkeletonEncoderCard, load_skeleton_encoder, read_card
from ski_lvlm.encoders.pretrained import freeze
from ski_lvlm.encoders.text_encoder import load_text_encoder
from ski_lvlm.recipe import SkeletonTextRecipe
from ski_lvlm.recognition.accuracy import top_k_accuracy
from ski_lvlm.recognition.recogniser import folder_digest
from ski_lvlm.skeleton_text.class_strings import class_strings
from ski_lvlm.skeleton_text.feature_maps import map_table
from ski_lvlm.skeleton_text.features import FeatureTable, feature_table
from ski_lvlm.skeleton_text.folder import SkeletonTextCard, build_method, save_method
from ski_lvlm.skeleton_text.held_out import held_out_classes
from ski_lvlm.skeleton_text.method import Sizes, SkeletonTextMethod
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.recogniser import ClassVectors
from ski_lvlm.skeleton_text.shortened_features import with_shortened
from ski_lvlm.skeleton_text.training import Progress, Schedule, train
from ski_lvlm.skeleton_text.with_encoder import WithEncoder, skeleton_table
from ski_lvlm.vlm.skeleton_accuracy import Accuracy
from ski_lvlm.vlm.stage_clips import check_pretraining, selection_of, skeleton_clips

_PARTS: tuple[Part, ...] = ("seen_train", "seen_test", "unseen_test", "unseen_all")
OPTIMISTIC = "chosen on the unseen test clips, as the published code does: optimistic"
REHEARSAL = "rehearsal"  # sub-folder of the model that was trained without the classes that are held out


class _Inputs(NamedTuple):
    encoder: Path
    tables: dict[Part, FeatureTable]
    texts: dict[str, Float[Tensor, "C K D"]]  # of the seen and the unseen classes
    card: SkeletonTextCard
    schedule: Schedule
    device: torch.device
    encoder_rate: float

    def start(self, card: SkeletonTextCard) -> SkeletonTextMethod:
        """Return the method as its training starts, with its encoder if that is trained too."""
        torch.manual_seed(self.schedule.seed)
        method = build_method(card)
        if self.encoder_rate:
            method = WithEncoder(method, load_skeleton_encoder(self.encoder)[0], multiplier=self.encoder_rate)
        return method.to(self.device).train()


def skeleton_text(recipe: SkeletonTextRecipe, *, output_dir: Path, seed: int, device: torch.device) -> dict[str, Any]:
    """Train a method, write its folder, and return its result.

    The encoder runs on `device`. Beside a frozen encoder, methods of a millisecond a step train on the CPU.

    Raises:
        ValueError: a folder or a flag is not as expected. The message says which.
    """
    selection = selection_of(recipe)
    inputs = _inputs(recipe, selection, output_dir=output_dir, seed=seed, device=device)
    model, choice = _trained(recipe, selection, inputs, output_dir)
    save_method(output_dir, model, card=replace(inputs.card, rounds=choice["rounds"]), encoder=inputs.encoder)
    return {"choice": choice, **_tested(model, inputs)}


@torch.no_grad()
def scores(model: SkeletonTextMethod, texts: Float[Tensor, "C K D"], table: FeatureTable) -> Float[Tensor, "N C"]:
    """Return the scores of all clips of a table, on the CPU."""
    scorer = model.eval().scorer(texts)
    rows = torch.cat([scorer(features.to(texts.device)).float().cpu() for features in table.batches()])
    model.train()
    return rows


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
    recipe: SkeletonTextRecipe, selection: Selection, *, output_dir: Path, seed: int, device: torch.device
) -> _Inputs:
    split, method = selection.split, METHODS[recipe.method]
    schedule = Schedule(recipe.rounds, recipe.round_length, recipe.batch_size, recipe.learning_rate, seed)
    schedule.check()
    if not 0 <= recipe.encoder_rate < float("inf"):
        raise ValueError(f"--encoder_rate {recipe.encoder_rate}: expected 0, or a multiplier above it")
    folder = _encoder_folder(recipe, selection)
    encoder_card = read_card(folder, SkeletonEncoderCard)
    published = frozenset(method.deviations if recipe.published == "all" else filter(None, recipe.published.split(",")))
    tables, encoder_width = _feature_tables(
        recipe, selection, folder, encoder_card, published, output_dir=output_dir, seed=seed, device=device
    )
    text_encoder = load_text_encoder(recipe.text_encoder)
    kind = recipe.class_texts or method.text_kinds[0]
    if kind not in method.text_kinds:
        raise ValueError(
            f"--class_texts {kind}: --method {recipe.method} takes {' or '.join(method.text_kinds)}; leave it out"
        )
    strings = class_strings(selection.data, kind)
    vectors = ClassVectors(text_encoder, strings, has_unit_length=method.has_unit_texts)
    home = device if method.is_heavy or recipe.encoder_rate else torch.device("cpu")
    texts = {"seen": vectors(split.seen).to(home)}
    if split.unseen:
        texts["unseen"] = vectors(split.unseen).to(home)
    _, num_texts, text_width = texts["seen"].shape
    sizes = Sizes(
        skeleton_width=encoder_width,
        text_width=text_width,
        num_texts=num_texts,
        num_classes=len(split.seen),
        latent=recipe.latent or method.usual_latent(split.name, width=encoder_width),
        layout=str(encoder_card.encoder["layout"]),
        num_unseen=len(split.unseen) if "transductive" in published else 0,
        num_shortened=_num_shortened(recipe),
    )
    card = SkeletonTextCard(
        stage="skeleton_text",
        method=recipe.method,
        published=sorted(published),
        sizes=sizes._asdict(),
        num_frames=encoder_card.num_frames,
        split=split.name,
        seen=split.seen,
        text_encoder={"id": text_encoder.model_id, "digest": text_encoder.digest},
        text_kind=kind,
        texts={name: list(row) for name, row in strings.table.items()},
        seed=seed,
        select=recipe.select if recipe.rounds else "last",
        rounds=0,
        protocol=selection.protocol_name,
        dataset=selection.data.name,
    )
    return _Inputs(folder, tables, texts, card, schedule, home, recipe.encoder_rate)


def _num_shortened(recipe: SkeletonTextRecipe) -> int:
    if recipe.track == "synse":
        return 0
    if not METHODS[recipe.method].has_own_track:
        raise ValueError(f"--track own: --method {recipe.method} has none; leave it out, or give --method smie")
    if recipe.encoder_rate:
        raise ValueError("--track own reads features of shortened clips from a frozen encoder; leave --encoder_rate 0")
    if recipe.num_shortened < 1:
        raise ValueError(f"--num_shortened {recipe.num_shortened}: expected 1 or more for --track own")
    return recipe.num_shortened


def _feature_tables(
    recipe: SkeletonTextRecipe,
    selection: Selection,
    folder: Path,
    card: SkeletonEncoderCard,
    published: frozenset[str],
    *,
    output_dir: Path,
    seed: int,
    device: torch.device,
) -> tuple[dict[Part, FeatureTable], int]:
    """Return the features of each part, or its skeletons if the encoder is trained too, and the encoder's width."""
    method, num_shortened = METHODS[recipe.method], _num_shortened(recipe)
    encoding = method.encoding(published)
    table_of, suffix = (map_table, "npy") if method.has_maps else (feature_table, "safetensors")
    packed = open_skeletons(recipe.prepared, selection.data)
    encoder, preprocessing = load_skeleton_encoder(folder)
    packed.check_made_for(preprocessing)
    encoder = freeze(encoder).to(device)
    digest = f"{folder_digest(folder, card)} {encoding.__name__}"
    tables: dict[Part, FeatureTable] = {}
    for part in _PARTS:
        clips = skeleton_clips(selection, packed, preprocessing, part, num_frames=card.num_frames)
        if len(clips) and recipe.encoder_rate:
            tables[part] = skeleton_table(clips)
        elif len(clips):
            file = output_dir / "features" / f"{part}.{suffix}"
            encode = partial(encoding, encoder)
            tables[part] = table_of(encode, clips, file=file, encoder=digest, device=device)
            if part == "seen_train" and num_shortened:
                tables[part] = with_shortened(
                    tables[part],
                    encode,
                    clips,
                    number=num_shortened,
                    seed=seed,
                    file=file,
                    encoder=digest,
                    device=device,
                )
    return tables, encoder.width


def _trained(
    recipe: SkeletonTextRecipe, selection: Selection, inputs: _Inputs, output_dir: Path
) -> tuple[SkeletonTextMethod, dict[str, Any]]:
    """Return the trained method, and how its number of rounds was chosen."""
    table, texts, schedule, select = inputs.tables["seen_train"], inputs.texts, inputs.schedule, inputs.card.select
    training_texts = torch.cat(list(texts.values())) if inputs.card.sizes["num_unseen"] else texts["seen"]
    model = inputs.start(inputs.card)
    if select == "unseen_test":
        test = inputs.tables.get("unseen_test")
        if test is None:
            raise ValueError("--select unseen_test: the split has no test clips of unseen classes; give --select last")
        progress = train(
            model,
            table,
            training_texts,
            schedule,
            folder=output_dir,
            accuracy=lambda candidate: top_k_accuracy(scores(candidate, texts["unseen"], test), test.labels),
        )
        model.load_state_dict(progress.best)
        return model, {**_choice(select, progress), "note": OPTIMISTIC}
    if select == "last":
        train(model, table, training_texts, schedule, folder=output_dir)
        return model, {"select": "last", "rounds": schedule.rounds}
    names = recipe.held_out.split(",") if recipe.held_out else ()
    classes = held_out_classes(selection, names)
    progress = _rehearsal(selection, inputs, classes, output_dir / REHEARSAL)
    train(model, table, training_texts, schedule, folder=output_dir, last_round=progress.best_round)
    return model, {**_choice(select, progress), "held_out": list(classes)}


def _rehearsal(selection: Selection, inputs: _Inputs, held_out: Sequence[str], folder: Path) -> Progress:
    """Train without some of the seen classes, and recognise their training clips after each round.

    The best of these models is kept, because generalised tests are calibrated with it.

    Deviation: SynSE's authors hold the classes out of the encoder's training too.
    """
    whole, vectors, names = inputs.tables["seen_train"], inputs.texts["seen"], selection.split.seen
    away = [number for number, name in enumerate(names) if name in held_out]
    remainder = [number for number in range(len(names)) if number not in away]
    table = whole.of_classes(away)
    if not len(table):
        raise ValueError(f"no training clip shows a class that is held out ({', '.join(held_out)}); give --select last")
    is_transductive = inputs.card.sizes["num_unseen"] > 0
    sizes = {
        **inputs.card.sizes,
        "num_classes": len(remainder),
        "num_unseen": len(away) if is_transductive else 0,
    }
    card = replace(inputs.card, sizes=sizes, seen=tuple(names[number] for number in remainder))
    model = inputs.start(card)
    progress = train(
        model,
        whole.of_classes(remainder),
        vectors[remainder + away if is_transductive else remainder],
        inputs.schedule,
        folder=folder,
        accuracy=lambda candidate: top_k_accuracy(scores(candidate, vectors[away], table), table.labels),
    )
    model.load_state_dict(progress.best)
    save_method(folder, model, card=replace(card, rounds=progress.best_round), encoder=inputs.encoder)
    return progress


def _choice(select: str, progress: Progress) -> dict[str, Any]:
    accuracies = [round(accuracy, 4) for accuracy in progress.accuracies]
    return {"select": select, "rounds": progress.best_round, "accuracy_after_round": accuracies}


def _tested(model: SkeletonTextMethod, inputs: _Inputs) -> dict[str, Accuracy]:
    results: dict[str, Accuracy] = {}
    for part, table in inputs.tables.items():
        if part == "seen_train":
            continue
        of_clips = scores(model, inputs.texts["seen" if part == "seen_test" else "unseen"], table)
        clips, classes = of_clips.shape
        results[part] = {"clips": clips, "classes": classes, "chance": round(1 / classes, 4)}
        results[part]["top1"] = round(top_k_accuracy(of_clips, table.labels), 4)
    return results
