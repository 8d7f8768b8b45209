"""The three steps of curation over a folder of clips, each with its ledger: crop, caption, question-answer pairs."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_curation.asking.batches import BatchQueue, StillRunning
from data_curation.asking.budget import BudgetSpent
from data_curation.asking.estimate import SAMPLE, Estimate, estimate_captions, estimate_pairs
from data_curation.captioning.action_names import usual_sentence
from data_curation.captioning.captioner import Captioner, CroppedClip
from data_curation.cropping.boxes import CropError
from data_curation.cropping.crop import write_crop
from data_curation.cropping.crop_settings import CropSettings
from data_curation.cropping.locate import Locator
from data_curation.input_digests import InputDigests
from data_curation.joint_readers import JointReader, MotionText
from data_curation.ledger import Ledger, Progress, Record, Rejected, done
from data_curation.questions.make_qa import CaptionedClip, QaWriter
from data_curation.questions.pairs import Pair
from data_curation.sources import SourceClip
from ski_lvlm.servers.client import ServerNotRunning
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.shards import WHOLE, Shard
from ski_lvlm.videos.folder import VideoError

_CROP_FACTS = ("key", "found_by", "box")  # what a caption depends on of a crop
_USUAL_CAPTION = "A person does something. " * 24  # about as long as CogVLM's
Announce = Callable[[Estimate], None]


@dataclass(frozen=True)
class CurationRun:
    """The output folder, the shard and the number of workers of a run.

    `announce` gets estimates before models are asked. With `only_estimate` they are not asked.
    """

    out: Path
    workers: int
    shard: Shard = WHOLE
    announce: Announce = lambda estimate: None
    only_estimate: bool = False


class OnlyEstimated(ValueError):
    """The end of a run with `only_estimate`."""


class StepResult(NamedTuple):
    """The record of each clip, and the reason for an early stop, if any."""

    records: dict[str, Record]
    stopped: str | None = None


def crop_clips(
    run: CurationRun, sources: Mapping[str, SourceClip], *, settings: CropSettings, locator: Locator, progress: Progress
) -> StepResult:
    """Write `OUT/crops/NAME.mp4` for every clip with a video and a person, unless the settings want no crops."""
    crops = run.out / "crops"

    def work(name: str) -> Record:
        start = time.monotonic()
        source, video = sources[name], sources[name].video
        if video is None:
            raise Rejected(
                f"there is {'a skeleton but ' * bool(source.skeleton)}no video; add it to rgb/ or to the table"
            )
        try:
            boxes, found_by = locator.locate(source, video)
            if settings.mode == "none":
                return _whole(settings, found_by, locator, start)
            crop = write_crop(
                video.path,
                crops / f"{name}.mp4",
                boxes=boxes,
                settings=settings,
                is_kinect=source.is_kinect,
                span=video.span,
            )
        except (CropError, VideoError) as error:
            raise Rejected(str(error)) from error
        facts = {"box": list(crop.box), "frames": crop.frames, "found_by": found_by, "bytes": _size(crops, name)}
        if found_by != "skeleton":
            facts["otherwise"] = locator.otherwise
        return {"model": settings.version, **facts, "seconds": _seconds_since(start)}

    def enough(record: Record) -> bool:
        return record.get("otherwise", locator.otherwise) == locator.otherwise

    before = _crops_before(run, crops)
    with InputDigests(run.out, shard=run.shard) as inputs:
        files = {name: _files(source) for name, source in sources.items()}
        inputs.read((file for pair in files.values() for file in pair), workers=run.workers)
        keys = {
            name: digest(settings.version, CLEANING, *map(inputs.of, files[name]), *source.facts)
            for name, source in sources.items()
        }
    ledger = Ledger(
        run.out,
        "crops",
        shard=run.shard,
        has_output=lambda record: before.get(record["name"], 0) == record["bytes"],
    )
    return StepResult(ledger.run(keys, work, workers=run.workers, progress=progress, enough=enough))


def _whole(settings: CropSettings, found_by: str, locator: Locator, start: float) -> Record:
    """Return the record of a clip that is not cropped."""
    facts = {"box": list[int](), "frames": None, "found_by": found_by, "bytes": 0, "otherwise": locator.otherwise}
    return {"model": settings.version, **facts, "seconds": _seconds_since(start)}


def _files(source: SourceClip) -> tuple[Path | None, Path | None]:
    return source.video.path if source.video else None, source.skeleton


def _crops_before(run: CurationRun, crops: Path) -> dict[str, int]:
    """Return the sizes of the crops by clip, and remove those that a crash has left half-written."""
    sizes = {}
    for file in crops.rglob("*.mp4"):
        name = file.relative_to(crops).with_suffix("").as_posix()
        if file.name.startswith(".") and file.name.endswith(".partial.mp4"):
            stem = file.name[1:].rsplit(".", maxsplit=3)[0]  # before the writer and .partial.mp4
            if run.shard.holds(file.relative_to(crops).with_name(stem).as_posix()):
                file.unlink()
        else:
            sizes[name] = file.stat().st_size
    return sizes


def _size(crops: Path, name: str) -> int:
    # Distinguishes a crop from one with other settings that a crashed run has left under the same name.
    return (crops / f"{name}.mp4").stat().st_size


def caption_clips(
    run: CurationRun,
    crops: Mapping[str, Record],
    captioner: Captioner,
    *,
    sources: Mapping[str, SourceClip],
    joints: JointReader,
    progress: Progress,
) -> StepResult:
    """Caption every clip that has a crop."""

    def work(name: str) -> Record:
        start = time.monotonic()
        crop = run.out / "crops" / f"{name}.mp4"
        caption = captioner.describe(CroppedClip(name, crop, sources[name].action, lambda: joints.read(name)))
        tokens = {"prompt_tokens": caption.prompt_tokens, "completion_tokens": caption.completion_tokens}
        facts = {"model": captioner.model, "prompt": captioner.version, "caption": caption.text, "cut": caption.cut}
        return {**facts, **tokens, "seconds": _seconds_since(start)}

    def measured(name: str) -> tuple[object, ...]:
        return (joints.version, usual_sentence(sources[name].action)) if captioner.measures else ("not measured",)

    keys = {
        name: digest(captioner.model, captioner.version, *measured(name), *(record[fact] for fact in _CROP_FACTS))
        for name, record in done(crops).items()
    }
    ledger, asker = Ledger(run.out, "captions", shard=run.shard), captioner.asker
    pictures = captioner.pictures
    estimate = None if asker is None else (lambda names: estimate_captions(asker, len(names), pictures=pictures))
    workers = captioner.threads or run.workers

    def all_clips() -> None:
        failed = _sample_first(run, ledger, keys, work, estimate=estimate)
        ledger.run(_without(keys, failed), work, workers=workers, progress=progress)

    return _until_stopped(ledger, keys, all_clips)


def not_rejected(names: Iterable[str], *steps: StepResult) -> list[str]:
    """Return the clips that may still get pairs, also those of other shards."""
    rejected = {name for step in steps for name, record in step.records.items() if record["status"] == "rejected"}
    return [name for name in names if name not in rejected]


def assumed(captions: StepResult) -> dict[str, Record]:
    """Return the captions, with one of a usual length for clips without, for estimates."""
    usual = {"caption": _USUAL_CAPTION, "key": "", "status": "done"}
    return {
        n: r if r["status"] == "done" else {**r, **usual}
        for n, r in captions.records.items()
        if r["status"] != "rejected"
    }


@dataclass(frozen=True)
class PairPlan:
    """The number of pairs of each clip, their writer, and the measured motion that it gets.

    Requests wait for batches in `queue`, or are sent at once without one.
    """

    writer: QaWriter
    shares: Mapping[str, int]
    motion: MotionText | None = None
    queue: BatchQueue | None = None


def write_pairs(
    run: CurationRun, captions: Mapping[str, Record], planned: PairPlan, *, progress: Progress
) -> StepResult:
    """Write question-answer pairs of every captioned clip with a share, in addition to existing ones."""
    writer, ledger, queue = planned.writer, Ledger(run.out, "qa", shard=run.shard), planned.queue
    motion = planned.motion
    keys = {
        name: digest(
            writer.model, writer.version, record["caption"], *((record["key"], motion.version) if motion else ())
        )
        for name, record in done(captions).items()
        if planned.shares[name]
    }

    def clip(name: str) -> CaptionedClip:
        return CaptionedClip(name, captions[name]["caption"], motion.describe(name) if motion else "")

    def work(name: str) -> Record:
        start = time.monotonic()
        earlier = _existing(ledger.find(name, key=keys[name]))
        result = writer.write(clip(name), planned.shares[name], [Pair(**pair) for pair in earlier["pairs"]])
        facts = {"model": writer.model, "prompt": writer.version, "asked": planned.shares[name]}
        return {**facts, **_added(earlier, result.record()), "seconds": _seconds_since(start)}

    def enough(record: Record) -> bool:
        return record["status"] == "rejected" or record["asked"] >= planned.shares[record["name"]]

    def estimate(names: Sequence[str]) -> Estimate:
        assert writer.asker
        return estimate_pairs(writer.asker, names, clip=clip, shares=planned.shares, kinds=writer.kinds)

    def all_clips() -> None:
        if queue and writer.asker:
            _announce(run, estimate, ledger.unfinished(keys, enough=enough))
            queue.work_off(ledger, keys, work, asker=writer.asker, enough=enough, progress=progress)
        else:
            failed = _sample_first(run, ledger, keys, work, estimate=estimate if writer.asker else None, enough=enough)
            ledger.run(_without(keys, failed), work, workers=run.workers, progress=progress, enough=enough)

    return _until_stopped(ledger, keys, all_clips)


def _existing(record: Record | None) -> Record:
    """Return the pairs that a clip has, with their cost."""
    if record and record["status"] == "done":
        return record
    return {"pairs": [], "rejects": [], "requests": 0, "prompt_tokens": 0, "completion_tokens": 0}


def _added(earlier: Record, new: Record) -> Record:
    """Return `new`, whose pairs include the earlier ones, with the earlier costs and rejects added."""
    return {field: value if field == "pairs" else earlier[field] + value for field, value in new.items()}


def _sample_first(
    run: CurationRun,
    ledger: Ledger,
    keys: Mapping[str, str],
    work: Callable[[str], Record],
    *,
    estimate: Callable[[Sequence[str]], Estimate] | None,
    enough: Callable[[Record], bool] = lambda record: True,
) -> set[str]:
    """Announce an estimate, process a few of many clips, and announce a better one.

    Returns those of the few that failed, which are left to the next run.
    """
    if estimate is None:
        return set()
    todo = ledger.unfinished(keys, enough=enough)
    _announce(run, estimate, todo)
    if len(todo) > 2 * SAMPLE:
        first = todo[:: len(todo) // SAMPLE][:SAMPLE]
        done_first = ledger.run({name: keys[name] for name in first}, work, workers=run.workers, enough=enough)
        run.announce(estimate([name for name in todo if name not in done_first]))
        return {name for name, record in done_first.items() if record["status"] == "failed"}
    return set()


def _without(keys: Mapping[str, str], names: set[str]) -> dict[str, str]:
    return {name: key for name, key in keys.items() if name not in names}


def _announce(run: CurationRun, estimate: Callable[[Sequence[str]], Estimate], todo: Sequence[str]) -> None:
    if todo:
        run.announce(estimate(todo))
    if run.only_estimate:
        raise OnlyEstimated("nothing was asked (--estimate)")


def _until_stopped(ledger: Ledger, keys: Mapping[str, str], work: Callable[[], None]) -> StepResult:
    """Work, and return the records also if the budget, open batches, a server or `only_estimate` ends it."""
    try:
        work()
    except (BudgetSpent, StillRunning, OnlyEstimated, ServerNotRunning) as stop:
        return StepResult(ledger.records(keys), str(stop))
    return StepResult(ledger.records(keys))


def _seconds_since(start: float) -> float:
    return round(time.monotonic() - start, 3)
