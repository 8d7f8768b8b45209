"""The results of eval/zero_shot.py on the terminal, in percent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHOICES = ("gamma", "temperature", "threshold")  # numbers of a calibration
MAX_LISTED = 10  # skipped clips that are printed; the JSON lists them all


def report(result: dict[str, Any], out: Path, *, advice: str = "") -> None:
    """Print the scores, in percent, and how to calibrate the generalised ones."""
    kind = "unseen" if "unseen" in result else "seen"
    scores = result[kind]
    print(f"{result['split']}, {kind} classes by {result['modality']}: {scores['clips']} {result['clips']} clips")
    if "note" in result:
        print(f"  {result['note']}")
    for measure in ("top1", "mean_class"):
        clips, classes = (percent(*scores[f"{measure}_interval{over}"]) for over in ("", "_over_classes"))
        print(f"  {measure:<10} {percent(scores[measure])} %  (95 %: {clips} over clips, {classes} over classes)")
    if "top5" in scores:
        print(f"  top5       {percent(scores['top5'])} %")
    print(f"  chance     {percent(scores['chance'])} %")
    for name, share in scores["per_class"].items():
        print(f"    {name:<41}{'no clips' if share is None else percent(share) + ' %'}")
    if "generalised" in result:
        report_generalised(result["generalised"], advice=advice)
    for kind, skipped in result["left_out"].items():
        report_skipped(kind, skipped)
    print(f"written to {out / 'zero_shot.json'} and {out / 'confusion.png'}")


def report_generalised(scores: dict[str, Any], *, advice: str) -> None:
    """Print the accuracies among all classes, before and after calibration."""
    clips = f"{scores['seen_clips']} seen and {scores['unseen_clips']} unseen clips"
    print(f"  generalised, {clips} among {scores['classes']} classes:")
    calibrated = scores.get("calibrated")
    for title, part in (("uncalibrated", scores), (calibrated and calibrated["by"], calibrated)):
        if part:
            print(f"    {title}: harmonic mean {percent(part['harmonic_mean'])} %")
            for kind in ("seen", "unseen"):
                of_clips, of_classes = (percent(*part[f"{kind}_interval{over}"]) for over in ("", "_over_classes"))
                share = f"{percent(part[kind])} %"
                print(f"      {kind:<8} {share}  (95 %: {of_clips} over clips, {of_classes} over classes)")
    if calibrated:
        numbers = ", ".join(f"{name} {calibrated[name]:.4g}" for name in CHOICES if name in calibrated)
        place = calibrated["chosen_on"]
        print(f"      {numbers}, chosen on {place['rehearsal']}, without {', '.join(place['held_out'])}")
        for name in ("harmonic_mean", "gate_accuracy"):
            if name in place:
                print(f"      {name.replace('_', ' ')} there: {percent(place[name])} %")
        for note in place["notes"]:
            print(f"      {note}")
    if advice:
        print(f"    To calibrate, {advice}.")


def report_skipped(kind: str, skipped: Sequence[str] | dict[str, str]) -> None:
    """Print the number of skipped clips, and the first of them."""
    if skipped:
        print(f"  skipped, {kind.replace('_', ' ')}: {len(skipped)} clips")
    for name in list(skipped)[:MAX_LISTED]:
        print(f"    {skipped[name] if isinstance(skipped, dict) else name}")


def percent(*shares: float) -> str:
    """Format shares in percent.

    >>> percent(0.123), percent(0.1, 0.25)
    ('12.3', '10.0 to 25.0')
    """
    return " to ".join(f"{share:.1%}".removesuffix("%") for share in shares)


def report_names(result: dict[str, Any], out: Path) -> None:
    """Print each video's best class and its probability, and the videos that could not be read."""
    width = max((len(video["video"]) for video in result["videos"]), default=0)
    for video in result["videos"]:
        print(f"{video['video']:<{width}}  {percent(video['probability']):>5} %  {video['class']}")
    report_skipped("unreadable", result["unreadable"])
    print(f"written to {out / 'named_videos.json'}")
