import inspect
import os
import re
import signal
import sys
from pathlib import Path

import huggingface_hub
import pyarrow.parquet as pq
import pytest
import yaml

from data_curation.results.dataset import CARD, dataset_card, read_dataset, size_category, write_dataset
from data_curation.results.dataset_rows import DatasetRow
from tests.cases.command_case import run
from tests.cases.dataset_rows import FACTS, SPLITS, row

HUB_KEYS = ("tags", "configs", "license_name")  # of the hub, beside those that DatasetCardData names


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def header(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_rows_are_read_back_as_they_were(tmp_path):
    write_dataset(tmp_path, SPLITS, facts=FACTS)
    for split, rows in SPLITS.items():
        assert [DatasetRow(**found) for found in read_dataset(tmp_path / f"{split}.parquet")] == rows


def test_the_types_are_those_that_readers_are_promised(tmp_path):
    write_dataset(tmp_path, SPLITS, facts=FACTS)
    for split in SPLITS:  # also where a column holds nothing, as validation's subject
        schema = pq.read_schema(tmp_path / f"{split}.parquet")
        assert [str(schema.field(name).type) for name in ("id", "subject", "action", "question_1", "has_skeleton")] == [
            "string", "int32", "int32", "string", "bool",
        ]  # fmt: skip
        assert [field.name for field in schema if field.nullable] == [
            "subject", "action", "action_name", "question_1", "question_2",
        ]  # fmt: skip


def test_the_columns_of_the_recordings_come_along_with_one_type_in_all_splits(tmp_path):
    rows = {
        "train": [row(subject="ana", columns={"room": "küche", "camera": 2, "lux": 0.5})],
        "test": [row(subject=3, action=2, columns={"room": None, "camera": None, "lux": 1})],
    }
    write_dataset(tmp_path, rows, facts=FACTS)
    tables = [pq.read_table(tmp_path / f"{split}.parquet") for split in rows]
    assert tables[0].schema == tables[1].schema
    types = [str(tables[0].schema.field(name).type) for name in ("subject", "room", "camera", "lux")]
    assert types == ["string", "string", "int64", "double"]
    assert [table["subject"].to_pylist() for table in tables] == [["ana"], ["3"]]
    assert [table["camera"].to_pylist() for table in tables] == [[2], [None]]
    assert "| `room`, `camera`, `lux` |" in (tmp_path / CARD).read_text()


def test_unseen_classes_without_a_number_are_known_by_name(tmp_path):
    rows = {"train": [row()._replace(action=None)], "test_unseen": [row(2)._replace(action=None)]}
    with pytest.raises(ValueError, match="action drink water of test_unseen is in train"):
        write_dataset(tmp_path, rows, facts=FACTS)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_dataset(tmp_path / folder, SPLITS, facts=FACTS)
    write_dataset(tmp_path / "b", dict(reversed(SPLITS.items())), facts=FACTS)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_files_of_an_earlier_run_do_not_stay(tmp_path):
    write_dataset(tmp_path, SPLITS, facts=FACTS)
    (tmp_path / ".train.1.partial.parquet").write_bytes(b"PAR1")
    (tmp_path / "notes.txt").write_text("mine")
    write_dataset(tmp_path, {"train": SPLITS["train"], "test": []}, facts=FACTS)
    assert list(files(tmp_path)) == ["README.md", "notes.txt", "train.parquet"]


def test_what_cannot_be_written_leaves_no_half_file(tmp_path):
    splits = {"train": SPLITS["train"], "validation": [row(subject=2, question="half a \ud83d character")]}
    with pytest.raises(ValueError, match="surrogates"):
        write_dataset(tmp_path, splits, facts=FACTS)
    assert list(files(tmp_path)) == ["train.parquet"]  # no card: the folder is not whole


KILLED = """
import os, signal
from pathlib import Path
import pyarrow.parquet as pq
from data_curation.results.dataset import write_dataset
from tests.cases.dataset_rows import FACTS, SPLITS
write_table = pq.write_table
def die(table, file, **settings):
    write_table(table, file, **settings)
    if "validation" in file.name:
        Path(file).write_bytes(Path(file).read_bytes()[:100])
        os.kill(os.getpid(), signal.SIGKILL)
pq.write_table = die
write_dataset(Path(os.environ["FOLDER"]), SPLITS, facts=FACTS)
"""


@pytest.mark.slow
def test_a_kill_leaves_whole_files_and_the_same_call_goes_on(tmp_path):
    write_dataset(tmp_path / "whole", SPLITS, facts=FACTS)
    write_dataset(tmp_path / "killed", {"train": [row(number=7)]}, facts=FACTS)
    root = Path(__file__).parents[2]
    environment = os.environ | {"FOLDER": str(tmp_path / "killed"), "PYTHONPATH": str(root)}
    done = run([sys.executable, "-c", KILLED], env=environment, cwd=root)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [path.name for path in (tmp_path / "killed").glob("[!.]*")]
    assert left == ["train.parquet"] and len(list((tmp_path / "killed").iterdir())) == 2
    assert len(read_dataset(tmp_path / "killed" / "train.parquet")) == 2
    write_dataset(tmp_path / "killed", SPLITS, facts=FACTS)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


REFUSED = {
    "nothing": ({}, "no split has a row"),
    "empty splits": ({"train": [], "test": []}, "no split has a row"),
    "another name": ({"train": [row()], "dev": [row(2)]}, "unknown splits dev; expected some of train"),
    "id twice": ({"train": [row(), row()]}, "1 ids are given more than once, such as 'S001C001P001R001A001_0'"),
    "id in two splits": ({"train": [row()], "test": [row(2, id=row().id)]}, "more than once"),
    "clip in two splits": ({"train": [row()], "test": [row(number=1)]}, "is in train and in test"),
    "unseen action": (
        {"validation": [row()], "test_unseen": [row(2)]},
        "action 1 drink water of test_unseen is in validation",
    ),
}


@pytest.mark.parametrize(("splits", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_splits_that_contradict_themselves_are_refused_before_writing(tmp_path, splits, message):
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "data", splits, facts=FACTS)
    assert not (tmp_path / "data").exists()


def test_the_card_s_header_is_what_hugging_face_reads(tmp_path):
    write_dataset(tmp_path, SPLITS, facts=FACTS)
    card = huggingface_hub.DatasetCard.load(tmp_path / CARD, ignore_metadata_errors=False)
    assert card.data.license == "other" and card.data.size_categories == ["n<1K"]
    assert set(card.data.to_dict()) <= {*inspect.signature(huggingface_hub.DatasetCardData).parameters, *HUB_KEYS}
    assert card.data.annotations_creators == ["machine-generated"] and "\n" not in card.data.pretty_name
    assert re.fullmatch(r"[a-z0-9-.]+", card.data.license_name)  # the hub's rule for a licence of one's own
    (config,) = header((tmp_path / CARD).read_text())["configs"]
    assert [(f["split"], (tmp_path / f["path"]).is_file()) for f in config["data_files"]] == [(s, True) for s in SPLITS]


def test_the_card_names_only_splits_that_exist():
    card = dataset_card({"train": SPLITS["train"]}, facts=FACTS)
    assert [entry["split"] for entry in header(card)["configs"][0]["data_files"]] == ["train"]
    assert "test_unseen`" not in card


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (100_000, "100K<n<1M")])
def test_the_card_gives_the_size(rows, size):
    assert header(dataset_card({"train": [row()] * rows}, facts={}))["size_categories"] == [size]
    assert f"'{size}'" in huggingface_hub.DatasetCardData.__doc__


def test_a_million_rows_have_a_name_of_the_hub_too():
    assert size_category(1_000_000) == "1M<n<10M" and size_category(20_000_000) == "10M<n<100M"
    assert all(f"'{size_category(10**power)}'" in huggingface_hub.DatasetCardData.__doc__ for power in range(9))


def test_the_card_counts_rows_clips_subjects_and_actions():
    card = dataset_card(SPLITS, facts=FACTS)
    assert "| train | 2 | 1 | 1 | 1 |" in card and "| validation | 1 | 1 | 0 | 0 |" in card
    assert "| 1 drink water | 2 | 0 | 1 | 0 |" in card and "| 10 drink water | 0 | 0 | 0 | 1 |" in card
    assert "| not known | 0 | 1 | 0 | 0 |" in card


@pytest.mark.parametrize(("subject", "said"), [(2, "No clip and no subject is in"), (1, "No clip is in")])
def test_the_card_says_whether_subjects_are_apart(subject, said):
    splits = {"train": [row(subject=1)], "test": [row(subject=subject, action=2)]}
    assert said in dataset_card(splits, facts=FACTS)


def test_facts_cannot_break_the_card_s_table():
    card = dataset_card(SPLITS, facts={"cap|tioner": "a | b\n---\n<script>", "requests": 12})
    assert r"| cap\|tioner | a \| b --- &lt;script> |" in card and "| requests | 12 |" in card
    assert card.count("\n---\n") == 1


def test_another_program_s_columns_are_said_to_be_missing(tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"clip": ["a"], "text": ["b"]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="columns answer, question are missing; expected id, clip"):
        read_dataset(tmp_path / "other.parquet")


@pytest.mark.parametrize("cut", [0, 3, 200, -1])
def test_a_torn_parquet_file_is_refused(tmp_path, cut):
    write_dataset(tmp_path, SPLITS, facts=FACTS)
    torn = tmp_path / "train.parquet"
    torn.write_bytes(torn.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"train\.parquet: not a whole Parquet file"):
        read_dataset(torn)
