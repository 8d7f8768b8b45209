"""The results of eval/zero_shot.py on the terminal, in percent."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SHOWN = 10  # clips left out that are printed; the JSON lists them all


def report(result: dict[str, Any], names: Sequence[str], out: Path) -> None:
    """Print what was found, in percent."""
    unseen = result["unseen"]
    print(f"{result['split']}, unseen classes by {result['modality']}: {unseen['clips']} {result['clips']} clips")
    for measure in ("top1", "mean_class"):
        clips, classes = (percent(*unseen[f"{measure}_interval{over}"]) for over in ("", "_over_classes"))
        print(f"  {measure:<10} {percent(unseen[measure])} %  (95 %: {clips} over clips, {classes} over classes)")
    if "top5" in unseen:
        print(f"  top5       {percent(unseen['top5'])} %")
    print(f"  chance     {percent(unseen['chance'])} %")
    for name, (action, share) in zip(names, unseen["per_class"].items(), strict=True):
        print(f"    {action:<5}{name:<36}{'no clips' if share is None else percent(share) + ' %'}")
    if "generalised" in result:
        found = result["generalised"]
        shares = ", ".join(f"{key} {percent(found[key])} %" for key in ("seen", "unseen", "harmonic_mean"))
        print(f"  generalised, {found['classes']} classes: {shares}")
    for kind, left_out in result["left_out"].items():
        report_left_out(kind, left_out)
    print(f"written to {out / 'zero_shot.json'} and {out / 'confusion.png'}")


def report_left_out(kind: str, left_out: Sequence[str] | dict[str, str]) -> None:
    """Print how many clips were left out, and the first of them."""
    if left_out:
        print(f"  left out, {kind.replace('_', ' ')}: {len(left_out)} clips")
    for name in list(left_out)[:SHOWN]:
        print(f"    {left_out[name] if isinstance(left_out, dict) else name}")


def percent(*shares: float) -> str:
    """Shares in percent.

    >>> percent(0.123), percent(0.1, 0.25)
    ('12.3', '10.0 to 25.0')
    """
    return " to ".join(f"{share:.1%}".removesuffix("%") for share in shares)


def report_names(result: dict[str, Any], out: Path) -> None:
    """Print each video's best class and its probability, and the videos that could not be read."""
    width = max((len(video["video"]) for video in result["videos"]), default=0)
    for video in result["videos"]:
        print(f"{video['video']:<{width}}  {percent(video['probability']):>5} %  {video['class']}")
    report_left_out("unreadable", result["unreadable"])
    print(f"written to {out / 'named_videos.json'}")
