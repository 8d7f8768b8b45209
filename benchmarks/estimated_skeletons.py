"""Compare BlazePose's skeletons with the Kinect's, on clips that have a video and a .skeleton file.

    python -m benchmarks.estimated_skeletons --ntu DIR --clips 20

Each frame's twelve shared joints (shoulders, elbows, wrists, hips, knees, ankles) are laid on the Kinect's by the best
rotation, shift and scale, never by a mirror. The distance is the mean over joints and frames. The Kinect's pictures are
mirrored, so BlazePose calls its left joints right: both namings are measured. A second is one of one core.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ski_lvlm import cli

_PARTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


def aligned(points: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Move `points` onto `target` by rotation, shift and scale (least squares, Umeyama 1991)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, v = np.linalg.svd(a.T @ b)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ v))])
    return (s * signs).sum() / (a**2).sum() * a @ (u * signs) @ v + target.mean(0)


def distances(
    joints: Float[np.ndarray, "T M 33 3"],
    kinect: Float[np.ndarray, "n 25 3"],
    frames: Sequence[int],
    *,
    is_swapped: bool,
) -> list[float]:
    """Return the mean distance in cm of the nearest estimated person in each frame that has one.

    Joints that are absent in either are left out. A frame with fewer than six does not count.
    """
    from ski_lvlm.skeletons.layouts import LAYOUTS

    blazepose, ntu = LAYOUTS["blazepose-33"].joints, LAYOUTS["ntu-25"].joints
    sides = {"left": "right", "right": "left"} if is_swapped else {"left": "left", "right": "right"}
    names = [(f"{side} {part}", f"{sides[side]} {part}") for side in sides for part in _PARTS]
    i, j = [blazepose.index(name) for name, _ in names], [ntu.index(name) for _, name in names]
    results = []
    for number, target in zip(frames, kinect[:, j].astype(np.float64)):
        persons = joints[number][:, i].astype(np.float64)
        is_shared = ~np.isnan(persons).any(-1) & ~np.isnan(target).any(-1)
        errors = [
            np.linalg.norm(aligned(person[each], target[each]) - target[each], axis=-1).mean()
            for person, each in zip(persons, is_shared)
            if each.sum() >= len(names) // 2
        ]
        results += [100 * float(min(errors))] if errors else []
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Estimate, compare, and print a table."""
    parser = cli.parser(__doc__ or "")
    parser.add_argument("--ntu", type=Path, required=True, help="folder with videos and .skeleton files")
    parser.add_argument("--clips", type=cli.positive, default=20, help="clips, evenly spaced over the sorted names")
    args = parser.parse_args(argv)
    from ski_lvlm.datasets.ntu_folder import find_files
    from ski_lvlm.estimation.blazepose import BlazePoseEstimator
    from ski_lvlm.estimation.estimate import estimate_clip
    from ski_lvlm.skeletons.ntu_file import read_skeleton
    from ski_lvlm.videos.folder import VideoClip, list_videos

    videos, skeletons = list_videos(args.ntu), find_files(args.ntu).skeletons
    names = sorted(videos.keys() & skeletons.keys())
    names = [names[k * len(names) // min(args.clips, len(names))] for k in range(min(args.clips, len(names)))]
    estimator, seconds, frames, peopled, absent = BlazePoseEstimator(), 0.0, 0, 0, []
    results: dict[bool, list[float]] = {False: [], True: []}
    with cli.progress("clips", total=len(names)) as advance:
        for name in names:
            start = time.process_time()
            estimate = estimate_clip(VideoClip(videos[name]), estimator)
            seconds += time.process_time() - start
            is_there = ~np.isnan(estimate.confidence).all(axis=2)
            frames, peopled = frames + len(is_there), peopled + int(is_there.any(axis=1).sum())
            with np.errstate(invalid="ignore"):
                is_sure = estimate.confidence >= estimator.min_confidence
            absent.append(1 - float(is_sure[is_there].mean()) if is_there.any() else 1.0)
            joints = np.where(is_sure[..., None], estimate.joints, np.nan)
            for body in read_skeleton(skeletons[name], joints_only=True).bodies.values():
                rows = [row for row, number in enumerate(body.frames.tolist()) if number < len(joints)]
                for is_swapped, values in results.items():
                    values += distances(joints, body.joints[rows], body.frames[rows].tolist(), is_swapped=is_swapped)
            advance(1)
    print(f"{len(names)} clips, {frames} frames, {estimator.model}")
    print(f"frames with a person: {found / frames:.1%}, absent joints: {np.mean(absent):.1%}")
    print(f"frames a second of one core, decoding included: {frames / seconds:.1f}")
    for is_swapped, values in results.items():
        naming = "sides swapped" if is_swapped else "sides as named"
        print(f"{naming}: mean {np.mean(values):.1f} cm, median {np.median(values):.1f} cm ({len(values)} frames)")
    return 0


if __name__ == "__main__":
    cli.run(main)
