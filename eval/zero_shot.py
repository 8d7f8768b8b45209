"""Zero-shot action recognition: unseen classes of a split, or your own action names on your own videos.

    python eval/zero_shot.py --model DIR --ntu DIR --split ntu60/48-12 --out OUT
    python eval/zero_shot.py --model DIR --modality skeleton --prepared DIR --split ntu60/48-12 --out OUT
    python eval/zero_shot.py --model DIR --data DIR --out OUT   # all classes of another data set
    python eval/zero_shot.py --model DIR --data DIR --closed_set --out OUT   # test clips of the classes of training
    python eval/zero_shot.py --model DIR --classes "pour water,water plants" --videos DIR --out OUT
    python eval/zero_shot.py … --gpus 8      # on eight GPUs of this machine
    python eval/zero_shot.py … --shard 1/8   # one of eight that share OUT, and at last once without

DIR is the --output_dir of train_ski_vlm.py. The first forms write OUT/zero_shot.json and OUT/confusion.png, the one
with --classes OUT/named_videos.json. Students need no skeletons. "both" is the mean of a student's and a SkeletonCLIP's
cosines, on clips that have both. The SkeletonCLIP may have a folder of its own, --skeleton_model. Two models are often
better than one: with --second_student, the mean is that of two students, for comparison. A run of --stage skeleton_text
is tested by --modality skeleton. --generalised is calibrated by --rehearsal, a model that lacks some of the seen
classes. Similarities are stored in OUT batch by batch, so the same command resumes after a crash.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ski_lvlm.cli import add_selection_flags, parser, positive, run
from ski_lvlm.parallel.gpu_shards import add_shard_flags, processors, run_on_gpus, shard_of, take_gpu
from ski_lvlm.sharing.hub import model_argument
from ski_lvlm.storage.files import write_json
from ski_lvlm.storage.shards import WHOLE, only_process

if TYPE_CHECKING:
    from ski_lvlm.datasets.catalogue import Part


def parse(flags: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command's flags."""
    p = parser(__doc__ or "")
    add = p.add_argument
    add("--model", type=model_argument, required=True, help="--output_dir of train_ski_vlm.py, or a hub id")
    add("--out", type=Path, required=True, help="folder of the results")
    add_selection_flags(p, split="all classes are unseen")
    add("--ntu", type=Path, help="folder with rgb/ or the videos, for a model of videos (default: those of --data)")
    add("--prepared", type=Path, help="packed skeletons (scripts/prepare_ntu.py), for --modality skeleton and both")
    add("--modality", choices=("video", "skeleton", "both"), default="video", help="input of the model")
    add("--skeleton_model", type=Path, help="of --modality both: folder of the skeleton model (default: --model)")
    add("--second_student", type=model_argument, help="of --modality video: the mean of this student and the model")
    add("--clips", choices=("test", "all"), default="test", help="of unseen classes: test subjects' clips, or all")
    add("--closed_set", action="store_true", help="instead: test clips of the classes of training, among these")
    add("--generalised", action="store_true", help="also: seen test clips and unseen clips against all classes")
    add("--rehearsal", type=model_argument, help="such a model that lacks some of the seen classes, for calibration")
    add(
        "--calibration",
        choices=("stacking", "gate", "published_gate", "none"),
        help="of --generalised: lowered scores of seen classes, or SynSE's gate (default: stacking with a rehearsal)",
    )
    add("--classes", help="instead of --split: your own action names, with commas, for --videos")
    add("--videos", type=Path, help="folder of your own videos, also in sub-folders")
    add("--names", help="spelling of class names: canonical, ntu, ski, synse, star (default: as in training)")
    add("--prompt", action="append", help="such as 'a photo of a {name}.' (default: training's), several: an ensemble")
    add(
        "--descriptions",
        type=Path,
        help="instead of --prompt: JSON {name or id, as A23: sentence or list of sentences}",
    )
    add("--frames_cache", type=Path, help="folder of scripts/cache_frames.py, instead of decoding")
    add("--device", help="such as cpu or cuda (default: the GPU if there is one)")
    add("--batch_size", type=positive, default=16, help="clips at once")
    add("--workers", type=int, default=processors(), help="processes that read clips ahead")
    add_shard_flags(p)
    args = p.parse_args(flags)
    check_flags(args)
    return args


def check_flags(args: argparse.Namespace) -> None:
    """Refuse flags that do not go together."""
    if bool(args.split or args.data) == bool(args.classes):
        raise ValueError(
            'give either --split (such as ntu60/48-12), --data, or --classes (such as "pour water,water plants")'
        )
    if args.prompt and args.descriptions:
        raise ValueError("--descriptions are whole sentences, which leave --prompt nothing to do; give one of the two")
    if args.closed_set and (args.classes or args.generalised or args.clips == "all"):
        raise ValueError(
            "--closed_set is a test of its own, on test clips; leave out --classes, --generalised and --clips all"
        )
    if args.skeleton_model and args.modality != "both":
        raise ValueError(f"--skeleton_model with --modality {args.modality}; it is the second model of --modality both")
    if args.second_student and (args.modality != "video" or args.classes):
        raise ValueError("--second_student is tested on a split by --modality video; leave out the others")
    if args.rehearsal and (args.skeleton_model or args.second_student):
        raise ValueError(
            "--rehearsal with --skeleton_model or --second_student, which would fuse it too; give one of the two"
        )
    if (args.rehearsal or args.calibration) and not args.generalised:
        raise ValueError("--rehearsal and --calibration are of the generalised test; give --generalised")
    if args.rehearsal and args.calibration == "none":
        raise ValueError("--calibration none leaves --rehearsal nothing to do; give one of the two")
    foreign = ("ntu", "prepared", "generalised", "names") if args.classes else ("videos",)
    if unusable := [f"--{name}" for name in foreign if getattr(args, name)]:
        raise ValueError(f"{', '.join(unusable)} cannot be used with --{'classes' if args.classes else 'split'}")
    if args.classes and (not args.videos or args.modality != "video"):
        raise ValueError("--classes names actions in videos; give --videos DIR and leave --modality video")
    if not args.data and args.split and args.modality != "video" and not args.prepared:
        raise ValueError(f"--modality {args.modality} needs --prepared DIR, made by scripts/prepare_ntu.py")


def main(flags: Sequence[str] | None = None) -> int:
    """Test on a split, or name actions in videos."""
    args = parse(flags)
    if args.gpus:
        return run_on_gpus(__file__, flags, args, main, workers=processors)
    shard = shard_of(args)
    take_gpu(shard)
    with only_process(args.out / ".locks", shard):
        return name_videos(args) if args.classes else evaluate(args)


def evaluate(args: argparse.Namespace) -> int:
    """Test on the unseen classes of a split, write and print the result."""
    import numpy as np

    from eval.recognition.class_scores import split_scores
    from eval.recognition.comparison import Comparison
    from eval.recognition.confusion import draw_confusion
    from eval.recognition.generalised import generalised_result, groups_of_classes
    from eval.recognition.inputs import clips_to_test, load_recognisers, test_selection
    from eval.recognition.recognition_report import report
    from eval.recognition.rehearsal_folder import advice, calibration_of, open_rehearsal
    from ski_lvlm.recognition.recogniser import check_classes, check_training

    selection = test_selection(args)
    split, data = selection.split, selection.data
    calibration = calibration_of(args, selection)
    models = load_recognisers(args, args.model, data)
    for model in models:
        if args.closed_set:
            check_training(model, selection, folder=args.model)
        else:
            check_classes(model, selection, folder=args.model, generalised=args.generalised)
    classes = [name for name in data.class_names if name in {*split.unseen, *(split.seen if args.generalised else ())}]
    clips = clips_to_test(args, selection, models, parts=parts_to_test(args))
    test = Comparison(args, selection, models, clips=clips.names, classes=classes)
    rehearsal = open_rehearsal(args, selection, models, calibration=calibration)
    comparisons = [test, *([rehearsal.comparison] if rehearsal else [])]
    for comparison in comparisons:
        for group in groups_of_classes(comparison, calibration=calibration, is_test=comparison is test):
            comparison.among(group)
    if shard_of(args) != WHOLE:
        return report_shard(args, [comparison.errors for comparison in comparisons], "zero_shot.json")
    result = {
        "model": str(args.model),
        "split": split.name,
        "data": data.name,
        "protocol": selection.protocol_name,
        "modality": args.modality,
        **({"second_student": str(args.second_student)} if args.second_student else {}),
        "clips": args.clips,
        **({"note": optimism()} if any(model.is_optimistic for model in models) else {}),
        **split_scores(test.among(split.unseen), clips.names, selection=selection, are_seen=args.closed_set),
        **({"generalised": generalised_result(test, rehearsal, calibration=calibration)} if args.generalised else {}),
        "left_out": clips.lacking | {"unreadable": test.errors},
        "sentences": {
            modality: dict(zip(classes, used.of_class, strict=True)) for modality, used in test.sentences.items()
        },
    }
    write_json(args.out / "zero_shot.json", result)
    kind = "seen" if args.closed_set else "unseen"
    title = f"{split.name}, {kind} classes by {args.modality}, {args.clips} clips: top-1 {result[kind]['top1']:.1%}"
    title += f"\n{result['note']}" if "note" in result else ""
    matrix = np.array(result["confusion"]["matrix"])
    draw_confusion(matrix, split.unseen, title=title, path=args.out / "confusion.png")
    report(result, args.out, advice=advice(selection) if args.generalised and not rehearsal else "")
    return 0


def optimism() -> str:
    """Return the note for a model that was chosen on the unseen test clips."""
    from ski_lvlm.skeleton_text.folder import OPTIMISTIC

    return OPTIMISTIC


def parts_to_test(args: argparse.Namespace) -> list["Part"]:
    """Return the parts of the split whose clips are tested."""
    unseen: list[Part] = ["unseen_all" if args.clips == "all" else "unseen_test"]
    return [*unseen, "seen_test"] if args.generalised else unseen


def report_shard(args: argparse.Namespace, errors: Sequence[dict[str, str]], result: str) -> int:
    """Print the clips of a shard that could not be read, and what remains to be done."""
    for name, error in {name: error for part in errors for name, error in part.items()}.items():
        print(f"  unreadable {name}: {error}")
    print(f"shard {args.shard} is done; when all are, the same command without --shard writes {args.out / result}")
    return 0


def name_videos(args: argparse.Namespace) -> int:
    """Recognise each video among one's own classes, with exit code 1 when no video could be read."""
    from eval.recognition.inputs import compare_clips, sentences_for
    from eval.recognition.recognition_report import report_names
    from ski_lvlm.recognition.recogniser import video_recogniser

    classes = class_list(args.classes)
    recogniser = video_recogniser(args.model, videos=args.videos, cache=args.frames_cache)
    sentences = sentences_for(args, recogniser, [[name] for name in classes])
    compared = compare_clips(args, recogniser, sentences, recogniser.clips)
    if shard_of(args) != WHOLE:
        return report_shard(args, [compared.errors], "named_videos.json")
    probabilities = (compared.values / float(recogniser.model.temperature)).softmax(-1).tolist()
    readable = {n: row for n, row in zip(recogniser.clips, probabilities, strict=True) if n not in compared.errors}
    result = {
        "model": str(args.model),
        "videos": [video_entry(video, classes, row) for video, row in readable.items()],
        "unreadable": compared.errors,
        "sentences": dict(zip(classes, sentences.of_class, strict=True)),
    }
    write_json(args.out / "named_videos.json", result)
    report_names(result, args.out)
    return 0 if readable else 1


def video_entry(video: str, classes: Sequence[str], probabilities: Sequence[float]) -> dict[str, Any]:
    """Return a video's most probable class and the probability of each.

    >>> video_entry("mine", ["sit", "stand"], [0.25, 0.75])
    {'video': 'mine', 'class': 'stand', 'probability': 0.75, 'probabilities': {'sit': 0.25, 'stand': 0.75}}
    """
    of_class = {name: round(share, 4) for name, share in zip(classes, probabilities, strict=True)}
    best = max(range(len(classes)), key=lambda number: probabilities[number])
    return {
        "video": video,
        "class": classes[best],
        "probability": of_class[classes[best]],
        "probabilities": of_class,
    }


def class_list(text: str) -> list[str]:
    """Split names with commas between them.

    >>> class_list("pour water, water plants")
    ['pour water', 'water plants']

    Raises:
        ValueError: fewer than two different ones.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(f"--classes {text!r} names {names}; expected at least two different names, with commas")
    return names


if __name__ == "__main__":
    run(main)
