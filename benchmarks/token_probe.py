"""Measure what frozen video tokens know: facts of clips, read by a linear probe across persons.

    python scripts/extract_features.py --modalities video --ntu CLIPS --out TOKENS ...
    python -m benchmarks.token_probe --tokens TOKENS --clips CLIPS

CLIPS is an output of `data_curation/synthesize.py --actions 48`, which writes the facts of each clip. The probe is a
ridge regression onto one-hot facts. It learns from the persons of the protocol `xsub` and is tested on the others. What
no probe reads, a linear projector behind the same tower cannot tell a language model.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_curation.fact_texts.clip_facts import ClipFacts, read_facts
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.lvlm.features import FeatureFolder

DATA_SET, ACROSS_PERSONS = "synthetic48", "xsub"
FACTS: Mapping[str, Callable[[ClipFacts], str]] = {
    "action": lambda clip: str(clip.actions[0]),
    "number of persons": lambda clip: str(len(clip.persons)),
    "facing": lambda clip: clip.facing,
    "shirt": lambda clip: clip.persons[0].shirt,
    "walls": lambda clip: clip.walls,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the accuracy of the probe for each fact. Returns 0."""
    args = _arguments(argv)
    features, facts, data = FeatureFolder(args.tokens), read_facts(args.clips), open_data_set(DATA_SET)
    names = sorted(name for name in facts if features.has(name, "video"))
    if not names:
        raise ValueError(f"{args.tokens} has no tokens of the clips in {args.clips}")
    tokens = np.stack([features.load(name, "video").flatten().numpy() for name in names])
    protocol = data.protocol(ACROSS_PERSONS)
    assert protocol is not None
    is_training = np.array(data.is_train(names, protocol), dtype=bool)
    print(f"{is_training.sum()} clips to learn from, {(~is_training).sum()} to test on")
    predict = ridge(tokens, is_training, penalty=args.penalty)
    for name, read in FACTS.items():
        values = np.array([read(facts[clip]) for clip in names])
        accuracy = probe(predict, values, is_training)
        print(f"{name}: {accuracy:.1%} right, {most_frequent(values, is_training):.1%} by the most frequent value")
    return 0


def ridge(x: NDArray, is_training: NDArray, *, penalty: float) -> NDArray:
    """Return the matrix [N_test N_train] that makes predictions of centred targets, from features [N F]."""
    from scipy.linalg import solve

    mean, std = x[is_training].mean(0), x[is_training].std(0) + 1e-6
    trained, tested = ((x[part] - mean) / std for part in (is_training, ~is_training))
    kernel = trained @ trained.T
    return solve(kernel + penalty * np.eye(len(kernel)), trained @ tested.T, assume_a="pos").T


def probe(predict: NDArray, values: NDArray, is_training: NDArray) -> float:
    """Return the accuracy of a `ridge` onto one-hot values [N], where not trained."""
    names, labels = np.unique(values[is_training], return_inverse=True)
    targets = np.eye(len(names))[labels]
    scores = predict @ (targets - targets.mean(0)) + targets.mean(0)
    return float((names[scores.argmax(1)] == values[~is_training]).mean())


def most_frequent(values: NDArray, is_training: NDArray) -> float:
    """Return the accuracy of always naming the value that training has most."""
    ((value, _),) = Counter(values[is_training].tolist()).most_common(1)
    return float((values[~is_training] == value).mean())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = parser(__doc__ or "")
    flags.add_argument("--tokens", type=Path, required=True, help="output of scripts/extract_features.py")
    flags.add_argument("--clips", type=Path, required=True, help="output of data_curation/synthesize.py --actions 48")
    flags.add_argument("--penalty", type=float, default=1000.0, help="of the squared weights, for standardised tokens")
    return flags.parse_args(argv)


if __name__ == "__main__":
    run(main)
