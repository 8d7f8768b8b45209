"""Running a trained model over clips: cosines with class sentences, kept on disk so that a kill loses little."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from ski_lvlm.cli import progress
from ski_lvlm.datasets.ntu import Split
from ski_lvlm.datasets.reading import batched, read_ahead
from ski_lvlm.dual_encoders.checkpoints import DESCRIPTION as STUDENT_CARD
from ski_lvlm.dual_encoders.checkpoints import WEIGHTS as STUDENT_WEIGHTS
from ski_lvlm.dual_encoders.checkpoints import StudentCard, load_student, read_student_card
from ski_lvlm.dual_encoders.skeleton_clip import DESCRIPTION as SKELETON_CARD
from ski_lvlm.dual_encoders.skeleton_clip import WEIGHTS as SKELETON_WEIGHTS
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonEncoderError, load_skeleton_clip, read_card
from ski_lvlm.encoders.text_encoder import DualEncoder, freeze
from ski_lvlm.recognition.classes import PROMPT, ClassSentences
from ski_lvlm.skeletons.packed import PackedSkeletons
from ski_lvlm.skeletons.preprocessing import Preprocessing, is_present, preprocess
from ski_lvlm.storage.digests import digest, remembered_digest
from ski_lvlm.storage.files import atomic_path
from ski_lvlm.storage.shards import WHOLE, Shard
from ski_lvlm.videos.augmentation import scaled
from ski_lvlm.videos.frame_cache import DecodedFrames, FrameCache, FrameSource

Modality = Literal["video", "skeleton"]


class RecognitionError(ValueError):
    """A model cannot be used for what is asked, or says nothing about a clip."""


@dataclass(frozen=True)
class Recogniser:
    """A frozen model, how it gets a clip, and what it was trained on."""

    modality: Modality
    model: nn.Module  # a DualEncoder with a `.temperature`
    digest: str  # of its files
    clips: Sequence[str]  # that it can read
    read: Callable[[str], Tensor]
    origin: str  # where it reads
    prompt: str
    names: str  # the spelling of class names
    seen: tuple[int, ...]
    protocol: str = "xsub"  # whose training clips it saw

    @property
    def temperature(self) -> float:
        """What cosines are divided by before a softmax."""
        return float(cast(Tensor, self.model.temperature))


def video_recogniser(folder: Path, *, videos: Path | None = None, cache: Path | None = None) -> Recogniser:
    """The student of a `video_finetune` or `distill` run; no skeleton is looked for.

    Args:
        folder: the run.
        videos: folder of the videos, or with NTU's rgb/ in it; or
        cache: folder of frames that scripts/cache_frames.py decoded.

    Raises:
        RecognitionError: the folder holds a SkeletonCLIP and no student.
        StudentError: it holds nothing usable.
        ValueError: there are no videos, or the cache holds other frames than the student was trained on.
    """
    origin = cache or videos
    if origin is None:
        raise RecognitionError("a model of videos needs --ntu DIR, the folder that holds rgb/, or --frames_cache DIR")
    if not (folder / STUDENT_CARD).is_file() and (folder / SKELETON_CARD).is_file():
        raise RecognitionError(
            f"{folder} holds a SkeletonCLIP ({SKELETON_CARD}), expected a student of videos ({STUDENT_CARD}); use "
            "--modality skeleton, or give the --output_dir of --stage video_finetune or distill"
        )
    student, card = load_student(folder)
    source = _fitting_cache(cache, card) if cache else DecodedFrames(origin, side=card.side, framing=card.framing)
    return Recogniser(
        "video",
        digest=_digest(folder / STUDENT_CARD, folder / STUDENT_WEIGHTS),
        model=freeze(student),
        clips=source.names,
        read=partial(_whole_clip, source, num_frames=card.num_frames, side=card.side),
        origin=f"{origin.resolve()} {source.num_frames if isinstance(source, FrameCache) else ''}",
        prompt=card.prompt,
        names=card.names,
        seen=card.seen,
        protocol=card.protocol,
    )


def _fitting_cache(cache: Path, card: StudentCard) -> FrameCache:
    source = FrameCache.open(cache)
    if source.framing != card.framing or source.side < card.side:
        raise RecognitionError(
            f"{cache} holds {source.framing!r} frames of {source.side} px; the student was trained on {card.framing!r} "
            f"frames of {card.side} px or more; make it again with: python scripts/cache_frames.py --framing "
            f"{card.framing} --side {card.side} --ntu DIR --out DIR"
        )
    return source


def _whole_clip(source: FrameSource, name: str, *, num_frames: int, side: int) -> UInt8[Tensor, "T 3 S S"]:
    return scaled(source.window(name, start=0.0, stop=1.0, num_frames=num_frames), side=side)


def skeleton_recogniser(folder: Path, packed: PackedSkeletons) -> Recogniser:
    """The SkeletonCLIP of a `distill` run (`skeleton_clip/` in it) or of a `skeleton_align` run.

    Raises:
        SkeletonEncoderError: there is none.
        ValueError: the packed set has another layout or cleaning than the model was trained on.
    """
    home = folder / "skeleton_clip" if (folder / "skeleton_clip").is_dir() else folder
    if not (home / SKELETON_CARD).is_file():
        raise SkeletonEncoderError(
            f"found no SkeletonCLIP in {folder}, neither {SKELETON_CARD} nor skeleton_clip/{SKELETON_CARD}; give the "
            "--output_dir of: python train_ski_vlm.py --stage skeleton_align (or distill), or use --modality video"
        )
    card = read_card(home)
    model, preprocessing = load_skeleton_clip(home)
    preprocessing.check_matches(replace(preprocessing, layout=packed.layout.name, cleaning=packed.cleaning))
    return Recogniser(
        "skeleton",
        digest=_digest(home / SKELETON_CARD, home / SKELETON_WEIGHTS),
        model=freeze(model),
        clips=packed.names,
        read=partial(_skeleton, packed, num_frames=card.num_frames, preprocessing=preprocessing),
        origin=f"{packed.folder.resolve()} {packed.source}",
        prompt=card.prompt or PROMPT,
        names="canonical" if home == folder else read_student_card(folder).names,  # trained together
        seen=card.seen,
        protocol=card.protocol,
    )


def _digest(*files: Path) -> str:
    """Of whole files: a few steps of fine-tuning change too little for `weights_digest`, which rounds."""
    return " ".join(map(remembered_digest, files))


def _skeleton(
    packed: PackedSkeletons, name: str, *, num_frames: int, preprocessing: Preprocessing
) -> Float[Tensor, "T M J C"]:
    if not is_present(packed.get(name)).any():
        raise ValueError(f"{name}: nobody is in any frame of the skeleton")
    return torch.from_numpy(preprocess(packed.get(name), num_frames=num_frames, preprocessing=preprocessing))


class Compared(NamedTuple):
    """One clip's cosine with every class, or why there is none."""

    name: str
    similarity: Float32[np.ndarray, " C"] | None
    error: str


@torch.no_grad()
def compare(
    recogniser: Recogniser,
    batches: Sequence[Sequence[str]],
    sentences: ClassSentences,
    *,
    device: torch.device,
    workers: int = 0,
) -> Iterator[list[Compared]]:
    """Compare batches of clips with classes; in bf16 on a GPU.

    Raises:
        RecognitionError: the model's answer is not finite.
    """
    model = cast(DualEncoder, recogniser.model.to(device))
    for batch in read_ahead(batches, recogniser.read, workers=workers):
        readable = [clip.content for clip in batch if clip.content is not None]
        rows = iter(())
        if readable:
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                similarity = model(torch.stack(readable).to(device), sentences.prompts).similarity
            rows = iter(sentences.per_class(similarity.float().cpu()).numpy())
        answers = [Compared(c.name, None if c.content is None else next(rows), c.error) for c in batch]
        _check_finite(answers)
        yield answers


def _check_finite(answers: Sequence[Compared]) -> None:
    broken = [a.name for a in answers if a.similarity is not None and not np.isfinite(a.similarity).all()]
    if broken:
        raise RecognitionError(
            f"the model's similarities of {', '.join(broken[:3])} are not numbers; its training diverged: train it "
            "again with a lower --learning_rate"
        )


class Similarities(NamedTuple):
    """Cosines of clips with classes; a row of NaN is a clip that could not be read, and `errors` says why."""

    values: Float[Tensor, "N C"]
    errors: dict[str, str]


def fused(parts: Sequence[Similarities]) -> Similarities:
    """The mean of several models' cosines, for the clips that all of them could read.

    Assumption: the paper fuses ViFiCLIP and SkeletonCLIP (Table 1) without saying how; both cosines weigh the same.
    """
    values = torch.stack([part.values for part in parts]).mean(0)
    return Similarities(values, {name: error for part in parts for name, error in part.errors.items()})


def similarities(
    recogniser: Recogniser,
    names: Sequence[str],
    sentences: ClassSentences,
    *,
    folder: Path,
    device: torch.device,
    batch_size: int,
    workers: int = 0,
    shard: Shard = WHOLE,
) -> Similarities:
    """Cosines of all clips, with a progress bar; those that an earlier, perhaps killed, call left in `folder` are kept.

    The file's name is a digest of the weights, the sentences and the clips. Unreadable clips are tried again. A shard
    compares its batches only, and writes a file of its own. Batches are cut from all clips, whoever compares them:
    the values of a clip depend in their last digits on what is beside it.
    """
    names, errors = list(names), {}
    key = json.dumps([recogniser.digest, recogniser.origin, str(device.type), sentences.of_class, names])
    stem = f"similarity_{recogniser.modality}_{digest(key)}"
    kept = _rows_on_disk(folder, stem, shard, clips=len(names), classes=len(sentences.of_class))
    row = {name: number for number, name in enumerate(names)}
    own = [batch for number, batch in enumerate(batched(names, batch_size)) if shard.index - 1 == number % shard.count]
    todo = [[name for name in batch if np.isnan(kept[row[name]]).any()] for batch in own]
    todo = [batch for batch in todo if batch]
    total = sum(map(len, own))
    with progress(recogniser.modality, total=total, completed=total - sum(map(len, todo))) as advance:
        for answers in compare(recogniser, todo, sentences, device=device, workers=workers):
            for answer in answers:
                if answer.similarity is None:
                    errors[answer.name] = answer.error
                else:
                    kept[row[answer.name]] = answer.similarity
            kept.flush()
            advance(len(answers))
    return Similarities(torch.from_numpy(np.array(kept)), errors)


def _rows_on_disk(folder: Path, stem: str, shard: Shard, *, clips: int, classes: int) -> np.memmap:
    """The shard's mapped file of a row per clip, with the rows that any other shard or the whole has.

    A row that a kill left out or tore holds a NaN.
    """
    file = folder / f"{stem}{shard.suffix}.npy"
    if not file.exists():
        with atomic_path(file) as temporary:
            np.save(temporary, np.full((clips, classes), np.nan, np.float32))
    rows = _mapped(file, clips=clips, classes=classes, mode="r+")
    for other in {folder / f"{stem}.npy", *folder.glob(f"{stem}.*-of-*.npy")} - {file}:
        if other.exists():
            theirs = _mapped(other, clips=clips, classes=classes, mode="r")
            missing = np.isnan(rows).any(axis=1) & ~np.isnan(theirs).any(axis=1)
            rows[missing] = theirs[missing]
    rows.flush()
    return rows


def _mapped(file: Path, *, clips: int, classes: int, mode: Literal["r", "r+"]) -> np.memmap:
    rows = np.load(file, mmap_mode=mode, allow_pickle=False)
    if rows.shape != (clips, classes) or rows.dtype != np.float32:
        raise RecognitionError(
            f"{file}: found {rows.dtype} values of shape {rows.shape}, expected float32, {(clips, classes)}; delete it"
        )
    return rows


def check_classes(
    recogniser: Recogniser, split: Split, *, folder: Path, generalised: bool = False, protocol: str = "xsub"
) -> None:
    """Make sure that the split's unseen classes are new to the model, and for a generalised test, the seen ones not.

    The clips of the seen classes that `protocol` tests must be new to it as well.

    Raises:
        RecognitionError: with the classes for which it is otherwise.
    """
    if leaked := sorted(set(recogniser.seen) & set(split.unseen)):
        raise RecognitionError(
            f"the {recogniser.modality} model in {folder} was trained on {_numbers(leaked)}, which {split.name} "
            f"expects to be unseen; give the split that it was trained for, or train it with --split {split.name}"
        )
    if generalised and (new := sorted(set(split.seen) - set(recogniser.seen))):
        raise RecognitionError(
            f"the {recogniser.modality} model in {folder} was not trained on {_numbers(new)}, which {split.name} "
            f"expects to be seen; leave out --generalised, or train it with --split {split.name}"
        )
    if generalised and split.dataset != "synthetic" and recogniser.protocol != protocol:
        raise RecognitionError(
            f"the {recogniser.modality} model in {folder} was trained on {recogniser.protocol}'s clips, some of which "
            f"{protocol} tests; pass --protocol {recogniser.protocol}, or leave out --generalised"
        )


def _numbers(actions: Sequence[int]) -> str:
    return ", ".join(f"A{action}" for action in actions)
