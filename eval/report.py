"""The page of a run: scores, losses, times, recipe beside the paper's, held-out clips with captions.

    python eval/report.py                                   # of the last quickstart: runs/quickstart/report.html
    python eval/report.py --run DIR --out page.html

The page is a single file without scripts or links. Missing parts of a run are shown as "not run".
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.pages.figures import loss_curve, loss_points
from eval.results.graded_run import how_far, is_table
from eval.results.score_json import GradesError
from ski_lvlm.cli import parser, run
from ski_lvlm.pages.page import page_template
from ski_lvlm.pages.pictures import video_strip
from ski_lvlm.storage.files import atomic_path, read_jsonl

ROOT = Path(__file__).resolve().parents[1]

STAGES = {
    "skeleton_pretrain": "Skeleton encoder: recognise the seen actions",
    "skeleton_align": "SkeletonCLIP: align with the text encoder",
    "video_finetune": "Student: videos and class sentences",
    "distill": "SCD: student and SkeletonCLIP together",
    "lvlm": "SKI-LVLM: projectors of a frozen LLM",
}
CLIPS, FRAMES = 12, 6
_NO_VIDEO = "no video of this clip in the run's ntu/rgb"


def _read(path: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _object(path: Path) -> dict[str, Any] | None:
    content = _read(path)
    return content if isinstance(content, dict) else None


def _scores(folder: Path) -> dict[str, Any] | None:
    content = _object(folder / "scores" / "scores.json")
    return content if content and is_table(content) else None


def _unfinished(scores: Path) -> str | None:
    """Return the progress of an unfinished grading run, or None."""
    try:
        return None if (scores / "scores.json").exists() else how_far(scores)
    except GradesError as error:
        return str(error)


def _at(tree: Any, *names: str) -> Any:  # noqa: ANN401
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def recipe_rows(folder: Path) -> list[tuple[str, Any, str]]:
    """Return (setting, in this run, in the paper), with None where the run's files do not have it.

    Paper: Sec. 4, implementation details.
    """
    recipe, features = _read(folder / "lvlm" / "recipe.json"), _read(folder / "features" / "features.json")
    lines = read_jsonl(folder / "lvlm" / "metrics.jsonl")
    rates = [line["learning_rate"] for line in lines if "learning_rate" in line]
    epochs = [line["epoch"] for line in lines if "epoch" in line]
    pairs = _read(folder / "instructions" / "instructions.json")
    control = _at(recipe, "skeleton_control")
    return [
        ("language model, frozen", _at(recipe, "base_llm"), "Vicuna-7B"),
        ("vision tower, frozen", _at(features, "video", "tower"), "CLIP ViT-L/14"),
        ("frames of a video", _at(features, "video", "num_frames"), "100"),
        ("video tokens × width", _product(_at(features, "video")), "356 × 1024"),
        ("frames of a skeleton", _at(features, "skeleton", "num_frames"), "not given (64 in 16 views make 256 tokens)"),
        ("skeleton tokens × width", _product(_at(features, "skeleton")), "256 × 216"),
        ("modalities in training", _at(recipe, "modalities"), "video, skeleton"),
        ("projectors", _at(recipe, "projector"), "linear"),
        ("skeleton dropout", _at(recipe, "skeleton_dropout"), "none"),
        *([("skeleton tokens, a control", control, "the clip's own")] if control not in (None, "none") else []),
        ("instruction pairs", len(pairs) if isinstance(pairs, list) else None, "100 000"),
        ("batch size", _at(recipe, "batch_size"), "32"),
        ("epochs", round(max(epochs), 2) if epochs else None, "3"),
        ("learning rate, highest", f"{max(rates):.1e}" if rates else None, "2e-5"),
    ]


def _product(modality: Any) -> str | None:  # noqa: ANN401
    tokens, width = _at(modality, "tokens"), _at(modality, "width")
    return f"{tokens} × {width}" if tokens and width else None


def stage_times(folder: Path) -> list[tuple[str, float, float]]:
    """Return (stage, seconds, share of the longest) in the order of running. Resumed stages are summed."""
    seconds: dict[str, float] = {}
    for line in read_jsonl(folder / "timings.jsonl"):
        if isinstance(line.get("stage"), str) and isinstance(line.get("seconds"), int | float):
            seconds[line["stage"]] = seconds.get(line["stage"], 0.0) + line["seconds"]
    longest = max(seconds.values(), default=0.0) or 1.0
    return [(stage, value, value / longest) for stage, value in seconds.items()]


def curves(folder: Path) -> list[dict[str, Any]]:
    """Return title and loss curve of each training stage, with None for a stage without metrics."""
    rows = []
    for stage, title in STAGES.items():
        points = loss_points(read_jsonl(folder / stage / "metrics.jsonl"))
        rows.append({"title": title, "stage": stage, "image": loss_curve(points) if points else None})
    return rows


def accuracy_table(content: Any) -> tuple[list[str], list[list[str]]] | None:  # noqa: ANN401
    """Return columns and rows of `accuracy.json`: a list or an object of objects, or plain numbers by name.

    >>> accuracy_table({"trained": {"share": 0.75, "clips": 60}})
    (['', 'share', 'clips'], [['trained', '0.75', '60']])
    """
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        columns = list(dict.fromkeys(name for row in content for name, value in row.items() if not _nested(value)))
        return columns, [[_text(row.get(name)) for name in columns] for row in content]
    if not isinstance(content, dict) or not content:
        return None
    if all(isinstance(value, dict) for value in content.values()):
        columns = list(dict.fromkeys(name for row in content.values() for name in row))
        return ["", *columns], [[key, *(_text(row.get(c)) for c in columns)] for key, row in content.items()]
    return ["", "value"], [[key, _text(value)] for key, value in content.items()]


def _nested(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, dict | list)


def _text(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "not run"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def zero_shot_rows(folder: Path) -> list[tuple[str, str]]:
    """Return (label, result) of `zero_shot/zero_shot.json`: top-1 on unseen classes, and each class."""
    result = _object(folder / "zero_shot" / "zero_shot.json") or {}
    unseen = _at(result, "unseen")
    if not unseen:
        return []
    low, high = unseen["top1_interval"]
    top1 = f"{100 * unseen['top1']:.1f} % ({100 * low:.1f} to {100 * high:.1f}; chance {100 * unseen['chance']:.0f} %)"
    rows = [(f"top-1 of {unseen['clips']} clips of {unseen['classes']} unseen actions, video alone", top1)]
    rows += [("note", str(result["note"]))] if "note" in result else []
    of_class = unseen["per_class"].items()
    return rows + [(name, "no clips" if share is None else f"{100 * share:.0f} %") for name, share in of_class]


def sample_clips(folder: Path) -> list[dict[str, Any]]:
    """Return up to 12 clips, evenly spread over the predictions, with frames, question, reference and caption."""
    predictions = _read(folder / "predictions.json")
    records = [r for r in predictions if isinstance(r, dict)] if isinstance(predictions, list) else []
    by_clip = {record.get("video_name"): record for record in reversed(records)}
    firsts = list(reversed(by_clip.values()))
    clips = [firsts[i * len(firsts) // CLIPS] for i in range(CLIPS)] if len(firsts) > CLIPS else firsts
    return [{**record, **_frames(folder, str(record.get("video_name")))} for record in clips]


def _frames(folder: Path, clip: str) -> dict[str, str]:
    from ski_lvlm.videos.folder import VideoError, find_video

    try:
        return {"frames": video_strip(str(find_video(folder / "ntu", clip)), num_frames=FRAMES)}
    except (VideoError, OSError) as error:
        return {"no_frames": str(error) if (folder / "ntu").exists() else _NO_VIDEO}


def build_report(folder: Path, *, out: Path | None = None) -> Path:
    """Write the page of a run folder, and return its path.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no run folder {folder}; make one with `bash scripts/quickstart.sh`, or name it by --run"
        )
    html = page_template(ROOT / "eval" / "pages" / "report.html.j2").render(
        scores=_scores(folder),
        unfinished=_unfinished(folder / "scores"),
        accuracy=accuracy_table(_read(folder / "accuracy.json")),
        zero_shot=zero_shot_rows(folder),
        curves=curves(folder),
        times=stage_times(folder),
        recipe=recipe_rows(folder),
        clips=sample_clips(folder),
        machine=_object(folder / "lvlm" / "run.json"),
        run=folder.resolve().name,
        time=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    )
    target = out or folder / "report.html"
    with atomic_path(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return target


def print_summary(folder: Path) -> None:
    """Print accuracy of captions, scores with their judge, and the time of a run."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "result", title=str(folder))
    for row in _read(folder / "accuracy.json") or []:
        table.add_row(f"{row['condition']}: captions that name the action", f"{row['share']} % of {row['clips']}")
    for label, result in zero_shot_rows(folder)[:1]:
        table.add_row(label, result)
    scores = _scores(folder) or {"metrics": {}}
    for name, metric in scores["metrics"].items():
        mean = metric.get("mean")
        table.add_row(f"{name} (judge: {scores.get('judge')})", "not run" if mean is None else f"{mean:.1f} of 100")
    if unfinished := _unfinished(folder / "scores"):
        table.add_row("scores", unfinished)
    seconds = sum(float(record["seconds"]) for record in read_jsonl(folder / "timings.jsonl"))
    table.add_row("time of all stages", f"{seconds / 60:.1f} minutes")
    Console().print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Build the page, and print its path."""
    flags = parser(__doc__ or "")
    flags.add_argument("--run", type=Path, default=ROOT / "runs" / "quickstart", help="folder of the run")
    flags.add_argument("--out", type=Path, help="the page. Default: report.html in the run's folder")
    flags.add_argument("--summary", action="store_true", help="only print a small table of the results")
    options = flags.parse_args(argv)
    if options.summary:
        print_summary(options.run)
        return 0
    print(f"report: {build_report(options.run, out=options.out)}")
    return 0


if __name__ == "__main__":
    run(main)
