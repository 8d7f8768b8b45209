"""The two students of a figure, before and after SkeletonCLIP distillation (SCD), and the clips they are shown."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ski_lvlm import cli
from ski_lvlm.datasets.catalogue import DataSet

BEFORE_AFTER = ("before", "after")


class Model(NamedTuple):
    """A student and the card of its folder."""

    student: Any
    card: Any

    @property
    def title(self) -> str:
        """The paper's name of the student."""
        return f"{'SKI-' if self.card.stage == 'distill' else ''}{self.student.title}"

    @property
    def device(self) -> Any:  # noqa: ANN401
        """The device of the weights."""
        return next(self.student.parameters()).device

    def prompts(self, data: DataSet, classes: Sequence[str]) -> tuple[str, ...]:
        """Return the sentences of some classes, spelled as in training."""
        from ski_lvlm.recognition.class_sentences import class_prompts

        return class_prompts(data.spellings(self.card.names, classes=classes), template=self.card.prompt)


def load_model(folder: Path, device: str | None) -> Model:
    """Load a student on a device. None is the GPU where there is one."""
    from ski_lvlm.dual_encoders.checkpoints import load_student

    student, card = load_student(folder)
    return Model(student.to(cli.device(device)), card)


def figure_flags(description: str, *, ntu: str) -> argparse.ArgumentParser:
    """Return the flags that both figures share. `ntu` describes the folder."""
    parser = cli.parser(description)
    add = parser.add_argument
    add("--before", type=Path, required=True, help="student before SCD: output of --stage video_finetune")
    add("--after", type=Path, required=True, help="the same student after SCD: output of --stage distill")
    add("--ntu", type=Path, required=True, help=ntu)
    cli.add_selection_flags(parser, split="it is that of the students")
    add("--titles", nargs=2, default=None, help="names of the two students (default: those of the paper)")
    add("--device", default=None, help="default: the GPU where there is one")
    return parser


def spread(names: Sequence[str], limit: int | None, *, data: DataSet) -> list[str]:
    """Return at most `limit` clips, ordered by class and taken evenly, so that every class keeps its share."""
    order = list(data.class_names).index
    of_class = dict(zip(names, (order(str(c)) for c in data.classes_of(names)), strict=True))
    ordered = sorted(names, key=lambda name: (of_class[name], name))
    if limit is None or limit >= len(ordered):
        return ordered
    return [ordered[i * len(ordered) // limit] for i in range(limit)]
