"""Table 3 of the paper as printed: the metrics by their full names, and the four models' scores on Charades.

Paper: Table 3, Sec. 4.2: graded by Llama 3.1, "scaled to a range of 1-100".
"""

PAPER_JUDGE = "Llama 3.1"
METRIC_NAMES = {
    "correctness": "Correctness",
    "detail": "Detail Orientation",
    "context": "Contextual Understanding",
    "temporal": "Temporal Understanding",
    "consistency": "Consistency",
    "average": "Average",
}
# fmt: off
_PRINTED = {
    #            correctness  detail  context  temporal  consistency  average
    "VCGPT":         (24.8,    43.2,    33.8,    20.0,      31.6,       30.7),
    "NTU-VCGPT":     (25.5,    21.6,    29.0,    16.9,      34.1,       25.4),
    "SK-VCGPT":      (40.6,    55.0,    52.4,    30.6,      38.4,       43.4),
    "SKI-LVLM":      (40.6,    54.8,    52.4,    31.6,      38.2,       43.5),
}
# fmt: on
PUBLISHED = {model: dict(zip(METRIC_NAMES, scores, strict=True)) for model, scores in _PRINTED.items()}
