"""The three steps of curation over a folder of clips, each with its ledger: crop, caption, question-answer pairs."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from data_curation.asking.batches import BatchDesk, StillRunning
from data_curation.asking.estimate import SAMPLE, Estimate, estimate_captions, estimate_pairs
from data_curation.asking.purse import BudgetSpent
from data_curation.captioning.caption import Captioner, Cropped
from data_curation.cropping.boxes import CropError
from data_curation.cropping.crop import write_crop
from data_curation.cropping.crop_settings import CropSettings
from data_curation.cropping.locate import Locator
from data_curation.input_digests import InputDigests
from data_curation.ledger import Ledger, Progress, Record, Rejected, done
from data_curation.questions.make_qa import CaptionedClip, QaWriter
from data_curation.questions.pairs import Pair
from data_curation.sources import Joints, Motion, Source
from ski_lvlm.servers.client import ServerNotRunning
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.storage.digests import digest
from ski_lvlm.storage.shards import WHOLE, Shard
from ski_lvlm.videos.folder import VideoError

_SHOWN = ("key", "found_by", "box")  # what a caption depends on of a crop
_USUAL_CAPTION = "A person does something. " * 24  # about as long as CogVLM's
Announce = Callable[[Estimate], None]


@dataclass(frozen=True)
class Run:
    """Where a run writes, which part of the clips is its own, and how many it works on at a time.

    `announce` is told what asking will take, before it is done; with `only_estimate` it is not done.
    """

    out: Path
    workers: int
    shard: Shard = WHOLE
    announce: Announce = lambda estimate: None
    only_estimate: bool = False


class NothingAsked(ValueError):
    """Only an estimate was wanted."""


class Step(NamedTuple):
    """What became of each clip, and why the step stopped before its end, if it did."""

    records: dict[str, Record]
    stopped: str | None = None


def crop_clips(
    run: Run, sources: Mapping[str, Source], *, settings: CropSettings, locator: Locator, progress: Progress
) -> Step:
    """Write `OUT/crops/NAME.mp4` for every clip that has video and somebody in it."""
    crops = run.out / "crops"

    def work(name: str) -> Record:
        started = time.monotonic()
        video = sources[name].video
        if video is None:
            raise Rejected("there is a skeleton but no video; add it to rgb/")
        try:
            boxes, found_by = locator.locate(name, video, sources[name].skeleton)
            made = write_crop(video, crops / f"{name}.mp4", boxes=boxes, settings=settings)
        except (CropError, VideoError) as error:
            raise Rejected(str(error)) from error
        facts = {"box": list(made.box), "frames": made.frames, "found_by": found_by, "bytes": _size(crops, name)}
        if found_by != "skeleton":
            facts["otherwise"] = locator.otherwise
        return {"model": settings.version, **facts, "seconds": _since(started)}

    def enough(record: Record) -> bool:
        return record.get("otherwise", locator.otherwise) == locator.otherwise

    for torn in crops.glob(".*.partial.mp4"):
        if run.shard.holds(torn.name[1:].partition(".")[0]):
            torn.unlink()
    with InputDigests(run.out, shard=run.shard) as inputs:
        inputs.read((file for source in sources.values() for file in source), workers=run.workers)
        keys = {name: digest(settings.version, CLEANING, *map(inputs.of, source)) for name, source in sources.items()}
    before = {file.name: file.stat().st_size for file in os.scandir(crops)} if crops.is_dir() else {}
    ledger = Ledger(
        run.out,
        "crops",
        shard=run.shard,
        has_output=lambda record: before.get(f"{record['name']}.mp4") == record["bytes"],
    )
    return Step(ledger.run(keys, work, workers=run.workers, progress=progress, enough=enough))


def _size(crops: Path, name: str) -> int:
    """Of a crop: tells it from one with other settings that a killed run left under the same name."""
    return (crops / f"{name}.mp4").stat().st_size


def caption_clips(
    run: Run, crops: Mapping[str, Record], captioner: Captioner, *, joints: Joints, progress: Progress
) -> Step:
    """Caption every clip that has a crop."""

    def work(name: str) -> Record:
        started = time.monotonic()
        said = captioner.describe(Cropped(name, run.out / "crops" / f"{name}.mp4", lambda: joints.read(name)))
        tokens = {"prompt_tokens": said.prompt_tokens, "completion_tokens": said.completion_tokens}
        facts = {"model": captioner.model, "prompt": captioner.version, "caption": said.text, "cut": said.cut}
        return {**facts, **tokens, "seconds": _since(started)}

    measured = joints.version if captioner.measures else "not measured"
    keys = {
        name: digest(captioner.model, captioner.version, measured, *(record[fact] for fact in _SHOWN))
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


def not_rejected(names: Iterable[str], *steps: Step) -> list[str]:
    """The clips that may still get pairs; clips of other shards are among them."""
    lost = {name for step in steps for name, record in step.records.items() if record["status"] == "rejected"}
    return [name for name in names if name not in lost]


def assumed(captions: Step) -> dict[str, Record]:
    """The captions, and where there is none yet one of a usual length, for estimates alone."""
    usual = {"caption": _USUAL_CAPTION, "key": "", "status": "done"}
    return {
        n: r if r["status"] == "done" else {**r, **usual}
        for n, r in captions.records.items()
        if r["status"] != "rejected"
    }


@dataclass(frozen=True)
class Wanted:
    """How many pairs of which clips, who writes them, and whether the writer is told of the measured motion.

    `desk` is where requests wait for batches; None asks at once.
    """

    writer: QaWriter
    shares: Mapping[str, int]
    motion: Motion | None = None
    desk: BatchDesk | None = None


def write_pairs(run: Run, captions: Mapping[str, Record], wanted: Wanted, *, progress: Progress) -> Step:
    """Make question-answer pairs of every captioned clip that has a share; what was made before is added to."""
    writer, ledger, desk = wanted.writer, Ledger(run.out, "qa", shard=run.shard), wanted.desk
    motion = wanted.motion
    keys = {
        name: digest(
            writer.model, writer.version, record["caption"], *((record["key"], motion.version) if motion else ())
        )
        for name, record in done(captions).items()
        if wanted.shares[name]
    }

    def clip(name: str) -> CaptionedClip:
        return CaptionedClip(name, captions[name]["caption"], motion.tell(name) if motion else "")

    def work(name: str) -> Record:
        started = time.monotonic()
        earlier = _done_before(ledger.find(name, key=keys[name]))
        made = writer.write(clip(name), wanted.shares[name], [Pair(**pair) for pair in earlier["pairs"]])
        facts = {"model": writer.model, "prompt": writer.version, "asked": wanted.shares[name]}
        return {**facts, **_added(earlier, made.record()), "seconds": _since(started)}

    def enough(record: Record) -> bool:
        return record["status"] == "rejected" or record["asked"] >= wanted.shares[record["name"]]

    def estimate(names: Sequence[str]) -> Estimate:
        assert writer.asker
        return estimate_pairs(writer.asker, names, clip=clip, shares=wanted.shares, kinds=writer.kinds)

    def all_clips() -> None:
        if desk and writer.asker:
            _announce(run, estimate, ledger.unfinished(keys, enough=enough))
            desk.work_off(ledger, keys, work, asker=writer.asker, enough=enough, progress=progress)
        else:
            failed = _sample_first(run, ledger, keys, work, estimate=estimate if writer.asker else None, enough=enough)
            ledger.run(_without(keys, failed), work, workers=run.workers, progress=progress, enough=enough)

    return _until_stopped(ledger, keys, all_clips)


def _done_before(record: Record | None) -> Record:
    """The pairs that a clip has, with what they cost; a clip that has none is begun anew."""
    if record and record["status"] == "done":
        return record
    return {"pairs": [], "rejects": [], "requests": 0, "prompt_tokens": 0, "completion_tokens": 0}


def _added(earlier: Record, made: Record) -> Record:
    """`made` with the costs and rejects of before; its pairs hold the earlier ones already."""
    return {field: value if field == "pairs" else earlier[field] + value for field, value in made.items()}


def _sample_first(
    run: Run,
    ledger: Ledger,
    keys: Mapping[str, str],
    work: Callable[[str], Record],
    *,
    estimate: Callable[[Sequence[str]], Estimate] | None,
    enough: Callable[[Record], bool] = lambda record: True,
) -> set[str]:
    """Before a language model is asked about many clips: tell what it will take, do a few, tell what these took.

    Returns those of the few that failed: they are left to the next run.
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


def _announce(run: Run, estimate: Callable[[Sequence[str]], Estimate], todo: Sequence[str]) -> None:
    if todo:
        run.announce(estimate(todo))
    if run.only_estimate:
        raise NothingAsked("nothing was asked (--estimate)")


def _until_stopped(ledger: Ledger, keys: Mapping[str, str], work: Callable[[], None]) -> Step:
    """Work, and give what is there if there is no more money, batches are under way, or only an estimate is wanted."""
    try:
        work()
    except (BudgetSpent, StillRunning, NothingAsked, ServerNotRunning) as stop:
        return Step(ledger.records(keys), str(stop))
    return Step(ledger.records(keys))


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
