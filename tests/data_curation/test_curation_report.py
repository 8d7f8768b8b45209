"""The page of a curation run: whole, one file, the same each time, and safe from what models write."""

import re

import pytest

from data_curation.results.curation_report import write_report
from tests.cases.curation_case import NTU
from tests.cases.page_tags import HOSTILE, Tags
from tests.cases.report_case import captioned, clip, cropped, out, paired, request, steps, whole_run
from tests.cases.video_case import numbered, write_video

pytestmark = pytest.mark.slow


def page(folder, run, *, parts=None, spent=(), settings=None, **options):
    return write_report(
        folder, steps=run, parts=parts or {}, data=NTU, spent=spent, settings=settings or {}, **options
    ).read_text()


def rows(html, title):
    """The cells of the rows below a heading, without tags."""
    section = html.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in section.split("<tr")[1:]]
    return [[" ".join(re.sub(r"<[^>]*>", " ", cell).split()) for cell in row] for row in cells if row]


def test_a_whole_run_is_on_one_page(tmp_path):
    write_video(tmp_path / "crops" / f"{clip(1)}.mp4", numbered(12))
    html = page(
        tmp_path,
        whole_run(),
        parts={"train": [clip(1), clip(2), clip(3)], "unseen": []},
        spent=[request(), request("caption", dollars=None)],
        settings={"captioner": "kinematics", "budget": None},
    )
    assert rows(html, "Clips at each step")[2][:6] == ["qa", "3", "3", "0", "0", "0"]
    assert "The counts add up" in html and "Does not add up" not in html
    assert ["train", "3", "3", "3", "3", "3", "3"] in rows(html, "Balance")
    assert ["A2 eat meal/snack", "", "1", "1", "1"] in rows(html, "Balance")
    assert rows(html, "Detection of persons")[0][:2] == ["skeleton", "3"]
    assert rows(html, "Tokens and money")[-1][:6] == ["all", "", "2", "600", "80", "$0.25 + price unknown of 1 request"]
    assert rows(html, "Settings") == [["captioner", "kinematics"], ["budget", "not set"]]
    assert "last record 2026-11-26 15:04 UTC" in html
    assert html.count("data:image/jpeg;base64,") == 1 and html.count("missing crop: crops/") == 2
    assert ["captions", "3", "0.0 %", "15", "4", "5", "5"] in rows(html, "Wording")


def test_the_same_records_give_the_same_bytes(tmp_path):
    write_video(tmp_path / "crops" / f"{clip(1)}.mp4", numbered(12))
    first, again = (page(tmp_path, whole_run(), spent=[request()]) for _ in range(2))
    assert first == again
    later = page(tmp_path, whole_run(), spent=[request(at="2026-12-01T00:00:00+00:00")])
    assert "last record 2026-12-01 00:00 UTC" in later


def test_what_models_write_stays_text(tmp_path):
    run = steps(
        crop={clip(1): cropped(found_by=HOSTILE), clip(2): out(HOSTILE)},
        caption={clip(1): captioned(HOSTILE, model=HOSTILE)},
        qa={clip(1): paired((HOSTILE, HOSTILE, HOSTILE), rejects=[{"reason": HOSTILE, "text": HOSTILE}])},
    )
    html = page(tmp_path, run, spent=[request(model=HOSTILE)], settings={HOSTILE: HOSTILE})
    assert "<script" not in html and "onerror=a>" not in html
    assert "&lt;script&gt;alert(&#34;x&#34;)" in html and "{{ 7 * 6 }}" in html
    tags = Tags(html)
    assert not {"script", "link", "iframe", "b"} & {tag for tag, _ in tags.found}
    assert not [name for _, attributes in tags.found for name in attributes if name == "href" or name.startswith("on")]
    assert all(attributes["src"].startswith("data:image/") for tag, attributes in tags.found if tag == "img")


@pytest.mark.parametrize("crop", [None, b"no video"])
def test_a_crop_that_is_gone_or_broken_is_said(tmp_path, crop):
    if crop:
        (tmp_path / "crops").mkdir()
        (tmp_path / "crops" / f"{clip(1)}.mp4").write_bytes(crop)
    html = page(tmp_path, whole_run([1]))
    assert ("cannot be decoded" if crop else "missing crop") in html and "data:image/jpeg" not in html


def test_a_run_without_clips_says_so(tmp_path):
    html = page(tmp_path, steps(), parts={"train": []})
    for absence in (
        "nothing recorded yet",
        "nothing was left out",
        "no crops",
        "no clips",
        "no language model was asked",
        "nothing was done",
        "none were given",
        "no clip has pairs",
    ):
        assert absence in html, absence
    assert rows(html, "Clips at each step")[0][:5] == ["crop", "0", "0", "0", "0"]


def test_a_run_of_which_nothing_came_is_told_with_its_reasons(tmp_path):
    html = page(tmp_path, steps(crop={clip(n): out(f"frame {n} is black") for n in range(1, 9)}))
    (reason,) = rows(html, "Clips and pairs left out, by reason")
    assert reason == ["8", "frame … is black", ", ".join(clip(n) for n in range(1, 6)) + ", …"]


def test_reasons_beyond_the_most_frequent_are_counted_together(tmp_path):
    crop = {clip(n): out("x" * n) for n in range(1, 31)} | {clip(n): out("often") for n in range(31, 41)}
    found = rows(page(tmp_path, steps(crop=crop)), "Clips and pairs left out, by reason")
    assert found[0][:2] == ["10", "often"] and found[-1] == [
        "11",
        "for 11 other reasons (see the step's records)",
    ]
    assert sum(int(row[0]) for row in found) == 40


def test_counts_that_do_not_add_up_are_a_warning(tmp_path):
    run = whole_run()
    del run["caption"][clip(1)]
    html = page(tmp_path, run)
    assert "The counts add up" not in html
    assert f"Does not add up: qa: 1 clips went in that caption did not pass, such as {clip(1)}" in html


def test_all_120_actions_have_a_row(tmp_path):
    html = page(tmp_path, whole_run(range(1, 121)))
    actions = [row for row in rows(html, "Balance") if re.match(r"A\d+ ", row[0])]
    assert [row[0].split()[0] for row in actions] == [f"A{n}" for n in range(1, 121)]
    assert "120 actions have pairs, between 1 and 1" in html and html.count('<section class="clip">') == 24


def test_shown_and_seed_decide_which_clips_are_shown(tmp_path):
    shown = [
        re.findall(r"<code>(\w+)", page(tmp_path, whole_run(range(1, 61)), count=5, seed=seed)) for seed in (0, 0, 1)
    ]
    assert shown[0] == shown[1] != shown[2] and len(shown[2]) == 5


def test_clips_without_pairs_are_not_shown(tmp_path):
    run = whole_run([1, 2, 3])
    run["qa"][clip(1)]["pairs"] = []
    run["qa"][clip(2)] = {"name": clip(2), **out("no usable pair")}
    assert re.findall(r"<code>(\w+)", page(tmp_path, run)) == [clip(3)]


def test_a_password_in_an_address_is_not_shown(tmp_path):
    html = page(tmp_path, steps(), settings={"base_url": "https://me:secret@host:8000/v1"})
    assert "secret" not in html and "@host:8000/v1" in html
