"""The Charades benchmark from made-up annotations, and from the genuine head of the test CSV where it is here."""

import csv
import io
import json
import re
import struct
import sys
import zipfile

import pytest

from data_curation.prompts import CONSISTENCY
from eval.charades import QUESTION, main, read_references
from eval.items import charades_files
from eval.items.charades_files import CharadesError
from eval.items.questions import read_questions
from tests.cases import command_case
from tests.cases.video_case import REAL

HEAD = REAL / "lists" / "Charades_v1_test_head.csv"
IDS = ["AAAA1", "BBBB2", "CCCC3"]
LINES = "".join(f"{video} Someone, No. {k}; walks \u201cslowly\u201d.\n" for k, video in enumerate(IDS))
CAPTIONS = [f"Someone, No. {k}; walks \u201cslowly\u201d." for k in range(3)]


def table(ids=IDS):
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["id", "subject", "script", "objects", "descriptions", "length"])
    rows.writerows(
        [video, "S", f"Walk,\nsays {video}.", "bed", f'{video} walks.; {video} "stops".', "9"] for video in ids
    )
    return file.getvalue()


def archive(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(name.replace("__", "/"), content)
    return path


def pack(path, *, lines=LINES, rows=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("Charades/deep/test_submission_caption.txt", lines)
        out.writestr("__MACOSX/Charades/deep/._test_submission_caption.txt", b"\0\5\x16\7")
        out.writestr("__MACOSX/Charades/deep/test_submission_caption.txt", b"\0\5\x16\7")
        out.writestr("Charades/Charades_v1_test.csv", table() if rows is None else rows)
    return path


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "Charades_v1_480"
    folder.mkdir()
    for video in IDS:
        (folder / f"{video}.mp4").write_bytes(b"x")
    return folder


def run(annotations, videos, *more):
    out = videos.parent / "questions.json"
    assert main(["--annotations", str(annotations), "--videos", str(videos), "--out", str(out), *more]) == 0
    return json.loads(out.read_text()), json.loads((videos.parent / "questions.checks.json").read_text())


def pairs(records):
    return [(record["video_name"], record["A"]) for record in records]


def test_the_submission_lines_are_the_references_and_three_questions_are_asked(tmp_path, videos, capsys):
    records, checks = run(pack(tmp_path / "Charades.zip"), videos)
    assert pairs(records) == list(zip(IDS, CAPTIONS, strict=True))
    assert all((r["Q"], r["Q1"], r["Q2"]) == (QUESTION, *CONSISTENCY) for r in records)
    assert checks == {"reference": "submission", "records": 3}
    assert "3 records of 3 videos (published: 1863)" in capsys.readouterr().out
    assert len(read_questions(videos.parent / "questions.json")) == 3


def test_a_folder_and_a_zip_inside_a_folder_are_the_same(tmp_path, videos):
    expected, _ = run(pack(tmp_path / "Charades.zip"), videos)
    zipped = tmp_path / "holds_the_zip"
    zipped.mkdir()
    pack(zipped / "Charades.zip")
    assert run(zipped, videos)[0] == expected
    unpacked = tmp_path / "unpacked"
    zipfile.ZipFile(tmp_path / "Charades.zip").extractall(unpacked)
    assert run(unpacked, videos)[0] == expected


def test_other_references_have_names_of_their_own(tmp_path, videos):
    annotations = pack(tmp_path / "c.zip")
    assert pairs(run(annotations, videos, "--reference", "script")[0]) == [(v, f"Walk,\nsays {v}.") for v in IDS]
    found = pairs(run(annotations, videos, "--reference", "descriptions")[0])
    assert found == [(v, text) for v in IDS for text in (f"{v} walks.", f'{v} "stops".')]


def test_questions_can_be_ones_own(tmp_path, videos):
    records, _ = run(pack(tmp_path / "c.zip"), videos, "--question", "Say.", "--wordings", "One?", "Two?")
    assert {(r["Q"], r["Q1"], r["Q2"]) for r in records} == {("Say.", "One?", "Two?")}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--question", " "], "found an empty text"),
        (["--wordings", "What?", ""], "found an empty text"),
        (["--wordings", "What now?", "what  now? "], "found the same twice, 'What now\\?'"),
        (["--out", "q.jsonl"], "--out q.jsonl: .* give a .json file"),
    ],
)
def test_questions_that_measure_nothing_or_cannot_be_read_are_refused(tmp_path, monkeypatch, videos, wrong, said):
    monkeypatch.chdir(tmp_path)
    pack(tmp_path / "c.zip")
    with pytest.raises(ValueError, match=said):
        main(["--annotations", "c.zip", "--videos", str(videos), "--out", "q.json", *wrong])
    assert not list(tmp_path.glob("q.*"))


def test_the_question_asks_for_what_the_published_one_asks():
    assert all(word in QUESTION for word in ("Describe", "100 words", "every action", "objects"))


@pytest.mark.parametrize("policy", ["leave_out", "keep"])
def test_missing_videos_are_counted_listed_and_never_replaced(tmp_path, videos, capsys, policy):
    (videos / "BBBB2.mp4").rename(videos / "BBBB.mp4")  # nearly the name
    records, checks = run(pack(tmp_path / "c.zip"), videos, "--missing", policy)
    wanted = IDS if policy == "keep" else ["AAAA1", "CCCC3"]
    assert [r["video_name"] for r in records] == wanted and checks["records"] == len(wanted)
    kind = "videos that are missing, " + {"leave_out": "left out", "keep": "kept"}[policy]
    assert checks[kind] == ["BBBB2"] and f"{kind}: 1: BBBB2" in capsys.readouterr().out


def test_a_long_list_is_cut_on_the_terminal_and_whole_in_the_file(tmp_path, videos, capsys):
    ids = [*IDS, *(f"Z{k:04}" for k in range(30))]
    lines = "".join(f"{video} Walks.\n" for video in ids)
    _, checks = run(pack(tmp_path / "c.zip", lines=lines, rows=table(ids)), videos)
    assert checks["videos that are missing, left out"] == ids[3:]
    assert "Z0019, …" in capsys.readouterr().out


def test_no_video_at_all_or_no_folder_is_refused(tmp_path, videos):
    (tmp_path / "other").mkdir()
    for folder, said in (
        (tmp_path / "other", r"none of the 3 videos; expected AAAA1\.mp4"),
        (tmp_path / "no", "no such folder"),
    ):
        with pytest.raises(ValueError, match=said):
            main(
                [
                    "--annotations",
                    str(pack(tmp_path / "c.zip")),
                    "--videos",
                    str(folder),
                    "--out",
                    str(tmp_path / "q.json"),
                ]
            )
    assert not (tmp_path / "q.json").exists()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path, videos, encoding, newline):
    written = LINES.replace("\n", newline).encode(encoding)
    records, checks = run(pack(tmp_path / "c.zip", lines=written), videos)
    assert pairs(records) == list(zip(IDS, CAPTIONS, strict=True))
    assert bool(checks.get("files read as Windows-1252")) == (encoding == "cp1252")


def test_odd_annotations_are_reported(tmp_path, videos):
    lines = "AAAA1 Sits.\n\nAAAA1 Sits.\nBBBB2\nDDDD4\tWALKS.\n"
    (videos / "DDDD4.mp4").write_bytes(b"x")
    records, checks = run(pack(tmp_path / "c.zip", lines=lines), videos)
    assert pairs(records) == [("AAAA1", "Sits."), ("DDDD4", "WALKS.")]
    assert checks["without a reference, left out"] == ["BBBB2"]
    assert checks["in test_submission_caption.txt but not in the CSV"] == ["DDDD4"]
    assert checks["in the CSV but not in test_submission_caption.txt"] == ["CCCC3"]


@pytest.mark.parametrize(
    ("files", "reference", "said"),
    [
        ({}, "submission", "no test_submission_caption.txt"),
        ({"c__test_submission_caption.txt": LINES}, "script", r"no Charades_v1_test\*\.csv"),
        ({"test_submission_caption.txt": "AAAA1 Sits.\nAAAA1 Stands.\n"}, "submission", "1 videos have two different"),
        ({"test_submission_caption.txt": "Someone sits.\n"}, "submission", "starts with 'Someone'; expected a video"),
        ({"test_submission_caption.txt": b"AAAA1 \x81\x8d"}, "submission", "no text in UTF-8"),
        ({f"{d}__test_submission_caption.txt": f"AAAA1 {d}" for d in "ab"}, "submission", "2 different files"),
        ({"Charades_v1_test.csv": "id,script\nAAAA1,x\n"}, "script", "no column descriptions"),
        ({"Charades_v1_test.csv": "id,script,descriptions\nAAAA1,x\n"}, "script", "line 2: the row is too short"),
        ({"Charades_v1_test.csv": "id,script,descriptions\nA,x,y\nA,x,z\n"}, "script", "second, different row of A"),
        ({"Charades_v1_test.csv": 'id,script,descriptions\nA,"x"y,z\n'}, "script", "no CSV"),
    ],
)  # fmt: skip
def test_annotations_that_cannot_be_trusted_are_refused(tmp_path, files, reference, said):
    with pytest.raises(CharadesError, match=said):
        read_references(archive(tmp_path / "c.zip", **files), reference)


def test_a_member_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(charades_files, "MAX_BYTES", 1000)
    bomb = archive(tmp_path / "c.zip", **{"test_submission_caption.txt": "AAAA1 " + "x" * 100_000})
    with pytest.raises(CharadesError, match="has 100006 bytes, expected at most 1000"):
        read_references(bomb, "submission")
    content = bytearray(bomb.read_bytes())  # the size in both headers becomes a lie
    for place in (m.start() for m in re.finditer(re.escape(struct.pack("<L", 100_006)), bytes(content))):
        content[place : place + 4] = struct.pack("<L", 900)
    bomb.write_bytes(bytes(content))
    with pytest.raises(CharadesError):
        read_references(bomb, "submission")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_zip_is_named(tmp_path, damage):
    whole = pack(tmp_path / "whole.zip").read_bytes()
    flipped = whole[:70] + bytes([whole[70] ^ 255, whole[71] ^ 255]) + whole[72:]
    content = {"cut": whole[: len(whole) // 2], "flipped": flipped, "empty": b"", "text": b"not a zip"}[damage]
    (tmp_path / "Charades.zip").write_bytes(content)
    with pytest.raises(CharadesError, match=r"Charades\.zip is no readable zip"):
        read_references(tmp_path / "Charades.zip", "submission")


def test_a_damaged_zip_beside_whole_annotations_is_told_and_not_fatal(tmp_path, videos, capsys):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "test_submission_caption.txt").write_text(LINES)
    whole = pack(tmp_path / "whole.zip").read_bytes()
    (folder / "Charades_v1_480.zip").write_bytes(whole[: len(whole) // 2])
    records, checks = run(folder, videos)
    assert pairs(records) == list(zip(IDS, CAPTIONS, strict=True))
    (told,) = checks["zips that cannot be read"]
    assert "Charades_v1_480.zip is no readable zip" in told and told in capsys.readouterr().out
    (folder / "test_submission_caption.txt").unlink()  # now it may be in that zip
    with pytest.raises(CharadesError, match=r"Charades_v1_480\.zip is no readable zip .*fetch it again"):
        run(folder, videos)


def test_annotations_that_are_not_there(tmp_path):
    with pytest.raises(CharadesError, match="does not exist; expected Charades.zip"):
        read_references(tmp_path / "none.zip", "submission")


@pytest.mark.skipif(not HEAD.exists(), reason=f"the genuine head of Charades' test CSV {HEAD} is not here")
def test_the_genuine_head_with_a_made_up_submission_in_a_zip_beside_it(tmp_path):
    """The genuine CSV goes into no file of ours but the temporary ones of this test."""
    with HEAD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    folder, videos = tmp_path / "annotations", tmp_path / "Charades_v1_480"
    folder.mkdir()
    videos.mkdir()
    (folder / HEAD.name).symlink_to(HEAD)
    made_up = {row["id"]: f"Made-up description {k}." for k, row in enumerate(rows)}
    archive(
        folder / "Charades.zip", **{"test_submission_caption.txt": "".join(f"{v} {t}\n" for v, t in made_up.items())}
    )
    for video in made_up:
        (videos / f"{video}.mp4").write_bytes(b"x")
    records, checks = run(folder, videos)
    assert dict(pairs(records)) == made_up and len(records) == len(rows) == 199
    assert checks == {"reference": "submission", "records": 199}
    scripts = dict(pairs(run(folder, videos, "--reference", "script")[0]))
    assert scripts == {row["id"]: row["script"].strip() for row in rows}
    written = pairs(run(folder, videos, "--reference", "descriptions")[0])
    assert 2 * 199 <= len(written) <= 4 * 199 and {video for video, _ in written} == set(made_up)
    assert all(text in row["descriptions"] for row in rows for video, text in written if video == row["id"])


@pytest.mark.slow
def test_the_command_names_what_is_wrong_in_one_line(tmp_path):
    command = [sys.executable, "eval/charades.py", "--annotations", str(tmp_path / "no.zip"), "--videos", str(tmp_path)]
    done = command_case.run(command, cwd=charades_files.__file__.rpartition("/eval/")[0])
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_the_published_question_is_not_ours_to_give(tmp_path, videos):
    archive = pack(tmp_path / "Charades.zip")
    words = ["--annotations", str(archive), "--videos", str(videos), "--out", str(tmp_path / "q.json")]
    with pytest.raises(ValueError, match=r"not shipped.*test-corr.json.*dreilly/ADL-X-Evals"):
        main([*words, "--question", "published"])
    assert not (tmp_path / "q.json").exists()


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1e"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_rows_of_the_table_end_at_ends_of_lines_alone(mark, ends):
    text = ends.join(["id,script,descriptions", f"AAAA1,Walk{mark}on,Walks{mark}on", "BBBB2,Sit,Sits", ""])
    rows = charades_files.table_rows(text, "f")
    assert rows["AAAA1"]["descriptions"] == f"Walks{mark}on" and len(rows) == 2
