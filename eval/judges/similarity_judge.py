"""An offline judge: the similarity of sentences."""

import math
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from jaxtyping import Float

from eval.judges.judge import Judgement, JudgeSettings
from eval.judges.rubrics import Rubric, Rubrics
from ski_lvlm.servers.client import ModelInfo

if TYPE_CHECKING:
    from ski_lvlm.encoders.text_encoder import TextEncoder

# The texts that are compared. There is no prompt whose words could move the grades.
_COMPARED: Final = {
    "correctness": ("A", "pred"),
    "detail": ("A", "pred"),
    "context": ("A", "pred"),
    "consistency": ("A", "pred1", "pred2"),
}


class SimilarityJudge:
    """An offline judge: 5 times the cosine of sentence embeddings, where negative cosines count as 0.

    It compares topics and words, not truth: "a man sits down" and "a man stands up" are close. Use it to try the whole
    evaluation offline, and to rank captions of very different quality.
    Deviation: not the paper's judge. The numbers are comparable only with each other.

    Each metric compares sentences or whole texts:

    - correctness: the cosine of the whole prediction and the whole reference.
    - detail: the coverage of the reference, as the mean over its sentences of the best match in the prediction.
    - context: the mean over the prediction's sentences of the cosine with the whole reference.
    - consistency: the smallest of the three cosines between the two predictions and the reference.
    - temporal: not run, because such embeddings hardly represent the order of events.

    An empty prediction scores 0.
    """

    has_prompts: ClassVar[bool] = False
    note: ClassVar[str | None] = (
        "offline similarity judge (MiniLM cosine of sentences): NOT comparable with the paper's numbers, which an LLM "
        "gave"
    )

    def __init__(self, encoder: "TextEncoder") -> None:
        self.name, self.settings = "similarity", dict[str, Any]()
        compared = (Rubric(metric, fields, prompt="") for metric, fields in _COMPARED.items())
        self.rubrics = Rubrics(tuple(compared), schema=None, again="")
        self._encoder = encoder
        self._lock = threading.Lock()  # the encoder caches its last texts and is not thread-safe

    @classmethod
    def open(cls, name: str, settings: JudgeSettings) -> Self:
        """Return the judge on the offline MiniLM encoder."""
        from ski_lvlm.encoders.text_encoder import load_text_encoder

        return cls(load_text_encoder("minilm"))

    def ping(self) -> ModelInfo:
        """Return the digest of the encoder."""
        return ModelInfo(self.name, self._encoder.digest)

    def not_measured(self, metric: str) -> str | None:
        """Return a reason for the temporal metric."""
        return None if self.rubrics.of(metric) else "sentence similarity does not see the order of events"

    def stop(self) -> None:
        """Do nothing, as a grade takes no time."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record deterministically. Texts that are too long for the encoder leave it unscored."""
        try:
            if rubric.metric == "consistency":
                cosine = self._least_agreement(fields["A"], fields["pred1"], fields["pred2"])
            else:
                cosine = self._agreement(rubric.metric, fields["A"], fields["pred"])
        except ValueError as error:
            return Judgement(None, reason=f"failed: {type(error).__name__}: {error}")
        if not math.isfinite(cosine):
            return Judgement(None, reason="failed: there is no sentence to compare")
        return Judgement(5.0 * min(1.0, max(0.0, cosine)), (f"cosine {cosine:.4f}",))

    def _agreement(self, metric: str, reference: str, prediction: str) -> float:
        if not prediction.strip():
            return 0.0
        if metric == "detail":
            pairs = self._cosines(sentences(reference), sentences(prediction))
            return float(pairs.max(axis=1).mean())
        parts = sentences(prediction) if metric == "context" else [prediction]
        return float(self._cosines(parts, [reference]).mean())

    def _least_agreement(self, *texts: str) -> float:
        if not all(text.strip() for text in texts):
            return 0.0
        return float(self._cosines(list(texts), list(texts)).min())

    def _cosines(self, rows: list[str], columns: list[str]) -> Float[np.ndarray, "R C"]:
        import torch

        with self._lock, torch.inference_mode():
            z = torch.nn.functional.normalize(self._encoder([*rows, *columns]).float(), dim=-1).cpu().numpy()
        return z[: len(rows)] @ z[len(rows) :].T


def sentences(text: str) -> list[str]:
    """Split a text after full stops, question and exclamation marks, and at line breaks.

    >>> sentences("A man waves. Then he sits down!  The end")
    ['A man waves.', 'Then he sits down!', 'The end']
    """
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
