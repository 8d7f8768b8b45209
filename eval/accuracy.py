"""Measure how many captions name the right action.

    python eval/accuracy.py --predictions predictions.json --instructions instructions.json --out accuracy.json

A caption names the class that it mentions first: by the class's phrase, as NTU's classes have one, or by its name, as
the captions of `--captioner kinematics` do. For comparison, the result has a row for always naming the training set's
most frequent action.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_curation.captioning.action_names import action_finder, usual_sentence
from data_curation.synthetic.actions import SAME_OBJECT_PAIRS
from eval.items.predictions import read_predictions
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import DataSet, open_data_set
from ski_lvlm.datasets.clip_groups import recognised
from ski_lvlm.datasets.instruction_file import read_instructions
from ski_lvlm.storage.files import write_json

AccuracyRow = dict[str, Any]


def caption_accuracy(captions: Mapping[str, str | None], *, data: DataSet, condition: str) -> AccuracyRow:
    """Return the accuracy, in percent, of captions by clip: over clips, over actions, and over same-object pairs.

    Same-object pairs are the actions of the synthetic set that differ from another seen one only in motion. A clip
    without a caption counts as wrong.

    Raises:
        ValueError: a clip is not of the data set.
    """
    find, classes = action_finder(data.description.classes), class_of_each(captions, data)
    right = {name: text is not None and find(text) == classes[name] for name, text in captions.items()}
    by_action: dict[str, list[bool]] = defaultdict(list)
    for name, is_right in right.items():
        by_action[data.action(classes[name]).id].append(is_right)
    paired = {action for pair in same_object_pairs(data) if set(pair) <= set(by_action) for action in pair}
    ordered = [action.id for action in data.description.classes if action.id in by_action]
    return {
        "condition": condition,
        "clips": len(right),
        "share": percent(right.values()),
        "macro": percent(sum(hits) / len(hits) for hits in by_action.values()),
        "same_object_clips": sum(len(by_action[action]) for action in paired),
        "same_object_share": percent([hit for action in paired for hit in by_action[action]]),
        "per_action": {action: percent(by_action[action]) for action in ordered},
    }


def class_of_each(names: Iterable[str], data: DataSet) -> dict[str, str]:
    """Return the class of every clip.

    Raises:
        ValueError: a clip is not of the data set.
    """
    names = list(names)
    classes = recognised(data, names)
    if strange := [name for name in names if name not in classes]:
        raise ValueError(
            f"{len(strange)} clips are not of {data.name}, such as {strange[0]!r}; give their data set with --data"
        )
    return classes


def same_object_pairs(data: DataSet) -> list[tuple[str, ...]]:
    """Return the ids of the pairs of classes that share person, room and object, which NTU's data sets have alone."""
    return [tuple(f"A{number}" for number in pair) for pair in SAME_OBJECT_PAIRS] if data.folder is None else []


def percent(values: Iterable[float]) -> float | None:
    """Return the mean of values between 0 and 1, in percent to one decimal."""
    values = list(values)
    return round(100 * sum(values) / len(values), 1) if values else None


def most_frequent(instructions: Path, names: Iterable[str], *, data: DataSet) -> AccuracyRow:
    """Return the row of a model that always names the most frequent action of training.

    Raises:
        ValueError: not an instruction file, or none about the data set's videos.
    """
    conversations = read_instructions(instructions, drop={"object"})
    videos = [talk.video for talk in conversations if talk.video]
    if not videos:
        raise ValueError(f"{instructions}: no record is about a video; give the training file")
    classes = class_of_each(videos, data)
    action = data.action(Counter(classes[video] for video in videos).most_common(1)[0][0])
    always = usual_sentence(action)
    condition = f"always {action.id}, most frequent in training"
    return caption_accuracy(dict.fromkeys(names, always), data=data, condition=condition)


def main(flags: Sequence[str] | None = None) -> int:
    """Print the rows and write them."""
    p = parser(__doc__ or "")
    p.add_argument("--predictions", type=Path, required=True, help="output of eval/describe.py")
    p.add_argument("--instructions", type=Path, help="training file, for the most frequent action")
    p.add_argument(
        "--data", default="ntu120", help="data set of the clips: a folder with dataset.json, or a built-in one"
    )
    p.add_argument("--out", type=Path, default=Path("accuracy.json"), help="file of the rows")
    args = p.parse_args(flags)
    data = open_data_set(args.data)
    captions = {item["video_name"]: item.get("pred") for item in read_predictions([args.predictions])}
    rows = [caption_accuracy(captions, data=data, condition="trained, video alone")]
    if args.instructions:
        rows.append(most_frequent(args.instructions, captions, data=data))
    write_json(args.out, rows)
    for row in rows:
        pairs = f", {row['same_object_share']} % of {row['same_object_clips']} in same-object pairs"
        print(
            f"{row['condition']}: {row['share']} % of {row['clips']} captions name the action, {row['macro']} % "
            f"averaged over actions{pairs if row['same_object_clips'] else ''}"
        )
    return 0


if __name__ == "__main__":
    run(main)
