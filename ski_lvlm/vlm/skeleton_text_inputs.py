"""Features of clips and vectors of class texts, which the stage of skeleton-text methods trains on."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from ski_lvlm.recognition.recogniser import folder_digest
from ski_lvlm.skeleton_text.class_strings import class_strings
from ski_lvlm.skeleton_text.feature_maps import map_table
from ski_lvlm.skeleton_text.features import FeatureTable, feature_table
from ski_lvlm.skeleton_text.folder import SkeletonTextCard, build_method
from ski_lvlm.skeleton_text.method import Sizes, SkeletonTextMethod
from ski_lvlm.skeleton_text.methods import METHODS
from ski_lvlm.skeleton_text.recogniser import ClassVectors
from ski_lvlm.skeleton_text.shortened_features import with_shortened
from ski_lvlm.skeleton_text.training import Schedule
from ski_lvlm.skeleton_text.with_encoder import WithEncoder, skeleton_table
from ski_lvlm.vlm.stage_clips import check_pretraining, skeleton_clips

_PARTS: tuple[Part, ...] = ("seen_train", "seen_test", "unseen_test", "unseen_all")


class Inputs(NamedTuple):
    """Features, texts and settings of a training, and the card of the model that it makes."""

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


def read_inputs(
    recipe: SkeletonTextRecipe, selection: Selection, *, output_dir: Path, seed: int, device: torch.device
) -> Inputs:
    """Encode the clips and the texts of classes that a recipe names, or find what an earlier start left.

    Raises:
        ValueError: a folder or a flag is not as expected. The message says which.
    """
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
    return Inputs(folder, tables, texts, card, schedule, home, recipe.encoder_rate)


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


def _encoder_folder(recipe: SkeletonTextRecipe, selection: Selection) -> Path:
    if not recipe.skeleton_encoder:
        raise ValueError(
            "give --skeleton_encoder DIR, the --output_dir of: python train_ski_vlm.py --stage skeleton_pretrain "
            f"--prepared DIR --split {selection.split.name}"
        )
    folder = Path(recipe.skeleton_encoder)
    check_pretraining(folder, read_card(folder, SkeletonEncoderCard), selection)
    return folder
