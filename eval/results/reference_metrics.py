"""Cheap metrics that compare a caption with its reference by words or by meaning: no opinion, no server.

All are shares from 0 to 1, BLEU too. They reward the reference's words, not truth, and are low for long captions beside
short references; use them to notice when a judge and everything else disagree.
Assumption: the paper reports none of them; texts are compared in lower case, words without regard to punctuation (BLEU
takes the tokens of its reference implementation).
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
    """BLEU-4, ROUGE-L, METEOR and sentence similarity of the records' `pred` with their `A`; None without such records.

    Each has value, interval (95 %, bootstrap over videos; None for fewer than two), n, left_out (records without a
    caption or a reference, or too long for the metric), settings; a metric that cannot be had here has no value, n 0,
    and a reason. An empty caption is a caption, with nothing in common with its reference.

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
    found = {name: measure(texts) for name, measure in measures.items()}
    return {name: {**metric, "left_out": len(records) - metric["n"]} for name, metric in found.items()}


def texts_of(records: Iterable[Mapping[str, Any]]) -> Texts:
    """Video, caption and reference of the records that have both, in an order of their own.

    >>> texts_of([{"video_name": "v", "A": "He waves.", "pred": "He sits."}, {"video_name": "w", "A": "He waves."}])
    [('v', 'He sits.', 'He waves.')]
    """
    return sorted(
        (str(record.get("video_name")), record["pred"], record["A"])
        for record in records
        if isinstance(record.get("pred"), str) and isinstance(record.get("A"), str) and record["A"].strip()
    )


def bleu(texts: Texts) -> Metric:
    """Corpus BLEU-4 by sacrebleu; its interval comes from the n-gram counts of the drawn videos, added up.

    Raises:
        ImportError: sacrebleu is missing.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise ImportError(f"BLEU needs sacrebleu: {_INSTALL}") from error
    scorer = BLEU(lowercase=True)
    videos = sorted({video for video, _, _ in texts})
    rows = np.zeros((len(videos), 2 * _ORDERS + 2), dtype=np.int64)
    for video, caption, reference in texts:
        found = scorer.corpus_score([caption], [[reference]])
        rows[videos.index(video)] += [*found.counts, *found.totals, found.sys_len, found.ref_len]

    def value(counts: Int[np.ndarray, " S"]) -> float:
        *matches, hypothesis, reference = counts.tolist()
        found = BLEU.compute_bleu(matches[:_ORDERS], matches[_ORDERS:], hypothesis, reference, smooth_method="exp")
        return found.score / 100

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
    """Mean ROUGE-L F-measure by rouge-score, with stemming.

    Raises:
        ImportError: rouge-score is missing.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise ImportError(f"ROUGE needs rouge-score: {_INSTALL}") from error
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    values = [scorer.score(reference, caption)["rougeL"].fmeasure for _, caption, reference in texts]
    return _mean(texts, values, settings="rouge-score 0.1.2, F-measure, Porter stems")


class _NoSynonyms:
    """Stands where nltk expects WordNet, whose data no package brings."""

    def synsets(self, word: str) -> list[Any]:
        """No meanings are known."""
        return []


def meteor(texts: Texts) -> Metric:
    """Mean METEOR by nltk: words that are equal or have equal stems.

    Deviation: the third stage of METEOR, synonyms from WordNet, is left out, since its data cannot be had offline; so
    the value is lower than that of the original, and goes by another name.

    Raises:
        ImportError: nltk is missing.
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
    """The words of a text in lower case.

    >>> words("He's waving, twice.")
    ["he's", 'waving', 'twice']
    """
    return re.findall(r"\w+(?:['’-]\w+)*", text.lower())


def sentence_similarity(texts: Texts) -> Metric:
    """Mean cosine of caption and reference by the offline MiniLM, on the GPU if there is one.

    Where MiniLM is not installed there is no value, but the reason. A pair with a text longer than MiniLM reads is left
    out.
    """
    try:
        from ski_lvlm.encoders.text_encoder import load_text_encoder

        encoder = load_text_encoder("minilm").to(device())
    except ImportError as error:
        return {"value": None, "interval": None, "n": 0, "reason": str(error), "settings": "minilm"}
    wanted = list(dict.fromkeys(text for _, *pair in texts for text in pair if text.strip()))
    vectors = _vectors(encoder, wanted)
    read = [item for item in texts if all(text in vectors for text in item[1:] if text.strip())]
    values = [float(vectors[a] @ vectors[b]) if a.strip() else 0.0 for _, a, b in read]
    return _mean(read, values, settings=f"minilm {encoder.digest[:12]}, cosine")


def _vectors(encoder: "TextEncoder", texts: Sequence[str]) -> dict[str, Float[np.ndarray, " F"]]:
    """Unit vectors of the texts that are not too long; those of like length together, which spares padding."""
    from ski_lvlm.encoders.text_encoder import TextEncoderError

    ordered = sorted(texts, key=lambda text: (len(text), text))
    found: dict[str, Float[np.ndarray, " F"]] = {}
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        try:
            found |= dict(zip(batch, _encode(encoder, batch)))
        except TextEncoderError:
            found |= _one_by_one(encoder, batch)
    return found


def _one_by_one(encoder: "TextEncoder", texts: Sequence[str]) -> dict[str, Float[np.ndarray, " F"]]:
    from ski_lvlm.encoders.text_encoder import TextEncoderError

    found = {}
    for text in texts:
        try:
            found[text] = _encode(encoder, [text])[0]
        except TextEncoderError:
            continue
    return found


def _encode(encoder: "TextEncoder", texts: Sequence[str]) -> Float[np.ndarray, "N F"]:
    import torch

    with torch.inference_mode():
        return torch.nn.functional.normalize(encoder(texts).float(), dim=-1).cpu().numpy()


def _mean(texts: Texts, values: Sequence[float], *, settings: str) -> Metric:
    by_video = grouped((video, value) for (video, _, _), value in zip(texts, values, strict=True))
    mean, interval = float(np.mean(values)) if values else None, mean_interval(by_video)
    return {"value": mean, "interval": interval and list(interval), "n": len(values), "settings": settings}
