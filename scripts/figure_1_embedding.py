"""Figure 1: videos and class sentences in one plane, for a student before and after SkeletonCLIP distillation.

    python scripts/figure_1_embedding.py --before STUDENT_DIR --after SKI_STUDENT_DIR --ntu DIR --split S --out DIR

Writes OUT/figure_1.png and OUT/figure_1.json and prints the distances as Markdown: the mean cosine distance of videos
to their own class's sentence and to the nearest of the others, and the margin between the two, with 95 % bootstrap
intervals. They are taken in the full space, from the student's own similarities.

The plane is a principal component analysis of unit-length features, videos and sentences weighing the same; it is
linear, so that no distance in it is larger than in the full space. Each student has its own plane: positions can be
compared within a panel, between panels only the distances can.

A student that was merely trained on is the fairer --before: one distilled as long with --alpha 0 (and --titles).

Paper: Figure 1, left, of which no numbers are given.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from scripts.figures.planes import DISTANCES, WHEN, Embedded, draw_planes, student_name
from ski_lvlm import cli
from ski_lvlm.datasets.ntu import Split, class_names, clips, labels, parse_name, split_named
from ski_lvlm.recipe import PROTOCOLS
from ski_lvlm.recognition.intervals import interval_over
from ski_lvlm.storage.files import write_json

if TYPE_CHECKING:
    from ski_lvlm.videos.frame_cache import FrameSource

Part = Literal["seen_test", "unseen_test"]
PARTS: dict[str, tuple[Part, ...]] = {
    "unseen": ("unseen_test",),
    "seen": ("seen_test",),
    "both": ("seen_test", "unseen_test"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Embed with both students, measure, draw."""
    args = arguments(argv)
    split = split_named(args.split)
    actions = chosen_actions(split, args.clips)
    models, names = [], list[str]()
    for number, (when, folder) in enumerate(zip(WHEN, (args.before, args.after), strict=True)):
        source, student, card = opened(folder, args)
        unknown_to(card, split, folder)
        names = chosen_clips(source.names, split, args)
        title = args.titles[number] if args.titles else f"{when} SCD: {student_name(card)}"
        models.append(embedded(source, student, card, names, actions=actions, title=title))
    own = np.array(labels(names, actions=actions))
    result = measured(models, own, over=args.over)
    result = {"split": split.name, "clips": args.clips, "count": len(names), "intervals_over": args.over} | result
    titles = class_names(actions=actions)
    result["margin_per_class"] = per_class(models, own, titles)
    write_json(args.out / "figure_1.json", result)
    draw_planes(models, own, titles, result=result, path=args.out / "figure_1.png")
    print(markdown(result))
    print(f"\n{args.out / 'figure_1.png'}: {len(names)} clips, {len(actions)} classes; each student has its own plane")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--before", type=Path, required=True, help="student before SCD: output of --stage video_finetune")
    add("--after", type=Path, required=True, help="the same student after SCD: output of --stage distill")
    add("--ntu", type=Path, required=True, help="folder with rgb/ of NTU RGB+D or of the synthetic set")
    add("--split", required=True, help="zero-shot split, such as ntu60/48-12, ntu120/110-10, synthetic")
    add("--out", type=Path, required=True, help="folder for figure_1.png and figure_1.json")
    add("--clips", choices=tuple(PARTS), default="unseen", help="test clips and sentences of which classes")
    add("--limit", type=int, default=None, help="at most so many clips, spread over the classes; default: all")
    add("--protocol", choices=PROTOCOLS, default="xsub", help="which clips are NTU's test clips")
    add("--frames_cache", type=Path, default=None, help="output of scripts/cache_frames.py, instead of decoding videos")
    add(
        "--over", choices=("clips", "classes"), default="clips", help="what the intervals draw: clips, or classes first"
    )
    add("--titles", nargs=2, default=None, help="what to call the two students; default: their names in the paper")
    add("--device", default=None, help="default: the GPU where there is one")
    return parser.parse_args(argv)


def chosen_actions(split: Split, which: str) -> tuple[int, ...]:
    """The actions whose clips and sentences are shown, ascending."""
    return tuple(sorted({"unseen": split.unseen, "seen": split.seen, "both": split.seen + split.unseen}[which]))


def chosen_clips(available: Sequence[str], split: Split, args: argparse.Namespace) -> list[str]:
    """Test clips of the asked classes.

    Raises:
        ValueError: there are none.
    """
    parts = [clips(available, split=split, protocol=args.protocol, part=part) for part in PARTS[args.clips]]
    names = sum(parts, [])
    if not names:
        raise ValueError(
            f"none of {len(available)} clips is a {args.clips} test clip of {split.name}; check --ntu and --split"
        )
    return spread(names, args.limit)


def spread(names: Sequence[str], limit: int | None) -> list[str]:
    """At most `limit` clips, ordered by action and taken evenly, so that every action keeps its share.

    >>> spread(["S001C001P001R001A002", "S001C001P001R001A001", "S001C001P002R001A001", "S001C001P002R001A002"], 2)
    ['S001C001P001R001A001', 'S001C001P001R001A002']
    """
    ordered = sorted(names, key=lambda name: (parse_name(name).action, name))
    if limit is None or limit >= len(ordered):
        return ordered
    return [ordered[i * len(ordered) // limit] for i in range(limit)]


def opened(folder: Path, args: argparse.Namespace) -> tuple["FrameSource", Any, Any]:
    """Where the frames come from, the student on its device, and its card.

    Raises:
        ValueError: the cached frames are not such as the student takes.
    """

    from ski_lvlm.dual_encoders.checkpoints import load_student
    from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache

    student, card = load_student(folder)
    student.to(cli.device(args.device))
    if not args.frames_cache:
        return DecodedFrames(args.ntu, side=card.side, framing=card.framing), student, card
    cache = FrameCache.open(args.frames_cache)
    if (cache.side, cache.framing) != (card.side, card.framing):
        raise ValueError(
            f"{args.frames_cache} holds {cache.framing} frames of {cache.side} pixels, but {folder} takes "
            f"{card.framing} ones of {card.side}; make others with scripts/cache_frames.py, or leave --frames_cache out"
        )
    return cache, student, card


def unknown_to(card: Any, split: Split, folder: Path) -> None:  # noqa: ANN401
    """Refuse a student that was trained on classes that the split calls unseen.

    Raises:
        ValueError: it was; the message names them.
    """
    if known := sorted(set(card.seen) & set(split.unseen)):
        raise ValueError(
            f"{folder} was trained on {', '.join(f'A{a}' for a in known)}, which {split.name} calls unseen; its split "
            f"is {card.split}: pass that as --split, or another student"
        )


def embedded(
    source: "FrameSource",
    student: Any,  # noqa: ANN401
    card: Any,  # noqa: ANN401
    names: Sequence[str],
    *,
    actions: Sequence[int],
    title: str,
) -> Embedded:
    """Every clip's feature and cosines, and the sentences' features."""
    import torch
    from rich.progress import track

    from ski_lvlm.recognition.classes import class_prompts

    prompts = class_prompts(class_names(card.names, actions=actions), template=card.prompt)
    device = next(student.parameters()).device
    z, similarity = [], []
    with torch.inference_mode():
        for name in track(names, description=title, transient=True):
            video = source.window(name, start=0.0, stop=1.0, num_frames=card.num_frames, rng=None)
            seen = student(video[None].to(device), prompts)
            z.append(seen.z[0].float().cpu().numpy())
            similarity.append(seen.similarity[0].float().cpu().numpy())
        sentences = student.text_encoder(prompts).float().cpu().numpy()
    return Embedded(title, np.stack(z), sentences, np.stack(similarity), card.student == "xclip")


def distances(similarity: Float[np.ndarray, "N C"], own: Int[np.ndarray, " N"]) -> Float64[np.ndarray, "N 3"]:
    """Each clip's cosine distance to its own sentence, to the nearest other one, and how much farther that one is.

    >>> distances(np.array([[0.5, 0.25, 0.0]]), np.array([0])).tolist()
    [[0.5, 0.75, 0.25]]
    """
    distance = 1 - similarity.astype(np.float64)
    rows = np.arange(len(own))
    to_own = distance[rows, own]
    distance[rows, own] = np.inf
    to_other = distance.min(1)
    return np.stack([to_own, to_other, to_other - to_own], axis=1)


def measured(
    models: Sequence[Embedded], own: Int[np.ndarray, " N"], *, over: Literal["clips", "classes"]
) -> dict[str, Any]:
    """Means and intervals before and after, and of the change clip by clip; also how often the margin is positive."""
    before, after = (distances(model.similarity, own) for model in models)
    result: dict[str, Any] = {}
    for when, values in (("before", before), ("after", after), ("change", after - before)):
        of_class = [{c: values[own == c, k].tolist() for c in np.unique(own)} for k in range(len(DISTANCES))]
        result[when] = {
            key: {"mean": float(values[:, k].mean()), "interval": list(interval_over(of_class[k], over))}
            for k, key in enumerate(DISTANCES)
        }
    for when, values, model in zip(WHEN, (before, after), models, strict=True):
        result[when] |= {"model": model.title, "own_is_nearest": float((values[:, 2] > 0).mean())}
    return result


def per_class(models: Sequence[Embedded], own: Int[np.ndarray, " N"], titles: Sequence[str]) -> dict[str, Any]:
    """The mean margin of each class that has clips."""
    margins = [distances(model.similarity, own)[:, 2] for model in models]
    return {
        titles[c]: {when: float(margin[own == c].mean()) for when, margin in zip(WHEN, margins, strict=True)}
        for c in np.unique(own)
    }


def markdown(result: dict[str, Any]) -> str:
    """The distances as a table.

    >>> entry = {"model": "student"} | {k: {"mean": 0.5, "interval": [0.4, 0.6]} for k in DISTANCES}
    >>> print(markdown({"before": entry, "after": entry, "change": entry}).splitlines()[2])
    | to own sentence | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] | +0.500 [+0.400, +0.600] |
    """
    lines = [
        f"| cosine distance | {' | '.join(result[when]['model'] for when in WHEN)} | change |",
        "|---|---|---|---|",
    ]
    for key, title in DISTANCES.items():
        cells = [_with_interval(result[when][key], "+" if when == "change" else "") for when in (*WHEN, "change")]
        lines.append(f"| {title.replace(chr(10), ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_interval(entry: dict[str, Any], sign: str = "") -> str:
    low, high = entry["interval"]
    return f"{entry['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    cli.run(main)
