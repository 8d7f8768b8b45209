"""Action classes as sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PROMPT = "a photo of a {name}."  # the published code's template; the paper only says "a predefined template"


def class_prompts(names: Sequence[str], *, template: str = PROMPT) -> tuple[str, ...]:
    """Return one sentence for every action class.

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
    """The sentences that stand for each class, of which not every class has equally many.

    A class's similarity is the mean over its sentences' similarities.

    Deviation: CLIP's own ensembles average the sentences' features instead. Where sentences are compared with a
    video-dependent text feature (X-CLIP) there is no feature to average.

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
        """Average the cosines with every sentence to one for every class."""
        parts = similarity.split([len(sentences) for sentences in self.of_class], dim=-1)
        return torch.stack([part.mean(-1) for part in parts], dim=-1)


def ensemble(names: Sequence[str], *, templates: Sequence[str] = (PROMPT,)) -> ClassSentences:
    """Return every class in every template.

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
    """Return somebody's own sentences for each class, under any of the names the class goes by, in any case.

    >>> described({"A23": ["A hand moves from side to side.", "Greeting."]}, [["A23", "hand waving"]]).of_class
    (('A hand moves from side to side.', 'Greeting.'),)

    Raises:
        ValueError: classes without a description, with two, or with one that is no sentences. The message lists them.
    """
    by_name = {key.strip().casefold(): value for key, value in descriptions.items()}
    spellings = [list(dict.fromkeys(name.casefold() for name in names)) for names in classes]
    matches = [[by_name[name] for name in names if name in by_name] for names in spellings]
    titles = [" = ".join(dict.fromkeys(names)) for names in classes]
    if missing := [title for title, values in zip(titles, matches, strict=True) if not values]:
        raise ValueError(f"{source} describes {len(descriptions)} classes, but not {'; '.join(missing)}; add them")
    if twice := [title for title, values in zip(titles, matches, strict=True) if len(values) > 1]:
        raise ValueError(f"{source} describes {'; '.join(twice)} under more than one name; keep one of them")
    sentences = [_sentences(value, f"{source}: {title}") for title, (value,) in zip(titles, matches, strict=True)]
    return ClassSentences(tuple(sentences))


def _sentences(value: object, owner: str) -> tuple[str, ...]:
    sentences = value if isinstance(value, list | tuple) else (value,)
    if not sentences or not all(isinstance(sentence, str) and sentence.strip() for sentence in sentences):
        raise ValueError(f"{owner} is {value!r:.60}; expected a sentence or a list of sentences")
    return tuple(sentences)
