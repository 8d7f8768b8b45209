"""Metrics that compare a caption with its reference by words or by meaning, without a server.

All are shares from 0 to 1, BLEU too. They reward the reference's words, not truth, and are low for long captions beside
short references. Use them to notice when a judge and everything else disagree.
Assumption: the paper reports none of them. Texts are compared in lower case, words without punctuation (BLEU takes the
tokens of its reference implementation).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ski_lvlm.cli import device
from ski_lvlm.recognition.intervals import grouped, interval_of_sums, mean_interval

if TYPE_CHECKING:
    from ski_lvlm.encoders.text_encoder import TextEncoder

Texts = list[tuple[str, str, str]]  # video, caption, reference
Metric = dict[str, Any]

_INSTALL = "python -m pip install sacrebleu==2.6.0 rouge-score==0.1.2 nltk==3.10.4 -c constraints.txt"
_ORDERS = 4
_BATCH = 16


def reference_metrics(records: Iterable[Mapping[str, Any]]) -> dict[str, Metric] | None:
    """Return BLEU-4, ROUGE-L, METEOR and sentence similarity of `pred` with `A`, or None without such records.

    Each has value, interval (95 %, bootstrap over videos, None for fewer than two), n, left_out (records without a
    caption or a reference, or too long for the metric) and settings. A metric that is not available has no value, n 0,
    and a reason. An empty caption counts, with nothing in common with its reference.

    Raises:
        ImportError: a package of requirements.txt is missing.
    """
    records = list(records)
    texts = texts_of(records)
    if not texts:
        return None
    measures: dict[str, Callable[[Texts], Metric]] = {
        "BLEU-4": bleu,
        "ROUGE-L": rouge_l,
        "METEOR without synonyms": meteor,
        "sentence similarity": sentence_similarity,
    }
    metrics = {name: measure(texts) for name, measure in measures.items()}
    return {name: {**metric, "left_out": len(records) - metric["n"]} for name, metric in metrics.items()}


def texts_of(records: Iterable[Mapping[str, Any]]) -> Texts:
    """Return video, caption and reference of the records that have both, sorted.

    >>> texts_of([{"video_name": "v", "A": "He waves.", "pred": "He sits."}, {"video_name": "w", "A": "He waves."}])
    [('v', 'He sits.', 'He waves.')]
    """
    return sorted(
        (str(record.get("video_name")), record["pred"], record["A"])
        for record in records
        if isinstance(record.get("pred"), str) and isinstance(record.get("A"), str) and record["A"].strip()
    )


def bleu(texts: Texts) -> Metric:
    """Return corpus BLEU-4 by sacrebleu, with an interval from the n-gram counts of the drawn videos."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError(f"BLEU needs sacrebleu: {_INSTALL}") from error
    scorer = BLEU(lowercase=True)
    videos = sorted({video for video, _, _ in texts})
    rows = np.zeros((len(videos), 2 * _ORDERS + 2), dtype=np.int64)
    for video, caption, reference in texts:
        result = scorer.corpus_score([caption], [[reference]])
        rows[videos.index(video)] += [*result.counts, *result.totals, result.sys_len, result.ref_len]

    def value(counts: Int[np.ndarray, " S"]) -> float:
        *matches, hypothesis, reference = counts.tolist()
        result = BLEU.compute_bleu(matches[:_ORDERS], matches[_ORDERS:], hypothesis, reference, smooth_method="exp")
        return result.score / 100

    def values(sums: Float[np.ndarray, "R S"]) -> Float[np.ndarray, " R"]:
        return np.array([value(counts) for counts in sums.astype(np.int64)])

    interval = interval_of_sums(rows, values)
    return {
        "value": value(rows.sum(axis=0)),
        "interval": interval and list(interval),
        "n": len(texts),
        "settings": str(scorer.get_signature()),
    }


def rouge_l(texts: Texts) -> Metric:
    """Return the mean ROUGE-L F-measure by rouge-score, with stemming."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError(f"ROUGE needs rouge-score: {_INSTALL}") from error
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values = [scorer.score(reference, caption)["rougeL"].fmeasure for _, caption, reference in texts]
    return _mean(texts, values, settings="rouge-score 0.1.2, F-measure, Porter stems")


class _NoSynonyms:
    """A WordNet without entries, because no package brings its data."""

    def synsets(self, word: str) -> list[Any]:
        """Return no meanings."""
        return []


def meteor(texts: Texts) -> Metric:
    """Return the mean METEOR by nltk, which matches equal words and equal stems.

    Deviation: METEOR's third stage, synonyms from WordNet, is left out, as its data is not available offline. The value
    is lower than the original's and has another name.
    """
    try:
        from nltk.translate.meteor_score import single_meteor_score
    except ImportError as error:
        raise ImportError(f"METEOR needs nltk: {_INSTALL}") from error
    values = [
        single_meteor_score(words(reference), words(caption), wordnet=_NoSynonyms()) for _, caption, reference in texts
    ]
    return _mean(texts, values, settings="nltk, alpha 0.9, beta 3, gamma 0.5, Porter stems, no synonyms")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case.

    >>> words("He's waving, twice.")
    ["he's", 'waving', 'twice']
    """
    return re.findall(r"\w+(?:['’-]\w+)*", text.lower())


def sentence_similarity(texts: Texts) -> Metric:
    """Return the mean cosine of caption and reference by the offline MiniLM, on the GPU if there is one.

    Without MiniLM there is a reason instead of a value. Pairs with a text that is too long for it are left out.
    """
    try:
        from ski_lvlm.encoders.text_encoder import load_text_encoder

        encoder = load_text_encoder("minilm").to(device())
    except ImportError as error:
        return {"value": None, "interval": None, "n": 0, "reason": str(error), "settings": "minilm"}
    vectors = _vectors(encoder, list(dict.fromkeys(text for _, *pair in texts for text in pair if text.strip())))
    compared = [item for item in texts if all(text in vectors for text in item[1:] if text.strip())]
    values = [float(vectors[a] @ vectors[b]) if a.strip() else 0.0 for _, a, b in compared]
    return _mean(compared, values, settings=f"minilm {encoder.digest[:12]}, cosine")


def _vectors(encoder: "TextEncoder", texts: Sequence[str]) -> dict[str, Float[np.ndarray, " F"]]:
    """Return unit vectors of the texts that are not too long, in batches of similar length to save padding."""
    from ski_lvlm.encoders.text_encoder import TextEncoderError

    ordered = sorted(texts, key=lambda text: (len(text), text))
    vectors: dict[str, Float[np.ndarray, " F"]] = {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        try:
            vectors |= dict(zip(batch, _encode(encoder, batch)))
        except TextEncoderError:
            vectors |= _one_by_one(encoder, batch)
    return vectors


def _one_by_one(encoder: "TextEncoder", texts: Sequence[str]) -> dict[str, Float[np.ndarray, " F"]]:
    from ski_lvlm.encoders.text_encoder import TextEncoderError

    vectors = {}
    for text in texts:
        try:
            vectors[text] = _encode(encoder, [text])[0]
        except TextEncoderError:
            continue
    return vectors


def _encode(encoder: "TextEncoder", texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
    import torch

    with torch.inference_mode():
        return torch.nn.functional.normalize(encoder(texts).float(), dim=-1).cpu().numpy()


def _mean(texts: Texts, values: Sequence[float], *, settings: str) -> Metric:
    by_video = grouped((video, value) for (video, _, _), value in zip(texts, values, strict=True))
    mean, interval = float(np.mean(values)) if values else None, mean_interval(by_video)
    return {"value": mean, "interval": interval and list(interval), "n": len(values), "settings": settings}
