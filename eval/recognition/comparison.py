"""Scores of clips by one model or two, among any of the classes of a test."""

import argparse
from collections.abc import Iterator, Sequence

from jaxtyping import Float
from torch import Tensor

from eval.recognition.inputs import class_spellings, compare_clips, sentences_for, spelling
from ski_lvlm.datasets.selection import Selection
from ski_lvlm.recognition.class_sentences import ClassSentences
from ski_lvlm.recognition.recogniser import Recogniser
from ski_lvlm.recognition.similarities import Similarities, fused


class Comparison:
    """Clips that are compared with classes, once where a class's score does not depend on the classes beside it.

    Args:
        args: of the command.
        selection: whose split says which classes are seen and unseen.
        models: one, or the two whose scores are averaged.
        clips: that all of the models can read.
        classes: of the test, in the data set's order.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        selection: Selection,
        models: Sequence[Recogniser],
        *,
        clips: Sequence[str],
        classes: Sequence[str],
    ) -> None:
        self.args, self.selection, self.models = args, selection, models
        self.clips, self.classes = clips, tuple(classes)
        data = selection.data
        self.sentences: dict[str, ClassSentences] = {
            title: sentences_for(args, model, class_spellings(spelling(args, model, data), data, classes))
            for title, model in zip(titles(models), models, strict=True)
        }
        self._parts: dict[tuple[str, tuple[str, ...]], Similarities] = {}

    @property
    def errors(self) -> dict[str, str]:
        """The clips that a model could not read, so far."""
        return {name: error for part in self._parts.values() for name, error in part.errors.items()}

    def among(self, classes: Sequence[str]) -> Float[Tensor, "N C"]:
        """Return the scores among classes, the mean of two models.

        A clip that cannot be read has a row of NaN.
        """
        return fused([self._part(title, model, classes) for title, model in self._titled()]).values

    def logits_among(self, classes: Sequence[str]) -> Float[Tensor, "N C"]:
        """Return the scores among classes, each model's divided by its temperature."""
        parts = [(self._part(title, model, classes), float(model.model.temperature)) for title, model in self._titled()]
        return fused([Similarities(part.values / temperature, part.errors) for part, temperature in parts]).values

    def _titled(self) -> Iterator[tuple[str, Recogniser]]:
        yield from zip(self.sentences, self.models, strict=True)

    def _part(self, title: str, model: Recogniser, classes: Sequence[str]) -> Similarities:
        scope = tuple(classes) if model.scores_depend_on_classes else self.classes
        key = title, scope
        if key not in self._parts:
            of_class = self.sentences[title].of_class
            sentences = ClassSentences(tuple(of_class[self.classes.index(name)] for name in scope))
            self._parts[key] = compare_clips(self.args, model, sentences, self.clips)
        whole = self._parts[key]
        return Similarities(whole.values[:, [scope.index(name) for name in classes]], whole.errors)


def titles(models: Sequence[Recogniser]) -> list[str]:
    """Return the models' inputs as their names, of which two students have the same."""
    names: list[str] = []
    for model in models:
        names.append(f"second {model.modality}" if model.modality in names else model.modality)
    return names
