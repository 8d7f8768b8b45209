"""A data set of one's own in miniature: four actions, odd names, two rooms."""

import csv
import json

import numpy as np

from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer
from tests.cases.video_case import numbered, write_video

CLASSES = [
    {"name": "pour tea", "sentences": ["Somebody pours tea."], "spellings": {"short": "pour"}},
    "sweep",
    {"id": "W03", "name": "wave"},
    "fold",
]
DESCRIPTION = {
    "name": "home",
    "classes": CLASSES,
    "protocols": {"rooms": {"train": {"room": "küche"}}, "xsub": {"train": {"subject": {"from": 1, "to": 2}}}},
    "splits": {"A": {"unseen": ["wave", "fold"]}},
    "layout": "kinect-20",
    "fps": 25,
}
ROWS = [
    {"clip": f"müller {subject} ({room}) {number}", "class": text, "subject": f"{subject:02}", "room": room}
    for subject in (1, 2, 3)
    for room in ("küche", "flur")
    for number, text in enumerate(("pour tea", "2", "W003", "fold"))
]


def write_table(folder, rows):
    """Write clips.csv."""
    with (folder / "clips.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_data_set(folder, *, rows=ROWS, **changes):
    """Write the folder of a data set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION | changes), encoding="utf-8")
    if rows:
        write_table(folder, rows)
    return folder


def write_home(folder, *, rows=ROWS, **changes):
    """Write a data set with a video for each room, of which every clip is a stretch, and skeletons of 20 joints."""
    spans = [
        {**row, "video": f"{row['room']} (1).mp4", "start": f"{i % 8 / 10}", "end": f"{i % 8 / 10 + 0.2}"}
        for i, row in enumerate(rows)
    ]
    write_data_set(folder, rows=spans, **changes)
    for room in {row["room"] for row in rows}:
        write_video(folder / f"{room} (1).mp4", numbered(33, height=16, width=16))
    rng = np.random.default_rng(0)
    with packed_writer(folder, layout=LAYOUTS["kinect-20"], cleaning="centred-1", source="test") as writer:
        for row in rows:
            writer.add(row["clip"], rng.normal(size=(9, 1, 20, 3)).astype(np.float32))
    return folder
