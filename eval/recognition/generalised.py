"""The generalised test: clips of seen and of unseen classes among all classes, as they are and calibrated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from eval.recognition.class_scores import DIGITS, answer_scores, readable_rows, rounded
from eval.recognition.comparison import Comparison
from ski_lvlm.recognition.accuracy import predicted
from ski_lvlm.recognition.calibration import choose_gamma, stacked
from ski_lvlm.recognition.gate import CLIPS_PER_CLASS, Gate, GateScores, choose_gate
from ski_lvlm.recognition.rehearsal import spread

CALIBRATIONS = ("stacking", "gate", "published_gate", "none")


class Rehearsal(NamedTuple):
    """The seen test clips as a model scores them that was trained without some of the seen classes."""

    folder: Path
    comparison: Comparison
    notes: tuple[str, ...]  # where it differs from the test

    def chosen_on(self, rows: Sequence[int]) -> dict[str, Any]:
        """Return the clips and classes that were looked at."""
        split = self.comparison.selection.split
        clips = self.comparison.selection.data.classes_of([self.comparison.clips[row] for row in rows])
        held_out = sum(name in split.unseen for name in clips)
        return {
            "rehearsal": str(self.folder),
            "held_out": list(split.unseen),
            "seen_clips": len(rows) - held_out,
            "held_out_clips": held_out,
            "notes": list(self.notes),
        }


def groups_of_classes(comparison: Comparison, *, calibration: str, is_test: bool) -> list[tuple[str, ...]]:
    """Return the groups of classes among which a calibration wants scores."""
    split, is_gate = comparison.selection.split, calibration.endswith("gate")
    if not is_test:
        return [split.seen, split.unseen] if is_gate else [comparison.classes]
    return [split.unseen, comparison.classes, *([split.seen] if is_gate else [])]


def generalised_result(test: Comparison, rehearsal: Rehearsal | None, *, calibration: str) -> dict[str, Any]:
    """Return the scores of the generalised test, with `calibrated` ones where there is a rehearsal."""
    scores = test.among(test.classes)
    rows, is_seen = readable_rows(scores), seen_classes(test)
    labels = true_classes(test, rows)
    is_of_seen = is_seen[labels]
    result = {
        "classes": len(test.classes),
        "seen_clips": int(is_of_seen.sum()),
        "unseen_clips": int((~is_of_seen).sum()),
        **answer_scores(stacked(scores[rows], is_seen, 0.0), labels, is_seen=is_seen),
    }
    if rehearsal is None:
        return result
    if calibration == "stacking":
        choice, answers = by_stacking(test, rehearsal, rows)
    else:
        choice, answers = by_gate(test, rehearsal, rows, as_published=calibration == "published_gate")
    calibrated = {"by": calibration, **choice, **answer_scores(answers, labels, is_seen=is_seen)}
    return result | {"calibrated": calibrated}


def seen_classes(comparison: Comparison) -> Bool[Tensor, " C"]:
    """Return which of all classes are seen."""
    return torch.tensor([name in comparison.selection.split.seen for name in comparison.classes])


def true_classes(comparison: Comparison, rows: Sequence[int]) -> Int64[Tensor, " N"]:
    """Return the classes of clips as numbers among all classes."""
    names = [comparison.clips[row] for row in rows]
    return torch.tensor(comparison.selection.labels(names, comparison.classes), dtype=torch.int64)


def by_stacking(
    test: Comparison, rehearsal: Rehearsal, rows: Sequence[int]
) -> tuple[dict[str, Any], Int64[Tensor, " N"]]:
    """Return the number that lowers seen classes, where it was chosen, and the classes that clips are taken for."""
    practice = rehearsal.comparison
    scores = practice.among(practice.classes)
    readable = readable_rows(scores)
    best = choose_gamma(scores[readable], true_classes(practice, readable), seen_classes(practice))
    shares = {
        "seen_accuracy": rounded(best.seen),
        "held_out_accuracy": rounded(best.unseen),
        "harmonic_mean": rounded(best.harmonic_mean),
    }
    choice = {"gamma": best.gamma, "chosen_on": rehearsal.chosen_on(readable) | shares}
    return choice, stacked(test.among(test.classes)[rows], seen_classes(test), best.gamma)


def by_gate(
    test: Comparison, rehearsal: Rehearsal, rows: Sequence[int], *, as_published: bool
) -> tuple[dict[str, Any], Int64[Tensor, " N"]]:
    """Return the gate, where it was chosen, and the classes that clips are taken for."""
    practice = rehearsal.comparison
    splits = [comparison.selection.split for comparison in (test, practice)]
    size = min(len(classes) for split in splits for classes in (split.seen, split.unseen))
    clips = gate_rows(practice)
    is_seen = seen_classes(practice)[true_classes(practice, clips)].numpy()
    gate = choose_gate(gate_scores(practice, clips), is_seen, size=size)
    place = rehearsal.chosen_on(clips) | {"gate_accuracy": rounded(gate.accuracy)}
    held_out, unseen_classes = len(splits[1].unseen), len(splits[0].unseen)
    if held_out != unseen_classes:
        place["notes"].append(
            f"the gate compares probabilities among {held_out} held-out classes with those among {unseen_classes} "
            "unseen ones; it wants equally many"
        )
    is_unseen = gate.is_unseen(gate_scores(test, rows), as_published=as_published)
    of_unseen, of_seen = (best_class(test, classes, rows) for classes in (splits[0].unseen, splits[0].seen))
    return gate_choice(gate) | {"chosen_on": place}, torch.where(torch.from_numpy(is_unseen), of_unseen, of_seen)


def gate_choice(gate: Gate) -> dict[str, float | int]:
    """Return the numbers of a gate that were chosen."""
    return {"temperature": gate.temperature, "threshold": round(gate.threshold, DIGITS), "size": gate.size}


def gate_rows(practice: Comparison) -> list[int]:
    """Return the readable clips of held-out classes, and up to 40 of each other one."""
    split = practice.selection.split
    readable = readable_rows(practice.among(split.unseen))
    classes = practice.selection.data.classes_of([practice.clips[row] for row in readable])
    of_seen = [position for position, name in enumerate(classes) if name in split.seen]
    sample = {of_seen[k] for k in spread([classes[position] for position in of_seen], limit=CLIPS_PER_CLASS)}
    return [row for k, row in enumerate(readable) if classes[k] in split.unseen or k in sample]


def gate_scores(comparison: Comparison, rows: Sequence[int]) -> GateScores:
    """Return the scores of clips that a gate looks at."""
    split = comparison.selection.split
    logits = [comparison.logits_among(classes)[list(rows)] for classes in (split.seen, split.unseen)]
    return GateScores(logits[0].numpy(), logits[1].softmax(-1).numpy())


def best_class(comparison: Comparison, classes: Sequence[str], rows: Sequence[int]) -> Int64[Tensor, " N"]:
    """Return the best of some classes for each clip, as a number among all classes."""
    numbers = torch.tensor([comparison.classes.index(name) for name in classes])
    return numbers[predicted(comparison.among(classes)[list(rows)])[:, 0]]
