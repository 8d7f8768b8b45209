"""Figure 1: videos and class sentences in one plane, for a student before and after SkeletonCLIP distillation.

    python scripts/figure_1_embedding.py --before STUDENT_DIR --after SKI_STUDENT_DIR --ntu DIR --split S --out DIR

Writes OUT/figure_1.png and OUT/figure_1.json and prints the distances as Markdown: the mean cosine distance of videos
to their own class's sentence and to the nearest of the others, and the margin between the two, with 95 % bootstrap
intervals. They are taken in the full space, from the student's own similarities.

The plane is a principal component analysis of unit-length features, in which videos and sentences weigh the same. It is
linear, so that no distance in it is larger than in the full space. Each student has its own plane: positions can be
compared within a panel, only distances between panels.

A student that was trained for as long without skeletons is the fairer --before: one distilled with --alpha 0 (and
--titles).

Paper: Figure 1, left, of which no numbers are given.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64, Int

from scripts.figures.planes import DISTANCES, Embedded, draw_planes
from scripts.figures.students import BEFORE_AFTER, Model, figure_flags, spread
from scripts.tables.markdown import grid
from ski_lvlm import cli
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.recognition.intervals import interval_over
from ski_lvlm.storage.files import write_json

PARTS: dict[str, tuple[Literal["seen_test", "unseen_test"], ...]] = {
    "unseen": ("unseen_test",),
    "seen": ("seen_test",),
    "both": ("seen_test", "unseen_test"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Embed with both students, measure, draw."""
    args = arguments(argv)
    from ski_lvlm.dual_encoders.checkpoints import StudentCard, read_card
    from ski_lvlm.recognition.recogniser import check_classes, video_recogniser

    selection = select(args.data, split=args.split, protocol=args.protocol, same_classes=args.same_classes)
    data, split = selection.data, selection.split
    classes_of_part = {"unseen": split.unseen, "seen": split.seen, "both": split.seen + split.unseen}[args.clips]
    titles = [name for name in data.class_names if name in classes_of_part]
    models, names = [], list[str]()
    for number, (moment, folder) in enumerate(zip(BEFORE_AFTER, (args.before, args.after), strict=True)):
        recogniser = video_recogniser(folder, videos=args.ntu, cache=args.frames_cache, data=data)
        check_classes(recogniser, selection, folder=folder)
        model = Model(recogniser.model.to(cli.device(args.device)), read_card(folder, StudentCard))
        names = chosen_clips(recogniser.clips, selection, args)
        title = args.titles[number] if args.titles else f"{moment} SCD: {model.title}"
        models.append(embed(model, recogniser.read, names, prompts=model.prompts(data, titles), title=title))
    classes = np.array(selection.labels(names, titles))
    result = {"split": split.name, "clips": args.clips, "count": len(names), "intervals_over": args.over}
    result |= measure(models, classes, over=args.over)
    result["margin_per_class"] = margins_per_class(models, classes, titles)
    write_json(args.out / "figure_1.json", result)
    draw_planes(models, classes, titles, result=result, path=args.out / "figure_1.png")
    print(markdown(result))
    print(f"\n{args.out / 'figure_1.png'}: {len(names)} clips, {len(titles)} classes; each student has its own plane")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = figure_flags(__doc__ or "", ntu="folder with rgb/ of NTU RGB+D or of the synthetic set")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for figure_1.png and figure_1.json")
    add("--clips", choices=tuple(PARTS), default="unseen", help="classes whose test clips and sentences are shown")
    add("--limit", type=int, default=None, help="maximum number of clips, spread over the classes (default: all)")
    add("--frames_cache", type=Path, default=None, help="output of scripts/cache_frames.py, instead of videos")
    add("--over", choices=("clips", "classes"), default="clips", help="what the intervals draw: clips, or classes")
    return parser.parse_args(argv)


def chosen_clips(available: Sequence[str], selection: Selection, args: argparse.Namespace) -> list[str]:
    """Return the test clips of the chosen classes.

    Raises:
        ValueError: there are none.
    """
    parts = [selection.clips(available, part) for part in PARTS[args.clips]]
    names = sum(parts, [])
    if not names:
        raise ValueError(
            f"none of {len(available)} clips is a {args.clips} test clip of {selection.split.name}; check --ntu and "
            "--split"
        )
    return spread(names, args.limit, data=selection.data)


def embed(
    model: Model, read: Callable[[str], Any], names: Sequence[str], *, prompts: Sequence[str], title: str
) -> Embedded:
    """Compute every clip's feature and cosines, and the sentences' features."""
    import torch
    from rich.progress import track

    student = model.student
    z, similarity = [], []
    with torch.inference_mode():
        for name in track(names, description=title, transient=True):
            output = student(read(name)[None].to(model.device), prompts)
            z.append(output.z[0].float().cpu().numpy())
            similarity.append(output.similarity[0].float().cpu().numpy())
        sentences = student.text_encoder(prompts).float().cpu().numpy()
    return Embedded(title, np.stack(z), sentences, np.stack(similarity), student.sentences_depend_on_video)


def distances(similarity: Float[np.ndarray, "N C"], classes: Int[np.ndarray, " N"]) -> Float64[np.ndarray, "N 3"]:
    """Return each clip's cosine distance to its own sentence and to the nearest other one, and their difference.

    >>> distances(np.array([[0.5, 0.25, 0.0]]), np.array([0])).tolist()
    [[0.5, 0.75, 0.25]]
    """
    distance = 1 - similarity.astype(np.float64)
    rows = np.arange(len(classes))
    to_own = distance[rows, classes]
    distance[rows, classes] = np.inf
    to_other = distance.min(1)
    return np.stack([to_own, to_other, to_other - to_own], axis=1)


def measure(
    models: Sequence[Embedded], classes: Int[np.ndarray, " N"], *, over: Literal["clips", "classes"]
) -> dict[str, Any]:
    """Return means and intervals before, after and of the change clip by clip, and how often the margin is positive."""
    before, after = (distances(model.similarity, classes) for model in models)
    result: dict[str, Any] = {}
    for moment, values in (("before", before), ("after", after), ("change", after - before)):
        result[moment] = {}
        for key, column in zip(DISTANCES, values.T, strict=True):
            of_class = {int(c): column[classes == c].tolist() for c in np.unique(classes)}
            result[moment][key] = {"mean": float(column.mean()), "interval": list(interval_over(of_class, over))}
    for moment, values, model in zip(BEFORE_AFTER, (before, after), models, strict=True):
        result[moment] |= {"model": model.title, "own_is_nearest": float((values[:, 2] > 0).mean())}
    return result


def margins_per_class(
    models: Sequence[Embedded], classes: Int[np.ndarray, " N"], titles: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the mean margin of each class that has clips."""
    margins = [distances(model.similarity, classes)[:, 2] for model in models]
    return {
        titles[c]: {
            moment: float(margin[classes == c].mean()) for moment, margin in zip(BEFORE_AFTER, margins, strict=True)
        }
        for c in np.unique(classes)
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the distances as a table.

    >>> entry = {"model": "student"} | {k: {"mean": 0.5, "interval": [0.4, 0.6]} for k in DISTANCES}
    >>> print(markdown({"before": entry, "after": entry, "change": entry}).splitlines()[2])
    | to own sentence | 0.500 [0.400, 0.600] | 0.500 [0.400, 0.600] | +0.500 [+0.400, +0.600] |
    """
    rows = [
        [title.replace("\n", " "), *(_with_interval(result[moment][key]) for moment in BEFORE_AFTER)]
        + [_with_interval(result["change"][key], "+")]
        for key, title in DISTANCES.items()
    ]
    return grid(["cosine distance", *(result[moment]["model"] for moment in BEFORE_AFTER), "change"], rows, words=4)


def _with_interval(entry: dict[str, Any], sign: str = "") -> str:
    low, high = entry["interval"]
    return f"{entry['mean']:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


if __name__ == "__main__":
    cli.run(main)
