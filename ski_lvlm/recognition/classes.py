"""Zero-shot recognition: action classes as sentences, and how often the right class wins."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor

PROMPT = "a photo of a {name}."  # the published code's template; the paper only says "a predefined template"


def class_prompts(names: Sequence[str], *, template: str = PROMPT) -> tuple[str, ...]:
    """One sentence for every action class.

    >>> class_prompts(["drink water", "kicking something"])
    ('a photo of a drink water.', 'a photo of a kicking something.')

    Raises:
        ValueError: the template has no place for the name.
    """
    if "{name}" not in template:
        raise ValueError(f"the prompt template {template!r} has no {{name}} in it, as in {PROMPT!r}")
    return tuple(template.replace("{name}", name) for name in names)


@dataclass(frozen=True)
class ClassSentences:
    """The sentences that stand for each class; a class may have several, and not every class equally many.

    A class's similarity is the mean over its sentences' similarities. Deviation: CLIP's own ensembles average the
    sentences' features instead; where sentences are compared with a video-dependent text feature (X-CLIP) there is
    no feature to average.

    >>> two = ClassSentences((("a wave.", "somebody waves."), ("a jump.",)))
    >>> two.prompts
    ('a wave.', 'somebody waves.', 'a jump.')
    >>> two.per_class(torch.tensor([[0.2, 0.4, 0.1]]))
    tensor([[0.3000, 0.1000]])
    """

    of_class: tuple[tuple[str, ...], ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """All sentences, class after class."""
        return tuple(sentence for sentences in self.of_class for sentence in sentences)

    def per_class(self, similarity: Float[Tensor, "B S"]) -> Float[Tensor, "B C"]:
        """From cosines with every sentence to one for every class."""
        parts = similarity.split([len(sentences) for sentences in self.of_class], dim=-1)
        return torch.stack([part.mean(-1) for part in parts], dim=-1)


def ensemble(names: Sequence[str], *, templates: Sequence[str] = (PROMPT,)) -> ClassSentences:
    """Every class in every template.

    >>> ensemble(["jump up"], templates=["{name}", "a video of {name}."]).of_class
    (('jump up', 'a video of jump up.'),)

    Raises:
        ValueError: there is no template, or one has no place for the name.
    """
    if not templates:
        raise ValueError(f"there is no prompt template; give at least one, such as {PROMPT!r}")
    by_template = [class_prompts(names, template=template) for template in templates]
    return ClassSentences(tuple(zip(*by_template, strict=True)))


def described(
    descriptions: Mapping[str, object], classes: Sequence[Sequence[str]], *, source: str = "descriptions"
) -> ClassSentences:
    """Somebody's own sentences for each class, found by any of the names the class goes by, in any case.

    >>> described({"A23": ["A hand moves from side to side.", "Greeting."]}, [["A23", "hand waving"]]).of_class
    (('A hand moves from side to side.', 'Greeting.'),)

    Raises:
        ValueError: classes are not described, or described twice, or not in sentences; the message lists them.
    """
    by_name = {key.strip().casefold(): value for key, value in descriptions.items()}
    spellings = [list(dict.fromkeys(name.casefold() for name in names)) for names in classes]
    found = [[by_name[name] for name in names if name in by_name] for names in spellings]
    titles = [" = ".join(dict.fromkeys(names)) for names in classes]
    if missing := [title for title, values in zip(titles, found, strict=True) if not values]:
        raise ValueError(f"{source} describes {len(descriptions)} classes, but not {'; '.join(missing)}; add them")
    if twice := [title for title, values in zip(titles, found, strict=True) if len(values) > 1]:
        raise ValueError(f"{source} describes {'; '.join(twice)} under more than one name; keep one of them")
    described_as = [_sentences(value, f"{source}: {title}") for title, (value,) in zip(titles, found, strict=True)]
    return ClassSentences(tuple(described_as))


def _sentences(value: object, where: str) -> tuple[str, ...]:
    sentences = value if isinstance(value, list | tuple) else (value,)
    if not sentences or not all(isinstance(sentence, str) and sentence.strip() for sentence in sentences):
        raise ValueError(f"{where} is {value!r:.60}; expected a sentence or a list of sentences")
    return tuple(sentences)


def predicted(similarity: Float[Tensor, "B C"], *, k: int = 1) -> Int64[Tensor, "B k"]:
    """The `k` most similar classes, best first; ties go to the lower class number."""
    return similarity.argsort(dim=-1, descending=True, stable=True)[:, :k]


def top_k_accuracy(similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"], *, k: int = 1) -> float:
    """Share of samples whose class is among the `k` most similar ones; ties go to the lower class number.

    >>> similarity = torch.tensor([[0.9, 0.1, 0.2], [0.4, 0.3, 0.2]])
    >>> top_k_accuracy(similarity, torch.tensor([0, 1])), top_k_accuracy(similarity, torch.tensor([0, 1]), k=2)
    (0.5, 1.0)

    Raises:
        ValueError: no samples, or not more classes than `k`: then every answer would be right.
    """
    samples, classes = similarity.shape
    if not samples:
        raise ValueError("there are no samples to take an accuracy of")
    if k >= classes:
        raise ValueError(f"top-{k} of {classes} classes is always 100 %; ask for a smaller k")
    return (predicted(similarity, k=k) == rearrange(labels, "b -> b 1")).any(-1).double().mean().item()


def confusion_matrix(similarity: Float[Tensor, "B C"], labels: Int[Tensor, " B"]) -> Int64[np.ndarray, "C C"]:
    """How many samples of each class (row) were taken for which class (column).

    >>> confusion_matrix(torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]]), torch.tensor([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    classes = similarity.shape[1]
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels.numpy(), predicted(similarity)[:, 0].numpy()), 1)
    return matrix


def per_class_accuracy(confusion: Int[np.ndarray, "C C"]) -> Float64[np.ndarray, " C"]:
    """Share of each class's samples that were recognised; NaN for a class without samples.

    >>> per_class_accuracy(np.array([[1, 0], [1, 1]])).tolist()
    [1.0, 0.5]
    """
    clips = confusion.sum(1)
    return np.divide(confusion.diagonal(), clips, out=np.full(len(clips), np.nan), where=clips > 0)


def mean_class_accuracy(confusion: Int[np.ndarray, "C C"]) -> float:
    """Mean of the classes' accuracies, so that a class counts the same however many samples it has.

    >>> mean_class_accuracy(np.array([[1, 0], [1, 1]]))
    0.75

    Raises:
        ValueError: no class has samples.
    """
    accuracies = per_class_accuracy(confusion)
    if np.isnan(accuracies).all():
        raise ValueError("there are no samples to take an accuracy of")
    return float(np.nanmean(accuracies))


def harmonic_mean(first: float, second: float) -> float:
    """The mean that is low where either is: of seen and unseen classes, or of the paper's two data sets.

    Paper: Tables 1, 4, 6, 7 (e.g. "Online KD (ours) 52.0 77.5 62.2").

    >>> round(harmonic_mean(52.0, 77.5), 1), harmonic_mean(0.0, 0.9)
    (62.2, 0.0)
    """
    return float(statistics.harmonic_mean([first, second]))
