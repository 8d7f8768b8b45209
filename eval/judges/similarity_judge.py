"""An offline judge: the similarity of sentences."""

import math
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float

from eval.judges.judgement import Judgement
from eval.judges.rubrics import Rubric, Rubrics
from ski_lvlm.servers.client import ModelInfo

if TYPE_CHECKING:
    from ski_lvlm.encoders.text_encoder import TextEncoder

SIMILARITY: Final = "similarity"
SIMILARITY_NOTE: Final = (
    "offline similarity judge (MiniLM cosine of sentences): NOT comparable with the paper's numbers, which an LLM gave"
)
# Which texts are compared; nobody is asked anything, so there are no words of a prompt that could move the grades.
_COMPARED: Final = {
    "correctness": ("A", "pred"),
    "detail": ("A", "pred"),
    "context": ("A", "pred"),
    "consistency": ("A", "pred1", "pred2"),
}


class SimilarityJudge:
    """Grades by the cosine between sentence embeddings, times 5 (negative cosines count as 0): no server, no opinion.

    It sees topics and words, not truth: "a man sits down" and "a man stands up" are close. It serves to exercise the
    whole path offline and to rank captions of very different quality.
    Deviation: not the paper's judge; the numbers are comparable with nothing but themselves.

    Per metric, with each text cut into sentences:

    - correctness: the cosine of the whole prediction and the whole reference;
    - detail: how much of the reference is covered, the mean over its sentences of the best match in the prediction;
    - context: how well each part stays on the theme, the mean over the prediction's sentences of the cosine with the
      whole reference;
    - consistency: the least of the three cosines between the two predictions and the reference;
    - temporal: not run, because such embeddings hardly see the order of events.

    An empty prediction has nothing in common with the reference and scores 0.
    """

    def __init__(self, encoder: "TextEncoder") -> None:
        self.name, self.settings = SIMILARITY, dict[str, Any]()
        compared = (Rubric(metric, fields, prompt="") for metric, fields in _COMPARED.items())
        self.rubrics = Rubrics(tuple(compared), schema=None, again="")
        self._encoder = encoder
        self._one_at_a_time = threading.Lock()  # the encoder remembers the last texts, and threads would mix them up

    def ping(self) -> ModelInfo:
        """Say which encoder it is."""
        return ModelInfo(self.name, self._encoder.digest)

    def not_measured(self, metric: str) -> str | None:
        """Order of events is beyond sentence embeddings."""
        return None if self.rubrics.of(metric) else "sentence similarity does not see the order of events"

    def stop(self) -> None:
        """Nobody is asked anything, and a grade takes no time."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str], *, seed: int = 0) -> Judgement:
        """Grade one record, without any chance in it; a text longer than the encoder reads leaves it unscored."""
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

    def _cosines(self, left: list[str], right: list[str]) -> Float[np.ndarray, "L R"]:
        import torch

        with self._one_at_a_time, torch.inference_mode():
            z = torch.nn.functional.normalize(self._encoder([*left, *right]).float(), dim=-1).cpu().numpy()
        return z[: len(left)] @ z[len(left) :].T


def sentences(text: str) -> list[str]:
    """Cut a text after full stops, question and exclamation marks, and at line breaks.

    >>> sentences("A man waves. Then he sits down!  The end")
    ['A man waves.', 'Then he sits down!', 'The end']
    """
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]
