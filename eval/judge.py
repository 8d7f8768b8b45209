"""Who grades: an LLM behind a server, or, offline, the similarity of sentences.

Both take a rubric and the fields of one record and return a `Judgement`. A reply that cannot be read and a server that
fails give a judgement without a score, with the reason; never 0.
"""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from jaxtyping import Float

from eval.parse_score import parse_score
from eval.rubrics import SCORE_SCHEMA, Rubric, messages
from ski_lvlm.chat_client import ChatClient, ChatError, Message, ModelInfo, ModelMissing, ServerNotRunning

if TYPE_CHECKING:
    from ski_lvlm.clip import TextEncoder

SIMILARITY = "similarity"
SIMILARITY_NOTE = (
    "offline similarity judge (MiniLM cosine of sentences): NOT comparable with the paper's numbers, which an LLM gave"
)
_ASKS = 3  # first the question, then twice "only the JSON, please"
_AGAIN = Message('That could not be read. Answer with the JSON object alone: {"score": N}, N from 0 to 5.')


@dataclass(frozen=True)
class Judgement:
    """A score from 0 to 5, or None and why there is none; with the judge's last words."""

    score: float | None
    reply: str = ""
    reason: str | None = None


class Judge(Protocol):
    """What `score.py` needs of a judge."""

    name: str

    def ping(self) -> ModelInfo:
        """Say which weights judge; raises ChatError, saying what to start, when they cannot."""

    def not_measured(self, metric: str) -> str | None:
        """Why this judge cannot honestly grade a metric; None when it can."""

    def __call__(self, rubric: Rubric, fields: Mapping[str, str]) -> Judgement:
        """Grade one record."""


class LlmJudge:
    """A language model behind a server, at temperature 0 with a fixed seed, its answer bound to a JSON schema.

    A reply without a readable score is asked for again a bounded number of times within the same conversation (at
    temperature 0 the bare question would only bring the same reply).
    """

    def __init__(self, client: ChatClient) -> None:
        self.name = client.name
        self._client = client

    def ping(self) -> ModelInfo:
        """Check server and model."""
        return self._client.ping()

    def not_measured(self, metric: str) -> str | None:
        """An LLM can be asked anything."""
        return None

    def __call__(self, rubric: Rubric, fields: Mapping[str, str]) -> Judgement:
        """Grade one record.

        Raises:
            ServerNotRunning, ModelMissing: going on with other records would be no use.
        """
        conversation, text = messages(rubric, fields), ""
        try:
            for _ in range(_ASKS):
                text = self._client.chat(conversation, schema=SCORE_SCHEMA, max_tokens=200).text
                if (score := parse_score(text)) is not None:
                    return Judgement(score, text)
                conversation += [Message(text, role="assistant"), _AGAIN]
        except (ServerNotRunning, ModelMissing):
            raise
        except ChatError as error:
            return Judgement(None, text, f"failed: {type(error).__name__}: {error}")
        return Judgement(None, text, f"unparsed: no score from 0 to 5 in {_ASKS} replies")


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
        self.name = SIMILARITY
        self._encoder = encoder
        self._one_at_a_time = threading.Lock()  # the encoder remembers the last texts, and threads would mix them up

    def ping(self) -> ModelInfo:
        """Say which encoder it is."""
        return ModelInfo(self.name, self._encoder.digest)

    def not_measured(self, metric: str) -> str | None:
        """Order of events is beyond sentence embeddings."""
        return "sentence similarity does not see the order of events" if metric == "temporal" else None

    def __call__(self, rubric: Rubric, fields: Mapping[str, str]) -> Judgement:
        """Grade one record; a text longer than the encoder reads leaves it unscored."""
        try:
            if rubric.metric == "consistency":
                cosine = self._least_agreement(fields["A"], fields["pred1"], fields["pred2"])
            else:
                cosine = self._agreement(rubric.metric, fields["A"], fields["pred"])
        except ValueError as error:
            return Judgement(None, reason=f"failed: {type(error).__name__}: {error}")
        return Judgement(5.0 * min(1.0, max(0.0, cosine)), f"cosine {cosine:.4f}")

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


def open_judge(name: str, *, base_url: str | None = None, timeout: float = 120.0) -> Judge:
    """The judge behind a name: `similarity`, a bare name or `ollama:MODEL`, `openai:MODEL`.

    Raises:
        ChatError: the name is malformed, or a key is missing.
        ImportError: the offline sentence encoder is not installed.
    """
    if name == SIMILARITY:
        from ski_lvlm.clip import load_text_encoder

        return SimilarityJudge(load_text_encoder("minilm"))
    return LlmJudge(ChatClient(name, base_url=base_url, timeout=timeout))
