"""A tiny SKI-LVLM that was trained on features of a tiny tower, four tiny videos, and questions about them."""

import json

from ski_lvlm.storage.files import write_json
from tests.cases.tiny_llm import tiny_llm
from tests.cases.trained_case import build_model
from tests.cases.video_case import numbered, quarters, write_video
from tests.cases.vision_case import tiny_tower

VIDEOS = ["a", "b", "c", "d"]
ASKED = {"Q": "What is the person doing?", "Q1": "Which action is it?", "Q2": "Why?"}
PREDICTED = ("pred", "pred1", "pred2")


def item(video, **fields):
    """Return one item of a questions file."""
    return {"video_name": video, "A": "Drinking.", **ASKED} | fields


def write_describe_case(root):
    """Write tower, llm, model, videos and questions into a folder, and return it."""
    tiny_tower(root / "tower")
    tiny_llm(root / "llm")
    build_model(root / "model", tower=root / "tower", llm=root / "llm")
    clips = {"a": numbered(8), "b": quarters(), "c": numbered(40)[::-1], "d": numbered(60)[40:]}
    for name, frames in clips.items():
        write_video(root / "videos" / f"{name}.mp4", frames)
    write_json(root / "questions.json", [item(video) for video in VIDEOS])
    return root


def flags(case, out, **settings):
    """Return the command line of eval/describe.py."""
    values = {
        "model": case / "model",
        "videos": case / "videos",
        "questions": case / "questions.json",
        "out": out / "predictions.json",
        "workers": 0,
        "batch_size": 3,
        "max_new_tokens": 6,
    }
    return [part for name, value in (values | settings).items() for part in (f"--{name}", str(value))]


def predictions(out):
    """Read the predictions of a run."""
    return json.loads((out / "predictions.json").read_text())


def answers(items):
    """Return the answers of predictions."""
    return [[entry.get(field) for field in PREDICTED] for entry in items]
