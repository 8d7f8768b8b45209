"""Measure how many captions of NTU-named clips name the right action.

    python eval/accuracy.py --predictions predictions.json --instructions instructions.json --out accuracy.json

A caption names an action if it uses that action's phrase (data_curation/action_phrases.py) and no other's, as the
captions of `--captioner kinematics` do. For comparison, the result has a row for always naming the training set's most
frequent action.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_curation.action_phrases import ACTION_PHRASES
from data_curation.captioning.kinematics import named_action
from data_curation.synthetic.actions import SAME_OBJECT_PAIRS
from eval.items.predictions import read_predictions
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.storage.files import write_json

AccuracyRow = dict[str, Any]


def caption_accuracy(captions: Mapping[str, str | None], *, condition: str) -> AccuracyRow:
    """Return the accuracy, in percent, of captions by clip: over clips, over actions, and over same-object pairs.

    Same-object pairs are the actions of the synthetic set that differ from another seen one only in motion. A clip
    without a caption counts as wrong.

    >>> caption_accuracy({"S001C001P009R001A010": "A person is clapping."}, condition="x")["share"]
    100.0
    """
    right = {
        name: text is not None and named_action(text) == parse_name(name).action for name, text in captions.items()
    }
    by_action: dict[int, list[bool]] = defaultdict(list)
    for name, is_right in right.items():
        by_action[parse_name(name).action].append(is_right)
    paired = {action for pair in SAME_OBJECT_PAIRS if set(pair) <= set(by_action) for action in pair}
    return {
        "condition": condition,
        "clips": len(right),
        "share": percent(right.values()),
        "macro": percent(sum(hits) / len(hits) for hits in by_action.values()),
        "same_object_clips": sum(len(by_action[action]) for action in paired),
        "same_object_share": percent([hit for action in paired for hit in by_action[action]]),
        "per_action": {f"A{action}": percent(hits) for action, hits in sorted(by_action.items())},
    }


def percent(values: Iterable[float]) -> float | None:
    """Return the mean of values between 0 and 1, in percent to one decimal."""
    values = list(values)
    return round(100 * sum(values) / len(values), 1) if values else None


def most_frequent(instructions: Path, names: Iterable[str]) -> AccuracyRow:
    """Return the row of a model that always names the most frequent action of training.

    Raises:
        ValueError: not an instruction file, or none about videos of NTU's names.
    """
    conversations = read_instructions(instructions, drop={"object"})
    counts = Counter(parse_name(talk.video).action for talk in conversations if talk.video)
    if not counts:
        raise ValueError(f"{instructions}: no record is about a video; give the training file")
    action = counts.most_common(1)[0][0]
    always = f"A person is {ACTION_PHRASES[action][1]}."
    return caption_accuracy(dict.fromkeys(names, always), condition=f"always A{action}, most frequent in training")


def main(flags: Sequence[str] | None = None) -> int:
    """Print the rows and write them."""
    p = parser(__doc__ or "")
    p.add_argument("--predictions", type=Path, required=True, help="output of eval/describe.py")
    p.add_argument("--instructions", type=Path, help="training file, for the most frequent action")
    p.add_argument("--out", type=Path, default=Path("accuracy.json"), help="file of the rows")
    args = p.parse_args(flags)
    captions = {item["video_name"]: item.get("pred") for item in read_predictions([args.predictions])}
    rows = [caption_accuracy(captions, condition="trained, video alone")]
    if args.instructions:
        rows.append(most_frequent(args.instructions, captions))
    write_json(args.out, rows)
    for row in rows:
        print(
            f"{row['condition']}: {row['share']} % of {row['clips']} captions name the action, {row['macro']} % "
            f"averaged over actions, {row['same_object_share']} % of {row['same_object_clips']} in same-object pairs"
        )
    return 0


if __name__ == "__main__":
    run(main)
