"""Figure 3: heat maps of a student and its SKI twin over the frames of given clips, with the skeleton's joints on top.

    python scripts/figure_3_attention.py --before STUDENT_DIR --after SKI_STUDENT_DIR --ntu DIR --out FILE.png \\
        [--clips NAME ...] [--measured N]

Beside the picture, FILE.json and a printed table have the share of the heat within --radius pixels of a joint, and the
share of the area: maps that are sharper on the body have more heat there than area. The means are over the clips of the
picture and --measured others. All heat counts, also that on the background, which the paper disregards.

The joints are those of the clip's .skeleton file, bodies cleaned as for training. Without the file there are none. No
model sees them. A student that was trained for as long without skeletons is the fairer --before: one distilled with
--alpha 0 (and --titles). Maps are as coarse as the backbone's grid: 14 x 14 for ViT-B/16, a cell per 32 pixels of
EfficientNet.

Paper: Figure 3, Appendix B (Grad-CAM of the prediction).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from scripts.figures.heat_maps import MappedClip, draw_maps
from scripts.figures.joints import People, area_near, joints_of, share_near
from scripts.figures.students import BEFORE_AFTER, Model, figure_flags, load_model, spread
from scripts.tables.markdown import NOTHING, grid
from ski_lvlm import cli
from ski_lvlm.datasets.selection import Selection, select
from ski_lvlm.recognition.intervals import interval_within
from ski_lvlm.storage.files import write_json

PICTURE_SIDE = 288  # of the frames in the picture, at least
PATCHES_ACROSS = 14  # of ViT-B/16: the default radius is one such patch


class Clip(NamedTuple):
    """One clip in the pixels of the students' frames."""

    name: str
    video: Any  # UInt8 [T 3 side side]
    aspect: float  # height by width before it was fitted into a square
    people: People | None


def main(argv: Sequence[str] | None = None) -> int:
    """Map, measure, draw."""
    from rich.progress import track

    args = arguments(argv)
    models = [load_model(folder, args.device) for folder in (args.before, args.after)]
    before, after = (model.card for model in models)
    check_alike(before, after)
    radius = args.radius if args.radius is not None else before.side / PATCHES_ACROSS
    selection = select(
        args.data, split=args.split or after.split, protocol=args.protocol, same_classes=args.same_classes
    )
    pictured, further = chosen(args, selection)
    pictures, records = [], []
    for name in track([*pictured, *further], description=args.method, transient=True):
        clip = read_clip(args.ntu, name, before)
        maps, record = map_clip(clip, models, args, selection, radius=radius)
        records.append(record)
        if name in pictured:
            fine = read_frames(args.ntu, name, before, side=max(PICTURE_SIDE, before.side))
            pictures.append(MappedClip(fine.numpy(), clip.aspect, clip.people, maps, record))
    summary = {"method": args.method, "target": args.target, "radius": radius}
    summary |= {"means": means(records), "clips": records}
    write_json(args.out.with_suffix(".json"), summary)
    draw_maps(pictures, titles=args.titles or [m.title for m in models], path=args.out, columns=args.columns)
    print(markdown(summary))
    print(f"\n{args.out}: {len(pictures)} clips; {args.out.with_suffix('.json')}: {len(records)} clips")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = figure_flags(__doc__ or "", ntu="folder with rgb/ and, for the joints, .skeleton files")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="picture to write, with the numbers beside it as .json")
    add("--clips", nargs="+", default=None, help="clips of the picture (default: three unseen test clips)")
    add("--method", choices=("gradcam", "rollout"), default="gradcam", help="rollout needs a CLIP or SigLIP backbone")
    add("--target", choices=("predicted", "true"), default="predicted", help="the class that Grad-CAM explains")
    add("--measured", type=int, default=24, help="further unseen test clips that count in the means")
    add("--radius", type=float, default=None, help="near a joint: pixels of the student's frames (default: side / 14)")
    add("--columns", type=int, default=6, help="maximum number of frames of a clip in the picture")
    args = parser.parse_args(argv)
    if args.out.suffix.lower() != ".png":
        parser.error(f"--out is the picture's file and ends in .png, found {args.out}")
    return args


def check_alike(before: Any, after: Any) -> None:  # noqa: ANN401
    """Refuse students that take different frames.

    Raises:
        ValueError: naming the difference.
    """
    for key in ("num_frames", "side", "framing", "split"):
        if getattr(before, key) != getattr(after, key):
            raise ValueError(
                f"the students differ in {key}: {getattr(before, key)} before and {getattr(after, key)} after; "
                "--after must come from a distill run that started from --before, or had the same settings"
            )


def chosen(args: argparse.Namespace, selection: Selection) -> tuple[list[str], list[str]]:
    """Return the clips of the picture, and those that only count.

    Raises:
        ValueError: the folder has no unseen test clips and none were given.
    """
    from ski_lvlm.storage.clip_names import clip_name
    from ski_lvlm.videos.folder import list_videos

    unseen = selection.clips(list_videos(args.ntu), "unseen_test")
    if not unseen and not args.clips:
        raise ValueError(f"{args.ntu} has no unseen test clips of {selection.split.name}; name some with --clips")
    pictured = [clip_name(name) for name in args.clips] if args.clips else spread(unseen, 3, data=selection.data)
    further = [name for name in unseen if name not in pictured]
    return pictured, spread(further, args.measured, data=selection.data)


def read_clip(ntu: Path, name: str, card: Any) -> Clip:  # noqa: ANN401
    """Read the frames that the students take, and the joints in the same pixels."""
    from ski_lvlm.videos.decoding import Box, centre_square, probe
    from ski_lvlm.videos.folder import find_video
    from ski_lvlm.videos.frame_cache import segment_moments
    from ski_lvlm.videos.packets import timeline

    file = find_video(ntu, name)
    info = probe(file)
    moments = segment_moments(card.num_frames, start=0.0, stop=1.0)
    box = centre_square(info) if card.framing == "centre" else Box(0, 0, info.width, info.height)
    shares = np.array([box.left / info.width, box.top / info.height, box.right / info.width, box.bottom / info.height])
    people = joints_of(ntu, name, timeline(file).frames_at(moments), box=shares, side=card.side)
    video = read_frames(ntu, name, card, side=card.side)
    return Clip(name, video, (box.bottom - box.top) / (box.right - box.left), people)


def read_frames(ntu: Path, name: str, card: Any, *, side: int) -> Any:  # noqa: ANN401  # UInt8 [T 3 side side]
    """Read the frames that a student takes, in any size."""
    from ski_lvlm.videos.decoding import read_moments
    from ski_lvlm.videos.folder import find_video
    from ski_lvlm.videos.frame_cache import segment_moments

    moments = segment_moments(card.num_frames, start=0.0, stop=1.0)
    return read_moments(find_video(ntu, name), moments=moments, side=side, framing=card.framing)


def map_clip(
    clip: Clip, models: Sequence[Model], args: argparse.Namespace, selection: Selection, *, radius: float
) -> tuple[list[Any], dict[str, Any]]:
    """Return each student's heat over the clip, and the numbers that belong to it."""
    names = candidates(selection, clip.name)
    label = names.index(selection.data.class_of(clip.name))
    area = area_near(clip.people, size=tuple(clip.video.shape[-2:]), radius=radius)
    record: dict[str, Any] = {"clip": clip.name, "true": names[label]}
    record["area_near_joints"] = None if area is None else float(area.mean())
    maps = []
    for moment, model in zip(BEFORE_AFTER, models, strict=True):
        heat, similarity = heat_of(
            clip,
            model,
            model.prompts(selection.data, names),
            method=args.method,
            label=label if args.target == "true" else None,
        )
        predicted = int(similarity.argmax())
        maps.append(heat)
        record[moment] = {
            "predicted": names[predicted],
            "right": predicted == label,
            "similarity": {n: round(float(s), 4) for n, s in zip(names, similarity, strict=True)},
            "heat_near_joints": None if area is None else share_near(heat, clip.people, area),
        }
    return maps, record


def candidates(selection: Selection, clip: str) -> tuple[str, ...]:
    """Return the classes a clip is recognised among: the unseen ones for an unseen clip, else the seen ones.

    Raises:
        ValueError: the split has no such action.
    """
    split, class_name = selection.split, selection.data.class_of(clip)
    for classes in (split.unseen, split.seen):
        if class_name in classes:
            return classes
    raise ValueError(f"{clip} shows {class_name!r}, which is not in {split.name}; choose clips of its classes")


def heat_of(
    clip: Clip, model: Model, prompts: Sequence[str], *, method: Literal["gradcam", "rollout"], label: int | None
) -> tuple[Float[np.ndarray, "T H W"], Float[np.ndarray, " C"]]:
    """Return a student's map, of class `own` or else of the one it predicts, and its cosines."""
    import torch

    from ski_lvlm.dual_encoders.attention_maps import gradcam, rollout

    student, video = model.student, clip.video.to(model.device)
    with torch.no_grad():
        similarity = student(video[None], prompts).similarity[0].float().cpu().numpy()
    if method == "rollout":
        return rollout(student, video, prompts).cpu().numpy(), similarity
    target = int(similarity.argmax()) if label is None else label
    return gradcam(student, video, prompts, target=target).cpu().numpy(), similarity


def means(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return mean shares, and the change with its interval, over the clips of which both maps could be measured."""
    usable = [r for r in records if all(r[moment]["heat_near_joints"] is not None for moment in BEFORE_AFTER)]
    if not usable:
        return None
    area = np.array([r["area_near_joints"] for r in usable])
    before, after = (np.array([r[moment]["heat_near_joints"] for r in usable]) for moment in BEFORE_AFTER)
    return {
        "clips": len(usable),
        "area_near_joints": float(area.mean()),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "change": float((after - before).mean()),
        "change_interval": list(interval_within([(after - before).tolist()], [1.0])),
    }


def markdown(summary: dict[str, Any]) -> str:
    """Return a line for each clip and one for the mean, or why there are no numbers."""
    mean = summary["means"]
    if mean is None:
        return "no clip has joints: there are no .skeleton files beside these videos, so the heat is not measured"
    rows = [
        [
            f"{r['clip']} ({r['true']})",
            r["area_near_joints"],
            *(r[moment]["heat_near_joints"] for moment in BEFORE_AFTER),
        ]
        for r in summary["clips"]
    ]
    rows.append([f"**mean of {mean['clips']}**", mean["area_near_joints"], mean["before"], mean["after"]])
    head = [f"within {summary['radius']:.0f} px of a joint", "area", "heat before", "heat after"]
    cells = [[title, *(NOTHING if share is None else f"{share:.1%}" for share in shares)] for title, *shares in rows]
    low, high = mean["change_interval"]
    change = f"change {100 * mean['change']:+.1f} points, 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{grid(head, cells, words=4)}\n\n{change}"


if __name__ == "__main__":
    cli.run(main)
