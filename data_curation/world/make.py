"""The files of the world: a video and a `.skeleton` file for each clip, and the facts of all of them."""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from data_curation.synthetic.sensor import record
from data_curation.synthetic.video_file import write_video
from data_curation.world.actions import ACTIONS
from data_curation.world.clips import Settings, Take, clip_names, take
from data_curation.world.facts import facts_of
from data_curation.world.film import film
from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.skeletons.ntu_file import Recording, write_skeleton
from ski_lvlm.storage.files import atomic_path, write_json

FACTS = "facts.jsonl"
NOTE = "synthesis.json"
_SENSOR = 210
_VERSION = 1
_GHOST_WIDTH = 4.0  # such ghosts are recognised from every side


def make_clip(clip: ClipName, *, out: Path, settings: Settings) -> tuple[bool, dict[str, Any]]:
    """Write a clip's files unless both exist, and return whether one was missing, and the facts."""
    video, skeleton = out / "rgb" / f"{clip}_rgb.avi", out / "skeletons" / f"{clip}.skeleton"
    scene = take(clip, settings=settings)
    facts = facts_of(clip, scene, settings)
    if video.exists() and skeleton.exists():
        return False, facts
    write_video(video, pictures(scene, settings), rate=scene.rate)
    recording = recorded(clip, scene, settings)
    skeleton.parent.mkdir(parents=True, exist_ok=True)
    write_skeleton(skeleton, recording)
    return True, facts


def recorded(clip: ClipName, scene: Take, settings: Settings) -> Recording:
    """Return what the sensor reports. It sees all actors, whatever stands in front, and no passers-by."""
    return record(
        scene.performance.bodies,
        name=str(clip),
        camera=scene.session.camera(len(scene.performance.bodies)),
        rng=np.random.default_rng([settings.seed, _SENSOR, *clip]),
        noise=scene.session.sensor_noise,
        ghost_width=_GHOST_WIDTH,
    )


def pictures(scene: Take, settings: Settings) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Return the frames of the video, or their central squares if the settings want these."""
    frames = film(scene.performance, session=scene.session, width=settings.width, height=settings.height)
    if not settings.is_square:
        return frames
    start = (settings.width - settings.height) // 2
    return [np.ascontiguousarray(frame[:, start : start + settings.height]) for frame in frames]


def claim(out: Path, settings: Settings) -> None:
    """Record the settings of the folder, or check that they are the same, and remove incomplete files.

    A folder may hold several difficulties. All other settings are common to its clips.

    Raises:
        ValueError: the folder was made with other settings.
    """
    for half_written in out.glob("*/.*.partial*"):
        half_written.unlink()
    note = out / NOTE
    earlier = json.loads(note.read_text(encoding="utf-8")) if note.exists() else None
    current = _settings_note(settings)
    if earlier is not None:
        levels = earlier.get("difficulties", {})
        common = {key: value for key, value in earlier.items() if key != "difficulties"}
        current["difficulties"] = {**levels, **current["difficulties"]}
        if common != {key: value for key, value in current.items() if key != "difficulties"} or any(
            current["difficulties"][level] != value for level, value in levels.items()
        ):
            raise ValueError(f"{out} was made with {earlier}, now asked for {current}; use another --out or delete it")
    write_json(note, current)


def _settings_note(settings: Settings) -> dict[str, Any]:
    difficulty = json.loads(json.dumps(vars(settings.difficulty)))
    # Folders of all actions keep the note that they had before there was a choice.
    is_choice = settings.classes != tuple(ACTIONS)
    return {
        "actions": 48,
        "seed": settings.seed,
        "size": [settings.height if settings.is_square else settings.width, settings.height],
        "fps": settings.fps,
        "num_frames": settings.num_frames,
        "actions_per_clip": settings.actions_per_clip,
        "version": _VERSION,
        **({"classes": list(settings.classes)} if is_choice else {}),
        "difficulties": {settings.level: difficulty},
    }


def make_world(out: Path, *, clips: int, settings: Settings, workers: int) -> int:
    """Make the missing clips and the facts of all, with a progress bar, and return the number of new clips."""
    import cv2
    from rich.progress import track as progress

    names = clip_names(clips, settings=settings)
    claim(out, settings)
    make = partial(make_clip, out=out, settings=settings)
    with ProcessPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        results = list(progress(pool.map(make, names, chunksize=4), total=len(names), description="synthetic clips"))
    write_facts(out / FACTS, [facts for _, facts in results])
    return sum(is_new for is_new, _ in results)


def write_facts(file: Path, facts: Sequence[dict[str, Any]]) -> None:
    """Write facts, a clip a line, after those of other clips that the file has."""
    lines = {}
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            lines[json.loads(line)["clip"]] = line
    lines |= {entry["clip"]: json.dumps(entry) for entry in facts}
    with atomic_path(file) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
