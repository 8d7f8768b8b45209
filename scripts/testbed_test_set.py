"""Collect clips of several domains that nobody was trained on, so that one command can describe them all.

    python scripts/testbed_test_set.py --domains narrow third --questions narrow/questions.json third/questions.json \
        --videos narrow/ntu third/ntu --features narrow/tokens third/tokens --out DIR

Clips of each domain are those of a question file of `data_curation/build.py`, evenly spaced. They have a video, facts
in `facts.jsonl` and tokens. OUT has rgb/, video/, facts.jsonl, features.json and questions.json. A clip is called
DOMAIN-CLIP there, since the worlds give clips of different rooms and persons the same names. prompt.txt lets
`eval/choose.py` ask without showing the options.

Each clip gets a question about what happens and, outside the narrow domain, one about the scene.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.items.questions import evenly
from ski_lvlm.cli import parser, positive, run
from ski_lvlm.storage.files import atomic_path, write_json
from ski_lvlm.storage.json_files import read_json
from ski_lvlm.storage.text_files import read_lines

DETAIL, ORDER, SCENE = (
    "Describe the video in detail.",
    "What happens, in order of time?",
    "Describe the scene in detail.",
)
QUESTIONS = {"narrow": (DETAIL,), "broad": (DETAIL, SCENE), "third": (ORDER, SCENE)}


def arguments(flags: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    p = parser(__doc__ or "")
    add = p.add_argument
    add("--domains", nargs="+", required=True, choices=tuple(QUESTIONS), help="names of the domains")
    add("--questions", nargs="+", required=True, type=Path, help="question file of each domain")
    add("--videos", nargs="+", required=True, type=Path, help="folder of each domain with rgb/ and facts.jsonl")
    add("--features", nargs="+", required=True, type=Path, help="features folder of each domain")
    add("--clips", type=positive, default=48, help="clips of each domain")
    add("--out", type=Path, required=True, help="folder of the test set")
    args = p.parse_args(flags)
    for name in ("questions", "videos", "features"):
        if len(getattr(args, name)) != len(args.domains):
            raise ValueError(f"--{name}: found {len(getattr(args, name))}, expected one for each of --domains")
    return args


def main(flags: Sequence[str] | None = None) -> int:
    """Link videos and tokens, and write facts and questions under the new names."""
    args = arguments(flags)
    from ski_lvlm.lvlm.features import FeatureFolder, FeatureWriter

    entries = [FeatureFolder(folder).manifest.get("video") for folder in args.features]
    if entries[0] is None or any(entry != entries[0] for entry in entries):
        raise ValueError(f"--features: expected video tokens of one tower in all folders; found {entries}")
    FeatureWriter(args.out, {"video": entries[0]})  # states the tokens' origin
    items: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    for domain, questions, videos, features in zip(args.domains, args.questions, args.videos, args.features):
        clips = evenly([str(item["video_name"]) for item in read_json(questions)], args.clips)
        all_facts = {entry["clip"]: entry for entry in map(json.loads, read_lines(videos / "facts.jsonl"))}
        for clip in clips:
            name = f"{domain}-{clip}"
            _link(videos / "rgb" / f"{clip}_rgb.avi", args.out / "rgb" / f"{name}.avi")
            _link(features / "video" / f"{clip}.npy", args.out / "video" / f"{name}.npy")
            facts.append({**all_facts[clip], "clip": name})
            items += [{"video_name": name, "Q": question, "A": ""} for question in QUESTIONS[domain]]
    with atomic_path(args.out / "facts.jsonl") as file:
        file.write_text("".join(_lines(facts)), encoding="utf-8")
    write_json(args.out / "questions.json", items)
    (args.out / "prompt.txt").write_text("{question}\n", encoding="utf-8")
    print(f"{len(facts)} clips with {len(items)} questions in {args.out}")
    return 0


def _lines(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    return (f"{json.dumps(record)}\n" for record in records)


def _link(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ValueError(f"{source} does not exist; make videos, tokens and questions of the same clips")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source.resolve())


if __name__ == "__main__":
    run(main)
