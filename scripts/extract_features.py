"""Encode clips as the frozen tokens that SKI-LVLM trains on: video tokens by a vision tower, skeleton tokens by g_s.

    python scripts/extract_features.py --prepared DIR --ntu DIR --out DIR --vision_tower ID --skeleton_encoder DIR
    python scripts/extract_features.py … --gpus 8      # on eight GPUs of this machine
    python scripts/extract_features.py … --shard 1/8   # one of eight that share OUT (at last once without)

Writes OUT/video/<clip>.npy for every video in NTU/rgb, OUT/skeleton/<clip>.npy for every clip of the packed set, and
OUT/features.json with their origin. The same command resumes after a crash. It refuses to mix features of different
towers, encoders or numbers of frames. Clips that cannot be read are skipped, listed at the end and in OUT/failed.json,
and tried again by the next run. The exit code is 1 only if a modality has no features at all.

Paper: Sec. 3.3, Sec. 4: 100 + 256 video tokens of width 1024 and 256 skeleton tokens of width 216.
Deviation: the paper does not say how 256 skeleton tokens come about. Here a clip is encoded in 16 views of 64 frames,
the number that the encoder was trained on, each shifted by a sixteenth of a frame. Other numbers of frames show the
encoder another speed of motion and are refused without --allow_other_speed.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# Decoding shares the cores with the tower. Threads that spin while they wait for each other made it five times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ski_lvlm import cli
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, shard_of, take_gpu
from ski_lvlm.recipe import FRAMINGS
from ski_lvlm.sharing.hub import model_argument
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, Shard, only_process

if TYPE_CHECKING:
    from torch import Tensor

    from ski_lvlm.datasets.reading import LoadedClip
    from ski_lvlm.encoders.skeleton_views import Views
    from ski_lvlm.lvlm.features import FeatureWriter
    from ski_lvlm.skeletons.packed import PackedSkeletons
    from ski_lvlm.skeletons.preprocessing import Preprocessing

PAPER_TOWER = "openai/clip-vit-large-patch14"
MAX_LINES = 20  # failed clips that are printed; a file lists them all


class Source(NamedTuple):
    """Clips of one modality, their reader, their encoder (batches to tokens [B N F]) and their origin."""

    names: list[str]
    read: Callable[[str], "Tensor"]
    encode: Callable[["Tensor"], "Tensor"]
    entry: dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Extract each modality in turn, and return the exit code."""
    args = arguments(argv)
    if args.gpus:
        return run_on_gpus(__file__, argv, args, main, workers=decoding_workers)
    from ski_lvlm.lvlm.features import FeatureWriter

    shard = shard_of(args)
    take_gpu(shard)
    names = read_names(args.clips) if args.clips else None
    make = {"video": video_source, "skeleton": skeleton_source}
    failed: dict[str, dict[str, str]] = {}
    missing_all = []
    for modality in args.modalities:
        with only_process(args.out / ".locks" / modality, shard):
            source = make[modality](args, names)
            source = source._replace(names=shard.select(source.names))
            writer = FeatureWriter(args.out, {modality: source.entry})
            failed[modality] = extract(writer, modality, source, batch_size=args.batch_size, workers=args.workers)
        if source.names and len(failed[modality]) == len(source.names):
            missing_all.append(modality)
        write_json(failures_file(args.out, "failed", shard), failed)
        report(modality, len(source.names), failed[modality], shard)
    if missing_all:
        print(f"error: no {' and no '.join(missing_all)} features could be extracted", file=sys.stderr)
    return 1 if missing_all else 0


def failures_file(out: Path, stem: str, shard: Shard) -> Path:
    """Return the file that lists failed clips. For the whole, remove the files of its shards."""
    if shard == WHOLE:
        for file in out.glob(f"{stem}.*-of-*.json"):
            file.unlink(missing_ok=True)
    return out / f"{stem}{shard.suffix}.json"


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line, which must name the folders that the modalities need."""
    parser = cli.parser(__doc__ or "")
    add = parser.add_argument
    add("--ntu", type=Path, help="folder with rgb/, or with the videos, also in sub-folders (for video)")
    add("--prepared", type=Path, help="packed skeletons, the output of scripts/prepare_ntu.py (for skeleton)")
    add("--data", help="data set: a folder with dataset.json, which may hold videos and packed skeletons itself")
    add("--out", type=Path, required=True, help="features folder")
    add(
        "--vision_tower",
        default=PAPER_TOWER,
        help="hub id or folder of a CLIP or SigLIP, efficientnet-lite0, or a student",
    )
    add("--skeleton_encoder", type=model_argument, help="skeleton run of train_ski_vlm.py, or a hub id")
    add("--num_frames", type=int, default=100, help="video frames per clip, evenly spaced (a shorter clip has fewer)")
    add("--framing", choices=FRAMINGS, default="whole", help="fit the whole frame, or its central square")
    add("--side", type=cli.positive, help="pixels of the frames' sides, for efficientnet-lite0 (default: the tower's)")
    add("--skeleton_tokens", type=cli.positive, default=256, help="tokens of a clip, from several views of it")
    add("--skeleton_frames", type=cli.positive, help="T_s, frames of a view (default: as in the encoder's training)")
    add("--allow_other_speed", action="store_true", help="accept another T_s than in the encoder's training")
    add("--modalities", nargs="+", choices=("video", "skeleton"), default=["video", "skeleton"], help="what to extract")
    add(
        "--clips",
        type=Path,
        help="instruction file (.json, .jsonl), or one clip name a line (default: all)",
    )
    add("--workers", type=int, default=None, help="decoding processes (default: one, with a GPU all cores but one)")
    add("--batch_size", type=int, default=4, help="clips at a time through an encoder")
    add_shard_flags(parser)
    args = parser.parse_args(argv)
    needs = {"video": ("ntu",), "skeleton": ("prepared", "skeleton_encoder")}
    for modality in args.modalities:
        for flag in needs[modality]:
            if getattr(args, flag) is None and (flag == "skeleton_encoder" or not args.data):
                parser.error(f"--modalities {modality} needs --{flag}")
    return args


def read_names(file: Path) -> list[str]:
    """Read clip names, each once: those of an instruction file, or one a line."""
    from ski_lvlm.datasets.instruction_file import read_instructions
    from ski_lvlm.storage.text_files import read_lines

    if file.name.lower().removesuffix(".gz").endswith((".json", ".jsonl")):
        lines = [clip or "" for c in read_instructions(file, drop={"object"}) for clip in (c.video, c.skeleton)]
    else:
        lines = [line.strip() for line in read_lines(file)]
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise ValueError(f"{file}: holds no clip name; write one a line, or give an instruction file")
    return names


def clips_in(names: Sequence[str], spellings: Sequence[str] | None) -> list[str]:
    """Return the clips of a list, spelled as in `names` where it has them, or all `names` without a list.

    Raises:
        ValueError: a spelling means several clips.
    """
    from ski_lvlm.storage.clip_names import ClipIndex, clip_name

    if spellings is None:
        return list(names)
    clips = ClipIndex(names).find_all(spellings)
    return list(dict.fromkeys(clips.get(name) or clip_name(name) for name in spellings))


def video_source(args: argparse.Namespace, names: Sequence[str] | None) -> Source:
    """Open the videos of NTU/rgb or of a data set, and the vision tower."""
    from ski_lvlm.datasets.catalogue import open_data_set
    from ski_lvlm.datasets.clip_files import clip_reader, stretches_of, video_clips
    from ski_lvlm.lvlm.towers import open_tower
    from ski_lvlm.lvlm.video_tokens import video_entry
    from ski_lvlm.videos.folder import VideoClip, VideoFolder, check_has_videos

    videos: VideoFolder | dict[str, VideoClip]
    stretches = None
    if args.data:
        data = open_data_set(args.data)
        videos = video_clips(data, args.ntu)
        clips, stretches = list(videos), stretches_of(data, videos)
    else:
        videos = VideoFolder(args.ntu)
        check_has_videos(args.ntu, videos.clips, flag="--ntu")
        clips = list(videos.clips)
    tower = open_tower(args.vision_tower, num_frames=args.num_frames, side=args.side)
    read = clip_reader(videos, num_frames=args.num_frames, side=tower.image_size, framing=args.framing)
    entry = video_entry(tower, framing=args.framing, data_set=stretches)
    return Source(clips_in(clips, names), read, tower, entry)


def skeleton_source(args: argparse.Namespace, names: Sequence[str] | None) -> Source:
    """Open the clips of the packed set and the skeleton encoder."""
    from ski_lvlm.dual_encoders.checkpoints import (
        SkeletonEncoderCard,
        load_skeleton_encoder,
        read_card,
        skeleton_encoder_folder,
    )
    from ski_lvlm.encoders.digest import weights_digest
    from ski_lvlm.encoders.skeleton_views import tokens_of_views, views_for

    packed = packed_skeletons(args)
    folder = skeleton_encoder_folder(args.skeleton_encoder)
    encoder, preprocessing = load_skeleton_encoder(folder)
    packed.check_made_for(preprocessing)
    device = cli.device()
    encoder.requires_grad_(False).to(device)
    views = views_for(
        encoder,
        trained_frames=read_card(folder, SkeletonEncoderCard).num_frames,
        num_tokens=args.skeleton_tokens,
        num_frames=args.skeleton_frames,
        allow_other_speed=args.allow_other_speed,
    )
    entry = {
        "encoder": str(args.skeleton_encoder),
        "digest": weights_digest(encoder),
        "preprocessing": preprocessing.to_json(),
        **views._asdict(),
        "width": encoder.width,
        "tokens": args.skeleton_tokens,
    }
    read = partial(read_skeleton, packed, views=views, preprocessing=preprocessing)

    def encode(clips: "Tensor") -> "Tensor":
        return tokens_of_views(encoder, clips.to(device))

    return Source(clips_in(packed.names, names), read, encode, entry)


def packed_skeletons(args: argparse.Namespace) -> "PackedSkeletons":
    """Open the packed set, which may be that of the data set's folder."""
    from ski_lvlm.datasets.catalogue import open_data_set
    from ski_lvlm.datasets.clip_files import open_skeletons
    from ski_lvlm.skeletons.packed import PackedSkeletons

    return open_skeletons(args.prepared, open_data_set(args.data)) if args.data else PackedSkeletons.open(args.prepared)


def read_skeleton(packed: "PackedSkeletons", name: str, *, views: "Views", preprocessing: "Preprocessing") -> "Tensor":
    """Preprocess one clip into its views, in a worker."""
    import torch

    from ski_lvlm.skeletons.preprocessing import interleaved_views, is_present

    clip = interleaved_views(packed.get(name), **views._asdict(), preprocessing=preprocessing)
    if not all(is_present(view).any() for view in clip):
        raise ValueError(f"{name}: nobody is in any frame of the skeleton; remove the clip")
    return torch.from_numpy(clip)


def extract(
    writer: "FeatureWriter", modality: str, source: Source, *, batch_size: int, workers: int | None
) -> dict[str, str]:
    """Extract the clips that `writer` lacks, and return those that failed with their reasons."""
    from ski_lvlm.datasets.reading import batched, read_ahead

    workers = decoding_workers() if workers is None else workers
    todo = [name for name in source.names if not writer.has(name, modality)]
    failed = {}
    completed = len(source.names) - len(todo)
    with cli.progress(f"{modality} tokens", total=len(source.names), completed=completed) as advance:
        for batch in read_ahead(batched(todo, batch_size), source.read, workers=workers):
            failed.update({clip.name: clip.error for clip in batch if clip.content is None})
            failed.update(encode_and_store(writer, modality, source, batch))
            advance(len(batch))
    return failed


def decoding_workers(processes: int = 1) -> int:
    """Return the number of decoding workers for each of `processes`: with a GPU all processors but one, else one."""
    import torch

    return max(1, processors(processes) - 1) if torch.cuda.is_available() else 1


def encode_and_store(
    writer: "FeatureWriter", modality: str, source: Source, batch: Sequence["LoadedClip[Tensor]"]
) -> dict[str, str]:
    """Encode and store clips of equal length together, and return those whose tokens are no float16 numbers."""
    import torch

    from ski_lvlm.lvlm.feature_files import FeatureError

    by_length = defaultdict(list)
    for clip in batch:
        if clip.content is not None:
            by_length[len(clip.content)].append((clip.name, clip.content))
    failed = {}
    for clips in by_length.values():
        with torch.inference_mode():
            tokens = source.encode(torch.stack([content for _, content in clips]))
        for (name, _), clip_tokens in zip(clips, tokens.float().cpu().numpy(), strict=True):
            try:
                writer.write(name, modality, clip_tokens)
            except FeatureError as error:
                failed[name] = str(error)
    return failed


def report(modality: str, total: int, failed: dict[str, str], shard: Shard = WHOLE) -> None:
    """Print the number of clips with tokens, and those without, with the reasons."""
    print(f"{modality}: {total - len(failed)} of {total} clips have tokens")
    print_skipped(failed, listed_in=f"failed{shard.suffix}.json")
    if shard != WHOLE:
        print("when all shards are done, the same command without --shard writes failed.json")


def print_skipped(failed: dict[str, str], *, listed_in: str) -> None:
    """Print the first clips that failed, each with its reason. `listed_in` is the file that has them all."""
    for name, reason in list(failed.items())[:MAX_LINES]:
        print(f"  skipped {name}: {reason}")
    if len(failed) > MAX_LINES:
        print(f"  … and {len(failed) - MAX_LINES} more in {listed_in}")


if __name__ == "__main__":
    cli.run(main)
