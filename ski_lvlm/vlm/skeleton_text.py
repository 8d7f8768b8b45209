"""The stage of skeleton-text methods, which match a skeleton encoder's features with texts of classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ski_lvlm.datasets.catalogue import Part
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recipe import SkeletonTextRecipe
from ski_lvlm.recognition.accuracy import top_k_accuracy
from ski_lvlm.skeleton_text.features import FeatureTable
from ski_lvlm.skeleton_text.folder import OPTIMISTIC, REHEARSAL, save_method
from ski_lvlm.skeleton_text.held_out import held_out_classes
from ski_lvlm.skeleton_text.method import SkeletonTextMethod
from ski_lvlm.skeleton_text.training import Progress, train
from ski_lvlm.vlm.skeleton_accuracy import Accuracy, top1_of
from ski_lvlm.vlm.skeleton_text_inputs import Inputs, read_inputs
from ski_lvlm.vlm.stage_clips import selection_of

_TESTS: dict[str, tuple[Part, ...]] = {"seen": ("seen_test",), "unseen": ("unseen_test", "unseen_all")}


def skeleton_text(recipe: SkeletonTextRecipe, *, output_dir: Path, seed: int, device: torch.device) -> dict[str, Any]:
    """Train a method, write its folder, and return its result.

    The encoder runs on `device`. Beside a frozen encoder, methods of a millisecond a step train on the CPU.

    Raises:
        ValueError: a folder or a flag is not as expected. The message says which.
    """
    selection = selection_of(recipe)
    inputs = read_inputs(recipe, selection, output_dir=output_dir, seed=seed, device=device)
    model, choice = _trained(recipe, selection, inputs, output_dir)
    save_method(output_dir, model, card=replace(inputs.card, rounds=choice["rounds"]), encoder=inputs.encoder)
    return {"choice": choice, **_tested(model, inputs)}


@torch.no_grad()
def scores(
    model: SkeletonTextMethod, texts: Float[Tensor, "C K D"], *tables: FeatureTable
) -> list[Float[Tensor, "_ C"]]:
    """Return the scores of all clips of each table, on the CPU. A classifier of the texts is trained once for all."""
    scorer = model.eval().scorer(texts)
    rows = [
        torch.cat([scorer(features.to(texts.device)).float().cpu() for features in table.batches()]) for table in tables
    ]
    model.train()
    return rows


def _accuracy(model: SkeletonTextMethod, texts: Float[Tensor, "C K D"], table: FeatureTable) -> float:
    return top_k_accuracy(scores(model, texts, table)[0], table.labels)


def _trained(
    recipe: SkeletonTextRecipe, selection: Selection, inputs: Inputs, output_dir: Path
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
            accuracy=lambda candidate: _accuracy(candidate, texts["unseen"], test),
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


def _rehearsal(selection: Selection, inputs: Inputs, held_out: Sequence[str], folder: Path) -> Progress:
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
        accuracy=lambda candidate: _accuracy(candidate, vectors[away], table),
    )
    model.load_state_dict(progress.best)
    save_method(folder, model, card=replace(card, rounds=progress.best_round), encoder=inputs.encoder)
    return progress


def _choice(select: str, progress: Progress) -> dict[str, Any]:
    accuracies = [round(accuracy, 4) for accuracy in progress.accuracies]
    return {"select": select, "rounds": progress.best_round, "accuracy_after_round": accuracies}


def _tested(model: SkeletonTextMethod, inputs: Inputs) -> dict[str, Accuracy]:
    results: dict[str, Accuracy] = {}
    for classes, parts in _TESTS.items():
        tables = {part: inputs.tables[part] for part in parts if part in inputs.tables}
        if tables:
            of_clips = scores(model, inputs.texts[classes], *tables.values())
            results |= {part: top1_of(rows, tables[part].labels) for part, rows in zip(tables, of_clips, strict=True)}
    return results
