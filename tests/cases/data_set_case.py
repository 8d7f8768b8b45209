"""A data set of one's own in miniature: four actions, odd names, two rooms."""

import csv
import json

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
