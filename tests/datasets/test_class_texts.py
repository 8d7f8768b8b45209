import csv
import shutil
import sys

import pytest

from ski_lvlm.datasets import class_texts as module
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.class_texts import (
    COLUMNS,
    FILE,
    PARTS,
    ClassTexts,
    class_texts,
    is_about,
    read_rows,
    texts_of,
    write_class_texts,
)
from ski_lvlm.datasets.converters.utd_mhad import CLASSES
from ski_lvlm.datasets.joined import join
from tests.cases.data_set_case import write_data_set

SHARED = module._SHARED
WORDS = {"definition": (10, 25), "motion": (10, 30)} | dict.fromkeys(PARTS, (7, 20))
DISTINCT = {"definition": 0.8, "motion": 0.8, "hand": 0.8, "arm": 0.8, "head": 0.5, "hip": 0.5, "leg": 0.5, "foot": 0.5}
WAVE = ["wave", "Waves.", "The hand waves.", *(f"{part.title()} waves." for part in PARTS)]


def shared_rows():
    with SHARED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def own(folder, *rows, columns=COLUMNS, ends=""):
    """Make a data set with a table of its own."""
    write_data_set(folder)
    with (folder / FILE).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
        file.write(ends)
    return open_data_set(folder)


def test_the_file_is_written_as_the_reader_wants_it():
    with SHARED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert tuple(rows[0]) == COLUMNS
    assert all(len(row) == len(COLUMNS) and all(cell == cell.strip() != "" for cell in row) for row in rows)


def test_every_class_of_ntu_and_utd_is_described_once():
    names = [row["name"] for row in shared_rows()]
    ntu, utd = open_data_set("ntu120").class_names, [entry["name"] for entry in CLASSES]
    assert len(names) == len(set(names)) and set(names) == {*ntu, *utd}
    assert (len(ntu), len(utd), set(ntu) & set(utd)) == (120, 27, {"throw"})


@pytest.mark.parametrize("column", WORDS)
def test_sentences_have_their_length_and_are_told_apart(column, capsys):
    sentences = {row["name"]: row[column] for row in shared_rows()}
    least, most = WORDS[column]
    assert not {name: text for name, text in sentences.items() if not least <= len(text.split()) <= most}
    assert not {name: text for name, text in sentences.items() if not text.endswith(".") or text.count(".") > 1}
    number = len(set(sentences.values()))
    with capsys.disabled():
        sys.stdout.write(f"\n{column}: {number} distinct sentences of {len(sentences)}\n")
    assert number >= DISTINCT[column] * len(sentences)


@pytest.mark.parametrize("part", PARTS)
def test_a_sentence_begins_with_its_part(part):
    assert [row[part] for row in shared_rows() if not is_about(row[part], part)] == []


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = list(read_rows(SHARED))
    write_class_texts(tmp_path / FILE, {row.name: row.texts for row in rows})
    assert (tmp_path / FILE).read_bytes() == SHARED.read_bytes()


def test_actions_of_two_speak_of_two():
    two = {action.name for action in open_data_set("ntu120").description.classes if action.persons == 2}
    texts = {row["name"]: row["definition"] for row in shared_rows() if row["name"] in two}
    assert len(texts) == 26
    assert all(text.startswith(("Two people", "One person")) for text in texts.values())
    assert all("another" in text for text in texts.values() if text.startswith("One person"))


@pytest.mark.parametrize("name", ["ntu60", "ntu120", "synthetic"])
def test_all_names_and_spellings_of_built_in_sets_have_texts(name):
    data = open_data_set(name)
    table = class_texts(data)
    for action in data.description.classes:
        for text in (action.name, *action.spellings.values()):
            assert table[text.casefold()] is table[action.name.casefold()]


def test_a_name_without_texts_stands_for_them():
    table = class_texts(open_data_set("synthetic"))
    assert texts_of("Hand Waving", table).parts["hand"].startswith("Hand is held up")
    assert texts_of("arm curl", table).definition.startswith("A person bends")  # of UTD-MHAD
    assert texts_of("Fry eggs", table) == ClassTexts("Fry eggs", "Fry eggs", dict.fromkeys(PARTS, "Fry eggs"))


def test_a_data_set_overrides_and_adds(tmp_path):
    data = own(tmp_path / "home", WAVE, ["1", "Pours.", *["Tea  is\npoured."] * 7])
    table = class_texts(data)
    assert table["wave"] == ClassTexts(WAVE[1], WAVE[2], dict(zip(PARTS, WAVE[3:], strict=True)))
    assert table["pour tea"] is table["pour"] and table["pour"].motion == "Tea is poured."
    assert "fold" not in table and table["clapping"] == class_texts(open_data_set("ntu120"))["clapping"]


def test_own_texts_of_any_joined_data_set_come_before_the_shared_ones(tmp_path):
    plain = open_data_set(write_data_set(tmp_path / "plain", name="plain"))
    first, second = own(tmp_path / "home", WAVE), own(tmp_path / "2", ["wave", *["Other."] * 8])
    assert class_texts(join([plain, first]))["wave"].definition == "Waves."
    second.description = open_data_set(write_data_set(tmp_path / "2", name="second")).description
    assert class_texts(join([first, second]))["wave"].definition == "Waves."
    assert class_texts(join([second, first]))["wave"].definition == "Other."


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([["wavee", *WAVE[1:]]], {}, r"line 2: .*no class 'wavee'; .*; correct the name, or delete the line"),
        ([WAVE, ["W03", *WAVE[1:]]], {}, "line 3 describes 'wave' again; expected one line a class"),
        ([WAVE[:-1]], {}, "line 2 has too few cells; expected one for each column"),
        ([[*WAVE, "more"]], {}, "line 2 has too many cells; .* put a sentence with commas in double quotes"),
        ([[*WAVE[:4], " ", *WAVE[5:]]], {}, "line 2 has nothing in hand; expected a text in every column"),
        ([WAVE], {"ends": 'fold,"It is'}, r"line 3 is no CSV \(.*\); expected closed quotes"),
        ([], {"columns": ("name", "definition", *PARTS)}, "found the columns name, .*; expected also motion: add"),
    ],
)
def test_a_bad_table_is_told_with_its_line(tmp_path, rows, more, message):
    with pytest.raises(ValueError, match=rf"home/{FILE}: {message}"):
        class_texts(own(tmp_path / "home", *rows, **more))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xff", b"\x1f\x8bno gzip", b"name\n", b"\0" * 9])
def test_a_file_that_is_no_table_is_told(tmp_path, content):
    data = own(tmp_path / "home")
    (data.folder / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"home/{FILE}: "):
        class_texts(data)


def test_a_copy_of_the_shared_file_may_be_edited(tmp_path):
    folder = write_data_set(tmp_path / "home", classes=[row["name"] for row in shared_rows()], splits={}, rows=None,
                            clip_pattern="(?P<class>.*)")  # fmt: skip
    shutil.copyfile(SHARED, folder / FILE)
    assert class_texts(open_data_set(folder)) == module._shared()
