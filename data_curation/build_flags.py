"""The flags of `build.py`, and those that other commands share with it."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from data_curation.prompts import KINDS

PARTS = ("all", "train", "test")

if TYPE_CHECKING:
    from argparse import _ArgumentGroup as Group


def add_flags(flags: argparse.ArgumentParser) -> None:
    """Add all flags, in the groups of `--help`."""
    _clips(flags.add_argument_group("clips"))
    _crops(flags.add_argument_group("crop"))
    _captions(flags.add_argument_group("caption"))
    _pairs(flags.add_argument_group("question-answer pairs"))
    _money(flags.add_argument_group("language models on servers"))
    _shards(flags.add_argument_group("sharing the work"))


def _clips(group: "Group") -> None:
    add = group.add_argument
    add("--data", help="data set: a folder with dataset.json, or ntu60, ntu120, synthetic, synthetic48. "
        "Default: one of NTU's, by --split and --ntu")  # fmt: skip
    add("--ntu", type=Path, help="folder with rgb/ and skeletons/, or with the videos of --data")
    add("--out", type=Path, required=True, help="folder for the results, which shards may share")
    add(
        "--split",
        default="all",
        help="split whose unseen classes are not used in training, such as ntu120/110-10 or synthetic, a file of "
        "unseen classes, or a list of them with commas. all: every class is used",
    )
    add("--protocol", help="division into training and test clips. Without any, all clips train (default: "
        "the data set's first, xsub for NTU)")  # fmt: skip
    add("--part", choices=PARTS, help="clips to caption: train (training clips, for pairs), test (test clips, for "
        "questions) or all. Default: train, but all with kinematics, which is free")  # fmt: skip
    add("--prepared", type=Path, help="packed skeletons, to read joints from them instead of .skeleton files. Default: "
        "those in --data")  # fmt: skip
    add("--validation_share", type=float, default=0.0, help="share of the training clips held out for validation")
    add("--validation_by", default="clip", choices=("clip", "subject"), help="unit that is never on both sides. "
        "subject: a column of the table")  # fmt: skip


def _crops(group: "Group") -> None:
    add = group.add_argument
    add(
        "--crop",
        default="static",
        choices=("static", "tracking", "none"),
        help="one box a clip, a window that follows the person, or no crops, for captioners that use no pictures",
    )
    add("--shape", default="pad", choices=("pad", "aspect"), help="pad to a black square, or keep the box's aspect")
    add("--size", type=int, default=224, help="longer side of the crop, pixels")
    add("--fps", type=float, help="frames a second of the crop. Default: the video's")
    add("--slack", type=float, default=64.0, help="pixels around the joints, at 1920x1080")
    add("--persons", default="acting", choices=("acting", "all"), help="acting: one person for classes of one person")
    add(
        "--detector",
        default="blazepose",
        help="for clips without a skeleton: blazepose (offline), a hub id or folder of RT-DETR or YOLOS, or none",
    )
    add(
        "--nobody",
        default="leave_out",
        choices=("leave_out", "keep_whole"),
        help="handling of clips in which no person is found",
    )


def _captions(group: "Group") -> None:
    add = group.add_argument
    add("--captioner", default="cogvlm", help="kinematics (offline), facts (offline, for synthetic clips with "
        "facts.jsonl), cogvlm (resizes crops to 490x490, the paper names "
        "224x224), hf:MODEL, openai:MODEL or ollama:MODEL")  # fmt: skip
    add("--facts_about", default="action", help="what --captioner facts and --qa facts tell: action (who does "
        "what, and how the parts of the body move), scene (room, things, clothes, number and direction of persons), "
        "dense (all), or several with commas. Each clip then gets a caption in one of them, pairs in all")  # fmt: skip
    add("--seed", type=int, default=0, help="seed of the wording of facts")
    add("--frames", default="middle", help="pictures to caption: middle, motion (frame with most motion), or a number")
    add("--trust_remote_code", action="store_true", help="let cogvlm or hf: run the code of its repository")
    add("--revision", help="commit of that repository, 40 digits")
    add("--captioner_python", help="python with the packages that cogvlm needs (scripts/cogvlm_environment.sh)")
    add("--caption_base_url", help="address of the captioner's server, if it is not --base_url")


def _pairs(group: "Group") -> None:
    add = group.add_argument
    add(
        "--qa",
        default="gpt-3.5-turbo",
        help="template (offline), facts (offline, with --captioner facts), gpt-3.5-turbo, openai:MODEL or ollama:MODEL",
    )
    number = group.add_mutually_exclusive_group()
    number.add_argument(
        "--pairs", type=int, help="total number of pairs, drawn evenly over classes and clips. Default: 100000"
    )
    number.add_argument(
        "--pairs_per_clip", type=int, help="number of pairs of every clip instead. The published code has 6"
    )
    add("--kinds", default=",".join(KINDS), help="kinds of questions, separated by commas")
    add("--motion", action="store_true", help="give the question writer the measured motion")
    add("--batch", default="no", choices=("no", "wait", "submit"), help="OpenAI's Batch API, half the price: wait for "
        "the batches, or submit and collect with the same command later")  # fmt: skip
    add("--batch_requests", type=int, default=10_000, help="requests in one batch")
    add("--poll", type=float, default=60.0, help="seconds between two checks of a batch")


def _money(group: "Group") -> None:
    add_server_flags(group)
    add = group.add_argument
    add("--caption_price", help="the same for the captioner")
    add("--estimate", action="store_true", help="only estimate the cost of models, after the free steps")


def add_server_flags(group: "Group") -> None:
    """Add the flags of whatever asks a model on a server."""
    add = group.add_argument
    add("--base_url", help="address of the server for openai: and ollama: models")
    add("--budget", type=float, help="maximum spending in dollars, including earlier runs in this folder")
    add("--price", help="IN,OUT dollars for a million tokens of the model that writes. Default: OpenAI's list")
    add("--requests_per_minute", type=int, help="limit over all workers. Default: none")
    add("--tokens_per_minute", type=int, help="limit over all workers, for prompts and maximum replies together")
    add("--attempts", type=int, default=8, help="attempts of one request before it is left to the next run")


def _shards(group: "Group") -> None:
    add = group.add_argument
    add("--workers", type=int, default=min(8, os.cpu_count() or 1), help="clips that are processed in parallel")
    add("--shard", default="1/1", help="i/n: process part i of n only. Afterwards run once without, to finish")
    add("--engine", default="local", choices=("local", "ray"), help="ray: run --shards of them on a Ray cluster")
    add("--shards", type=int, default=2, help="shards of --engine ray")
    add("--gpus_per_shard", type=float, default=0.0, help="GPUs that Ray gives to each shard")
