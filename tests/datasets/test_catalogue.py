import pyarrow as pa
import pyarrow.parquet
import pytest

from ski_lvlm.datasets import clip_table
from ski_lvlm.datasets.catalogue import copy_description, is_data_set, open_data_set
from ski_lvlm.datasets.selection import select
from tests.cases.data_set_case import ROWS, write_data_set, write_table

NAMES = [row["clip"] for row in ROWS]


@pytest.fixture
def home(tmp_path):
    return write_data_set(tmp_path / "home")


def test_classes_come_from_names_and_ids(home):
    data = open_data_set(home)
    assert data.class_names == ("pour tea", "sweep", "wave", "fold")
    assert data.classes_of(NAMES[:3]) == ["pour tea", "sweep", "wave"]
    assert data.class_of("müller 1 (küche) 2.mp4") == data.class_of("videos/müller 1 (küche) 2_rgb.avi") == "wave"
    assert data.labels(NAMES[:3], classes=["wave", "sweep", "pour tea"]) == [2, 1, 0]
    assert data.spellings("canonical", classes=["wave"]) == ["wave"]
    assert data.action("W3").name == data.action("W003").name == "wave" and data.action("2").name == "sweep"


def test_numbers_in_the_names_of_classes_may_begin_with_zeros(tmp_path):
    rows = [{"clip": "a", "class": "01 wave"}, {"clip": "b", "class": "02 sweep"}]
    folder = write_data_set(tmp_path / "d", rows=rows, classes=["01 wave", "02 sweep"], protocols={}, splits={})
    assert open_data_set(folder).classes_of(["b", "a"]) == ["02 sweep", "01 wave"]


def test_a_protocol_is_data(home):
    rooms, persons = select([str(home)], split="A"), select([str(home)], split="A", protocol="xsub")
    assert rooms.protocol_name == "rooms"
    assert rooms.clips(NAMES, "seen_train") == [n for n in NAMES if "küche" in n and n.endswith(("0", "1"))]
    assert rooms.clips(NAMES, "unseen_test") == [n for n in NAMES if "flur" in n and n.endswith(("2", "3"))]
    assert persons.clips(NAMES, "seen_test") == ["müller 3 (küche) 0", "müller 3 (küche) 1"] + [
        "müller 3 (flur) 0",
        "müller 3 (flur) 1",
    ]
    assert persons.clips(NAMES, "unseen_all") == [n for n in NAMES if n.endswith(("2", "3"))]
    assert rooms.clips(["somebody else's"], "seen_train") == []


@pytest.mark.parametrize(
    ("condition", "subjects"),
    [(2, {2}), ([1, "03"], {1, 3}), ({"not": [1]}, {2, 3}), ({"from": 2}, {2, 3}), ({"to": 1}, {1}), ("1", {1})],
)
def test_conditions_on_numbers(tmp_path, condition, subjects):
    folder = write_data_set(tmp_path / "d", protocols={"p": {"train": {"subject": condition}}})
    selection = select([str(folder)])
    train, test = selection.clips(NAMES, "seen_train"), selection.clips(NAMES, "seen_test")
    assert {int(name.split()[1]) for name in train} == subjects
    assert sorted(train + test) == sorted(NAMES)


def test_a_protocol_may_test_less_than_the_rest_and_concern_few_classes(tmp_path):
    rule = {"train": {"subject": 1}, "test": {"subject": 3, "room": ["flur"]}, "classes": ["sweep", "W03"]}
    selection = select([str(write_data_set(tmp_path / "d", protocols={"few": rule}))])
    assert selection.clips(NAMES, "seen_test") == ["müller 3 (flur) 1", "müller 3 (flur) 2"]
    assert {name[-1] for name in selection.clips(NAMES, "seen_train")} == {"1", "2"}


def test_a_split_is_a_name_a_file_a_list_or_all(home, tmp_path):
    data = open_data_set(home)
    assert data.split("A").name == data.split("home/A").name == "home/A"
    assert data.split("A").unseen == ("wave", "fold") and data.split("A").seen == ("pour tea", "sweep")
    assert data.split().seen == data.split("all").seen == data.class_names and data.split().unseen == ()
    assert data.split("wave, pour tea").unseen == ("pour tea", "wave")
    (tmp_path / "unseen.txt").write_text("\ufeffsweep\r\nW03\n", encoding="utf-8")
    (tmp_path / "unseen.json").write_text('{"unseen": ["sweep", "fold"]}')
    assert data.split(str(tmp_path / "unseen.txt")).unseen == ("sweep", "wave")
    assert data.split(str(tmp_path / "unseen.json")).unseen == ("sweep", "fold")
    with pytest.raises(ValueError, match="unknown split 'B' of home; expected one of home/A, all, a file"):
        data.split("B")
    with pytest.raises(ValueError, match="no class 'Wave'; did you mean 'wave'"):
        data.split("Wave,sweep")
    with pytest.raises(ValueError, match="the split wave has one unseen class, 'wave'"):
        data.split("wave")


def test_without_a_protocol_every_clip_is_for_testing(tmp_path):
    selection = select([str(write_data_set(tmp_path / "d", protocols={}))])
    assert selection.clips(NAMES, "seen_train") == [] and selection.clips(NAMES, "seen_test") == NAMES
    with pytest.raises(ValueError, match=r"unknown protocol 'x' of home; .*dataset.json has none"):
        select([str(tmp_path / "d")], protocol="x")


def test_names_alone_may_say_everything(tmp_path):
    folder = write_data_set(
        tmp_path / "d",
        rows=None,
        classes=[{"id": "a1", "name": "wave"}, {"id": "a2", "name": "sweep"}],
        protocols={"xsub": {"train": {"subject": [1]}}},
        splits={},
        clip_pattern=r"(?P<class>a\d+)_s(?P<subject>\d+)_(?P<word>\w+)",
    )
    selection = select([str(folder)])
    names = ["a01_s1_x", "a2_s02_y", "videos/a02_s01_y.mp4", "a9_s1_x"]
    assert selection.data.classes_of(names) == ["wave", "sweep", "sweep", None]
    assert selection.clips(names, "seen_train") == ["a01_s1_x", "videos/a02_s01_y.mp4"]
    with pytest.raises(ValueError, match="'holiday' is not a clip name of this data set"):
        selection.data.class_of("holiday")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": []}, "'classes' is .*expected a list of class names"),
        ({"classes": ["wave", "wave"]}, "1 classes have the name of another, such as 'wave'"),
        ({"classes": [{"id": "3"}]}, "class 1 is .*expected a name"),
        ({"classes": [{"name": "x", "persons": 3}]}, "'persons' is 3; expected 1 or 2"),
        ({"classes": [{"name": "x", "colour": 3}]}, "class 1 has colour; expected"),
        ({"classes": "classes.csv"}, "no such file; dataset.json names it"),
        ({"protocols": {"p": {"test": {"subject": 1}}}}, "protocols.p has test; expected 'train'"),
        ({"protocols": {"p": {"train": {"subject": {"above": 1}}}}}, "protocols.p.train.subject is .*expected a value"),
        ({"protocols": {"p": {"train": {}}}}, "protocols.p.train is .*expected columns and values"),
        ({"protocols": []}, "'protocols' is .*expected an object"),
        ({"splits": {"A": {"unseen": ["jump"]}}}, "no class 'jump'; it has pour tea, sweep, wave, fold"),
        ({"splits": {"A": ["wave"]}}, "'splits' is .*expected an object of objects"),
        ({"splits": {"A": {"unseen": "wave"}}}, r"splits.A is .*expected \{\"unseen\""),
        ({"clip_pattern": "("}, "clip_pattern is no regular expression"),
        ({"clip_pattern": "x"}, "clip_pattern has no group"),
        ({"colours": 3}, "unknown colours; expected some of name"),
        ({"name": ""}, "expected an object with at least 'name' and 'classes'"),
    ],
)
def test_a_wrong_description_is_named(tmp_path, changes, message):
    folder = write_data_set(tmp_path / "d", **changes)
    with pytest.raises(ValueError, match=message) as error:
        open_data_set(folder)
    assert str(folder) in str(error.value)


def test_a_rule_on_a_column_that_is_not_there_or_of_another_kind_is_named(tmp_path):
    absent = write_data_set(tmp_path / "a", protocols={"p": {"train": {"camera": 1}}})
    with pytest.raises(ValueError, match=r"protocols.p.train: .*clips.csv: no column 'camera'; it has clip, class"):
        select([str(absent)]).clips(NAMES, "seen_train")
    word = write_data_set(tmp_path / "w", protocols={"p": {"train": {"subject": "first"}}})
    with pytest.raises(ValueError, match="the column 'subject' holds numbers, and the condition names"):
        select([str(word)]).clips(NAMES, "seen_train")
    number = write_data_set(tmp_path / "n", protocols={"p": {"train": {"room": {"from": 1}}}})
    with pytest.raises(ValueError, match="the column 'room' holds words, and a range"):
        select([str(number)]).clips(NAMES, "seen_train")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"clip": NAMES[0]}, "line 26 has a clip that an earlier line has too"),
        ({"class": "jump"}, "line 26 has the class 'jump', which .*dataset.json does not list"),
        ({"class": ""}, "line 26 has no class"),
        ({"clip": ""}, "line 26 has no clip"),
        ({"start": "2.5", "end": "2"}, "line 26 has 'end' not after 'start'"),
    ],
)
def test_a_wrong_line_of_the_table_is_named(tmp_path, row, message):
    usual = {"start": "", "end": ""}
    rows = [line | usual for line in ROWS] + [{**ROWS[0], **usual, "clip": "new", **row}]
    folder = write_data_set(tmp_path / "d", rows=rows)
    with pytest.raises(ValueError, match=message):
        open_data_set(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip\nx\n", "found the columns clip; expected also 'class'"),
        ("clip,class\n", "holds no clip"),
        ("clip,class\nx,wave,3\n", "cannot be read as a table of clips"),
        ("", "cannot be read as a table of clips"),
        ("clip,class,start,end\nx,wave,a,b\n", "cannot be read as a table of clips"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    folder = write_data_set(tmp_path / "d")
    (folder / "clips.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        open_data_set(folder)


def test_a_folder_without_description_or_table_says_what_to_write(tmp_path):
    with pytest.raises(ValueError, match="neither a data set that is built in .*nor a folder"):
        open_data_set("ntu-120")
    with pytest.raises(ValueError, match=r"no dataset.json here, .*scripts/prepare.py"):
        open_data_set(tmp_path)
    with pytest.raises(ValueError, match="no table of clips"):
        open_data_set(write_data_set(tmp_path / "d", rows=None))


def test_unknown_columns_are_kept_and_unknown_clips_named(home):
    data = open_data_set(home)
    assert data.table.value(0, "room") == "küche" and data.table.value(0, "subject") == 1
    assert data.members([NAMES[0], "x"]) == [NAMES[0]]
    with pytest.raises(ValueError, match="no line for 1 clips, such as 'x'"):
        data.classes_of([NAMES[0], "x"])


def test_parquet_and_csv_mean_the_same(home, tmp_path):
    other = write_data_set(tmp_path / "other", rows=None)
    pyarrow.parquet.write_table(pa.Table.from_pylist(ROWS), other / "clips.parquet")
    data, expected = open_data_set(other), open_data_set(home)
    assert data.classes_of(NAMES) == expected.classes_of(NAMES)
    write_table(other, ROWS)
    with pytest.raises(ValueError, match="holds clips.csv and clips.parquet; keep one"):
        open_data_set(other)


def test_a_large_table_is_mapped_and_changes_with_its_file(home, monkeypatch):
    monkeypatch.setattr(clip_table, "_MAPPED_FROM", 0)
    before = pa.total_allocated_bytes()
    first, second = open_data_set(home), open_data_set(home)
    assert first.classes_of(NAMES) == second.classes_of(NAMES)
    assert pa.total_allocated_bytes() - before < 10_000  # the rows are in the mapped file
    write_table(home, ROWS[:2])
    assert open_data_set(home).table.names == NAMES[:2]


def test_classes_may_stand_in_a_table(tmp_path):
    folder = write_data_set(tmp_path / "d", classes="classes.csv")
    (folder / "classes.csv").write_text(
        "id,name,persons,sentences,short\n"
        "1,pour tea,1,Tea flows. | A cup fills.,pour\n2,sweep,,,\nW03,wave,2,,\n4,fold,,,\n"
    )
    pour, sweep, wave, _ = open_data_set(folder).description.classes
    assert pour.sentences == ("Tea flows.", "A cup fills.") and pour.spellings == {"short": "pour"}
    assert (pour.persons, sweep.persons, wave.persons) == (1, None, 2)


def test_a_built_in_description_can_be_taken_along(tmp_path):
    copy_description("ntu60", tmp_path)
    assert is_data_set(tmp_path) and not is_data_set(tmp_path / "none")
    copy = open_data_set(tmp_path)
    assert copy.class_names == open_data_set("ntu60").class_names and copy.folder == tmp_path
    assert len(copy.description.without_skeleton) == 302


def test_a_model_of_one_protocol_is_not_tested_by_another(home):
    selection = select([str(home)], protocol="xsub")
    selection.check_protocol("xsub", trained="x was trained")
    with pytest.raises(ValueError, match="x was trained on rooms's clips, asked was --protocol xsub"):
        selection.check_protocol("rooms", trained="x was trained")
    select(split="synthetic").check_protocol("xsub", trained="x was trained")  # another name of the same division


def test_the_usual_data_set_is_the_papers():
    assert select().split.name == "ntu60/48-12"
    with pytest.raises(ValueError, match="'clinic/A' begins with no built-in data set"):
        select(split="clinic/A")
