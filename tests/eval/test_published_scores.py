"""Score files of others: read as they are, nothing guessed."""

import json

import pytest

from eval.results.aggregate import metric_row
from eval.results.published_scores import read_score, read_score_file
from eval.results.score_json import GradesError


def published(tmp_path, entries):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(entries))
    return path


def entry(score):
    return [{"score": score}, {"q": "What happens?", "a": "He waves.", "pred": "He sits."}]


@pytest.mark.slow
def test_the_published_histogram_gives_the_published_number(tmp_path):
    counts = (933, 131, 219, 87, 13, 480)
    scores = [score for score, count in enumerate(counts) for _ in range(count)]
    row = metric_row(
        read_score_file(published(tmp_path, {f"video{n}_0": entry(score) for n, score in enumerate(scores)}))
    )
    assert round(row["mean"], 1) == 35.2 and row["histogram"] == list(counts)
    assert row["n_total"] == row["n_scored"] == 1863
    assert row["interval"] == pytest.approx([33.4, 37.1], abs=0.4)


def test_scores_as_text_are_read_and_others_are_unscored_and_counted(tmp_path):
    values = {"a_0": "4", "b_0": 4.8, "c_0": "good", "d_0": 6, "e_0": None, "f_0": True}
    entries = {key: entry(value) for key, value in values.items()}
    row = metric_row(read_score_file(published(tmp_path, {**entries, "g_0": [{"q": "?"}], "h_0": [], "i_0": 3})))
    assert row["mean"] == pytest.approx(88) and (row["n_scored"], row["n_total"]) == (2, 9)
    assert row["unscored"] == {"no number from 0 to 5": 4, "no score in the file": 3}


def test_the_video_is_the_key_without_its_count(tmp_path):
    items = read_score_file(published(tmp_path, {"v_1_0": entry(1), "v_1_1": {"score": 2}, "plain": entry(3)}))
    assert [(item.video, item.score) for item in items] == [("v_1", 1), ("v_1", 2), ("plain", 3)]


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "5.1", "4/5", "4,5", [4], {"score": 4}, float("nan")])
def test_what_is_no_score(value):
    assert read_score(value) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{\"a_0\": [{''score': 4.8}]}", "is no JSON"),
        ("[1, 2]", "expected {"),
        ("{}", "expected {"),
        ('{"a": 1, "b": [[]]}', "none of the 2 entries holds a score"),
    ],
)
def test_files_that_are_no_score_files(tmp_path, content, said):
    path = tmp_path / "scores.json"
    with pytest.raises(GradesError, match="does not exist"):
        read_score_file(path)
    path.write_text(content)
    with pytest.raises(GradesError, match=said):
        read_score_file(path)


def test_a_mark_before_the_text_and_a_score_too_large_for_a_float_stop_nothing(tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"v_0": entry(4), "w_0": entry(int("9" * 400))}).encode())
    assert [item.score for item in read_score_file(path)] == [4, None]


def test_keys_without_a_count_are_videos_of_their_own(tmp_path):
    items = read_score_file(published(tmp_path, {"v_a": entry(1), "v_b": entry(3), "_7": entry(2)}))
    assert [item.video for item in items] == ["v_a", "v_b", "_7"]
    assert metric_row(items)["interval"] is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"v_0": [{"score": 1}], "v_0": [{"score": 5}]}', "the key 'v_0' stands there twice; keep one"),
    ],
)
def test_what_would_be_lost_or_cannot_be_read_is_said_in_a_line(tmp_path, content, said):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(GradesError, match=said):
        read_score_file(tmp_path / "p.json")
    with pytest.raises(GradesError, match="is a folder"):
        read_score_file(tmp_path)
