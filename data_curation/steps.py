"""The three steps of curation over a folder of clips, each with its ledger: crop, caption, question-answer pairs."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from data_curation import crop
from data_curation.action_phrases import ACTION_PHRASES
from data_curation.caption import Captioner, Cropped
from data_curation.ledger import Ledger, Progress, Record, Rejected, digest, done, file_digest
from data_curation.make_qa import QaWriter
from ski_lvlm.cleaning import CLEANING, CleaningError, clean
from ski_lvlm.ntu import missing_skeletons, parse_name
from ski_lvlm.ntu_folder import skeleton_folders
from ski_lvlm.skeleton_file import SkeletonFileError, read_skeleton
from ski_lvlm.video import VideoError, list_videos

Joints = Callable[[str], Float[np.ndarray, "T M J 3"]]


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a clip's files are; None where one is absent."""

    video: Path | None
    skeleton: Path | None


def find_clips(ntu: Path) -> dict[str, Source]:
    """All clips of a folder that holds `rgb/` and `skeletons/`, by name, also those with only one of the two files.

    Files that are not named like NTU's clips are left out with a warning.

    Raises:
        ValueError: the folder holds neither.
    """
    videos = list_videos(ntu)
    skeletons = {file.stem: file for where in skeleton_folders(ntu) for file in where.glob("*.skeleton")}
    names = sorted({*videos, *skeletons})
    strange = [name for name in names if not is_clip_name(name)]
    if len(strange) == len(names):
        raise ValueError(
            f"{ntu}: found no NTU clips; expected rgb/SsssCcccPpppRrrrAaaa_rgb.avi and skeletons/*.skeleton"
        )
    if strange:
        logger.warning("%s: left out %d files without an NTU clip's name, such as %s", ntu, len(strange), strange[0])
    return {name: Source(videos.get(name), skeletons.get(name)) for name in names if name not in strange}


def is_clip_name(name: str) -> bool:
    """Whether a name is SsssCcccPpppRrrrAaaa, of an action that exists."""
    try:
        return 1 <= parse_name(name).action <= len(ACTION_PHRASES)
    except ValueError:
        return False


def crop_clips(sources: Mapping[str, Source], *, out: Path, workers: int, progress: Progress) -> dict[str, Record]:
    """Write `OUT/crops/NAME.mp4` for every clip that has video, skeleton and somebody in it."""

    def work(name: str) -> Record:
        started = time.monotonic()
        video, colour = _usable(name, sources[name])
        try:
            box, frames = crop.write_crop(video, out / "crops" / f"{name}.mp4", colour=colour)
        except (crop.CropError, VideoError) as error:
            raise Rejected(str(error)) from error
        return {"model": crop.VERSION, "box": list(box), "frames": frames, "seconds": _since(started)}

    for torn in (out / "crops").glob(".*.partial.mp4"):
        torn.unlink()
    keys = {name: digest(crop.VERSION, crop.SIZE, CLEANING, *_digests(source)) for name, source in sources.items()}
    made = {path.stem for path in (out / "crops").glob("*.mp4")}
    ledger = Ledger(out / "crops.jsonl", has_output=lambda name: name in made)
    return ledger.run(keys, work, workers=workers, progress=progress)


def _usable(name: str, source: Source) -> tuple[Path, list[Float[np.ndarray, "n J 2"]]]:
    """The video, and where in it the actors' joints are."""
    if source.video is None:
        raise Rejected("there is a skeleton but no video; add it to rgb/")
    if source.skeleton is None:
        listed = " (NTU lists this clip among those without)" if name in missing_skeletons("ntu120") else ""
        raise Rejected(f"there is a video but no skeleton{listed}, so nobody can be cut out")
    try:
        recording = read_skeleton(source.skeleton)
        actors = clean(recording).body_ids
    except (SkeletonFileError, CleaningError) as error:
        raise Rejected(str(error)) from error
    return source.video, [recording.bodies[body].colour for body in actors]


def _digests(source: Source) -> Iterable[str]:
    return (file_digest(path) if path else "absent" for path in (source.video, source.skeleton))


def skeleton_reader(sources: Mapping[str, Source], *, prepared: Path | None) -> Joints:
    """How captioners get a clip's joints: from the prepared set where given, else from the `.skeleton` file.

    Raises:
        ValueError: the prepared set is not of NTU's 25 joints.
    """
    if prepared is None:
        return lambda name: clean(read_skeleton(_file(sources[name]), joints_only=True)).joints
    from ski_lvlm.packed import PackedSkeletons

    packed = PackedSkeletons.open(prepared)
    if packed.layout.name != "ntu-25":
        raise ValueError(f"{prepared}: the joint layout is {packed.layout.name}, but motion is measured on ntu-25")

    def joints(name: str) -> Float[np.ndarray, "T M J 3"]:
        if name not in packed:
            raise Rejected(f"not in the prepared set {prepared}; run scripts/prepare_ntu.py again")
        return packed.get(name)

    return joints


def _file(source: Source) -> Path:
    if source.skeleton is None:
        raise Rejected("there is no skeleton")
    return source.skeleton


def caption_clips(
    crops: Mapping[str, Record], captioner: Captioner, *, joints: Joints, out: Path, workers: int, progress: Progress
) -> dict[str, Record]:
    """Caption every clip that has a crop."""

    def work(name: str) -> Record:
        started = time.monotonic()
        said = captioner.describe(Cropped(name, out / "crops" / f"{name}.mp4", lambda: joints(name)))
        tokens = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
        return {"model": captioner.model, "prompt": captioner.version, "caption": said.text, **tokens} | {
            "seconds": _since(started)
        }

    keys = {name: digest(captioner.model, captioner.version, record["key"]) for name, record in done(crops).items()}
    ledger = Ledger(out / "captions.jsonl")
    return ledger.run(keys, work, workers=captioner.threads or workers, progress=progress)


def write_pairs(
    captions: Mapping[str, Record], writer: QaWriter, *, out: Path, workers: int, progress: Progress
) -> dict[str, Record]:
    """Make question-answer pairs of every captioned clip."""

    def work(name: str) -> Record:
        started = time.monotonic()
        written = writer.write(name, captions[name]["caption"])._asdict()
        written["pairs"] = [pair._asdict() for pair in written["pairs"]]
        return {"model": writer.model, "prompt": writer.version, **written, "seconds": _since(started)}

    keys = {
        name: digest(writer.model, writer.version, writer.pairs_per_clip, record["caption"])
        for name, record in done(captions).items()
    }
    return Ledger(out / "qa.jsonl").run(keys, work, workers=workers, progress=progress)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
