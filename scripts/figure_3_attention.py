"""Figure 3: where a student and its SKI twin look, over the frames of given clips, with the skeleton's joints on top.

    python scripts/figure_3_attention.py --before STUDENT_DIR --after SKI_STUDENT_DIR --ntu DIR --out FILE.png \\
        [--clips NAME ...] [--measured N]

Beside the picture, FILE.json and a printed table say how much of the heat lies within --radius pixels of a joint, and
how much of the area does: maps that are sharper on the body have more heat there than area. The means are over the
clips of the picture and --measured others. All heat counts, that on the background too, which the paper disregards.

The joints are those of the clip's .skeleton file, bodies cleaned as for training; without the file they are left out.
No model sees them. A student that was merely trained on is the fairer --before: one distilled as long with --alpha 0
(and --titles). Maps are as coarse as the backbone's grid: 14 x 14 for ViT-B/16, a cell per 32 pixels of EfficientNet.

Paper: Figure 3, Appendix B (Grad-CAM of the prediction).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scripts.figure_1_embedding import spread
from scripts.figures.heat_maps import WHEN, Shown, draw_maps
from scripts.figures.planes import student_name
from ski_lvlm import cli
from ski_lvlm.datasets.ntu import class_names, clips, parse_name, split_named
from ski_lvlm.recipe import PROTOCOLS
from ski_lvlm.recognition.intervals import interval_within
from ski_lvlm.storage.files import write_json

COLOUR_WIDTH, COLOUR_HEIGHT = 1920, 1080  # of the image that a .skeleton file's colour coordinates are in
SHOWN_SIDE = 288  # of the frames in the picture, at least
PATCHES_ACROSS = 14  # of ViT-B/16: the default radius is one such patch


class Model(NamedTuple):
    """A student and what its folder says about it."""

    student: Any
    card: Any


class Clip(NamedTuple):
    """One clip as the students see it, and the joints of each person in each frame (x, y), in pixels of it."""

    name: str
    video: Any  # UInt8 [T 3 side side]
    aspect: float  # height by width before it was fitted into a square
    people: list[list[Float[np.ndarray, "J 2"]]] | None


def main(argv: Sequence[str] | None = None) -> int:
    """Map, measure, draw."""
    args = arguments(argv)
    models = [opened(folder, args.device) for folder in (args.before, args.after)]
    check_alike(models[0].card, models[1].card)
    pictured, others = chosen(args, models[1].card)
    from rich.progress import track

    shown, records = [], []
    for name in track([*pictured, *others], description=args.method, transient=True):
        clip = read_clip(args.ntu, name, models[0].card)
        maps, record = mapped(clip, models, args)
        records.append(record)
        if name in pictured:
            fine = read_frames(args.ntu, name, models[0].card, side=max(SHOWN_SIDE, models[0].card.side))
            shown.append(Shown(fine.numpy(), clip.aspect, clip.people, maps, record))
    summary = {"method": args.method, "target": args.target, "radius": radius_of(args, models[0].card)}
    summary |= {"means": means(records), "clips": records}
    write_json(args.out.with_suffix(".json"), summary)
    titles = args.titles or [student_name(model.card) for model in models]
    draw_maps(shown, titles=titles, path=args.out, columns=args.columns)
    print(markdown(summary))
    print(f"\n{args.out}: {len(shown)} clips; {args.out.with_suffix('.json')}: {len(records)} clips")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--before", type=Path, required=True, help="student before SCD: output of --stage video_finetune")
    add("--after", type=Path, required=True, help="the same student after SCD: output of --stage distill")
    add("--ntu", type=Path, required=True, help="folder with rgb/ and, for the joints, .skeleton files")
    add("--out", type=Path, required=True, help="picture to write; the numbers go beside it as .json")
    add("--clips", nargs="+", default=None, help="clips of the picture; default: three unseen test clips")
    add("--method", choices=("gradcam", "rollout"), default="gradcam", help="rollout needs a CLIP or SigLIP backbone")
    add("--target", choices=("predicted", "true"), default="predicted", help="the class that Grad-CAM asks for")
    add("--measured", type=int, default=24, help="further unseen test clips that count in the means")
    add("--radius", type=float, default=None, help="near a joint: pixels of the student's frames; default: side / 14")
    add("--columns", type=int, default=6, help="frames of a clip that are shown, at most")
    add("--protocol", choices=PROTOCOLS, default="xsub", help="which clips are NTU's test clips")
    add("--titles", nargs=2, default=None, help="what to call the two students; default: their names in the paper")
    add("--device", default=None, help="default: the GPU where there is one")
    args = parser.parse_args(argv)
    if args.out.suffix.lower() != ".png":
        parser.error(f"--out is the picture's file and ends in .png, found {args.out}")
    return args


def opened(folder: Path, device: str | None) -> Model:
    """A student on its device."""

    from ski_lvlm.dual_encoders.checkpoints import load_student

    student, card = load_student(folder)
    return Model(student.to(cli.device(device)), card)


def check_alike(before: Any, after: Any) -> None:  # noqa: ANN401
    """Both students must see the same frames.

    Raises:
        ValueError: they do not.
    """
    for key in ("num_frames", "side", "framing", "split"):
        if getattr(before, key) != getattr(after, key):
            raise ValueError(
                f"the students differ in {key}: {getattr(before, key)} before and {getattr(after, key)} after; "
                "--after must come from a distill run that started from --before, or had the same settings"
            )


def chosen(args: argparse.Namespace, card: Any) -> tuple[list[str], list[str]]:  # noqa: ANN401
    """The clips of the picture, and those that only count.

    Raises:
        ValueError: the folder has no unseen test clips and none were given.
    """
    from ski_lvlm.storage.clip_names import clip_name
    from ski_lvlm.videos.folder import list_videos

    split = split_named(card.split)
    unseen = clips(list_videos(args.ntu), split=split, protocol=args.protocol, part="unseen_test")
    if not unseen and not args.clips:
        raise ValueError(f"{args.ntu} has no unseen test clips of {split.name}; name some with --clips")
    pictured = [clip_name(name) for name in args.clips] if args.clips else spread(unseen, 3)
    return pictured, spread([name for name in unseen if name not in pictured], args.measured)


def read_clip(ntu: Path, name: str, card: Any) -> Clip:  # noqa: ANN401
    """The frames that the students see, and the joints in the same pixels."""
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
    """The moments that a student sees, in any size."""
    from ski_lvlm.videos.decoding import read_moments
    from ski_lvlm.videos.folder import find_video
    from ski_lvlm.videos.frame_cache import segment_moments

    moments = segment_moments(card.num_frames, start=0.0, stop=1.0)
    return read_moments(find_video(ntu, name), moments=moments, side=side, framing=card.framing)


def joints_of(
    ntu: Path, name: str, frames: Int[np.ndarray, " T"], *, box: Float[np.ndarray, " 4"], side: int
) -> list[list[Float[np.ndarray, "J 2"]]] | None:
    """Joints (x, y) of everyone in each of `frames`, in pixels of a square that shows `box` (shares of the image).

    None if there is no .skeleton file, or nobody in it. Joints that the Kinect could not place in the image are NaN.
    """
    from ski_lvlm.datasets.ntu_folder import skeleton_folders
    from ski_lvlm.skeletons.cleaning import CleaningError, clean
    from ski_lvlm.skeletons.ntu_file import read_skeleton

    file = next((f for folder in skeleton_folders(ntu) if (f := folder / f"{name}.skeleton").is_file()), None)
    if file is None:
        return None
    recording = read_skeleton(file)
    try:
        tracks = [recording.bodies[body] for body in clean(recording).body_ids]
    except CleaningError:
        return None
    size = np.array([COLOUR_WIDTH, COLOUR_HEIGHT])
    return [
        [(t.colour[at[0]] / size - box[:2]) / (box[2:] - box[:2]) * side for t in tracks if len(at := seen_at(t, f))]
        for f in frames
    ]


def seen_at(track: Any, frame: int) -> Int[np.ndarray, " n"]:  # noqa: ANN401
    """The row of a frame in a body's track; none if the body is not in the frame."""
    return np.flatnonzero(track.frames == frame)


def mapped(clip: Clip, models: Sequence[Model], args: argparse.Namespace) -> tuple[list[Any], dict[str, Any]]:
    """Each student's heat over the clip, and the numbers that go with it."""
    action = parse_name(clip.name).action
    actions = candidates(models[0].card.split, action)
    names = class_names(actions=actions)
    own = actions.index(action)
    record: dict[str, Any] = {"clip": clip.name, "true": names[own]}
    near = near_joints(clip, radius_of(args, models[0].card))
    record["area_near_joints"] = None if near is None else float(near.mean())
    maps = []
    for when, model in zip(WHEN, models, strict=True):
        heat, similarity = heat_of(clip, model, actions, method=args.method, own=own if args.target == "true" else None)
        predicted = int(similarity.argmax())
        maps.append(heat)
        record[when] = {
            "predicted": names[predicted],
            "right": predicted == own,
            "similarity": {n: round(float(s), 4) for n, s in zip(names, similarity, strict=True)},
            "heat_near_joints": None if near is None else near_share(heat, clip, near),
        }
    return maps, record


def candidates(split_name: str, action: int) -> tuple[int, ...]:
    """The classes a clip is recognised among: the unseen ones for an unseen clip, else the seen ones.

    Raises:
        ValueError: the split has no such action.
    """
    split = split_named(split_name)
    for actions in (split.unseen, split.seen):
        if action in actions:
            return actions
    raise ValueError(f"A{action} is no action of {split.name}; choose clips of its actions")


def heat_of(
    clip: Clip, model: Model, actions: Sequence[int], *, method: Literal["gradcam", "rollout"], own: int | None
) -> tuple[Float[np.ndarray, "T H W"], Float[np.ndarray, " C"]]:
    """A student's map, of class `own` or else of the one it predicts, and its cosines."""
    import torch

    from scripts.figures.attention_maps import gradcam, rollout
    from ski_lvlm.recognition.classes import class_prompts

    student, card = model
    prompts = class_prompts(class_names(card.names, actions=actions), template=card.prompt)
    video = clip.video.to(next(student.parameters()).device)
    with torch.no_grad():
        similarity = student(video[None], prompts).similarity[0].float().cpu().numpy()
    if method == "rollout":
        return rollout(student, video, prompts).cpu().numpy(), similarity
    target = int(similarity.argmax()) if own is None else own
    return gradcam(student, video, prompts, target=target).cpu().numpy(), similarity


def radius_of(args: argparse.Namespace, card: Any) -> float:  # noqa: ANN401
    """How many pixels from a joint are near it."""
    return args.radius if args.radius is not None else card.side / PATCHES_ACROSS


def near_joints(clip: Clip, radius: float) -> Any:  # noqa: ANN401  # Bool [T' H W] of the frames with somebody in them
    """The pixels near a joint, in the frames that have any; None where no frame has."""
    from scripts.figures.attention_maps import discs

    if not clip.people or not any(clip.people):
        return None
    points = [np.concatenate(people) for people in clip.people if people]
    return discs([p[np.isfinite(p).all(1)] for p in points], size=tuple(clip.video.shape[-2:]), radius=radius)


def near_share(heat: Float[np.ndarray, "T H W"], clip: Clip, near: Any) -> float | None:  # noqa: ANN401
    """The share of the heat near joints, in the frames that have any; None without heat."""
    from scripts.figures.attention_maps import share_inside

    return share_inside(heat[[bool(people) for people in clip.people or ()]], near)


def means(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Over the clips for which both maps could be measured: mean shares, and the change with its 95 % interval."""
    usable = [r for r in records if all(r[when]["heat_near_joints"] is not None for when in WHEN)]
    if not usable:
        return None
    area = np.array([r["area_near_joints"] for r in usable])
    before, after = (np.array([r[when]["heat_near_joints"] for r in usable]) for when in WHEN)
    interval = interval_within([(after - before).tolist()], [1.0])
    return {
        "clips": len(usable),
        "area_near_joints": float(area.mean()),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "change": float((after - before).mean()),
        "change_interval": list(interval),
    }


def markdown(summary: dict[str, Any]) -> str:
    """A line for each clip and one for the mean, or why there are no numbers."""
    if summary["means"] is None:
        return "no clip has joints: there are no .skeleton files beside these videos, so the heat is not measured"
    lines = [
        f"| within {summary['radius']:.0f} px of a joint | area | heat before | heat after |",
        "|---|---|---|---|",
    ]
    for record in summary["clips"]:
        cells = [record["area_near_joints"], *(record[when]["heat_near_joints"] for when in WHEN)]
        lines.append(f"| {record['clip']} ({record['true']}) | {' | '.join(map(_percent, cells))} |")
    mean = summary["means"]
    cells = [mean["area_near_joints"], mean["before"], mean["after"]]
    lines.append(f"| **mean of {mean['clips']}** | {' | '.join(map(_percent, cells))} |")
    low, high = mean["change_interval"]
    change = f"change {100 * mean['change']:+.1f} points, 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]"
    return "\n".join([*lines, "", change])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    cli.run(main)
