import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_groups import performances, recognised, recordings
from tests.cases.data_set_case import ROWS, write_data_set

NTU = open_data_set("ntu60")
CLIP = "S003C002P008R001A010"


@pytest.mark.parametrize("name", [CLIP, f"{CLIP}_rgb.avi", f"rgb/{CLIP}.skeleton"])
def test_a_clip_is_recognised_by_its_name_and_by_those_of_its_files(name):
    assert recognised(NTU, [name]) == {name: "clapping"}
    assert performances(NTU, [name]) == ["S003C000P008R001A010"]


@pytest.mark.parametrize("name", ["S003C002P008R001A061", "holiday", "S003C002P008R001A01", "", "müller 1 (küche)"])
def test_names_of_others_are_not(name):
    assert recognised(NTU, [CLIP, name]) == {CLIP: "clapping"}


def test_no_name_is_no_clip(tmp_path):
    for data in (NTU, open_data_set(write_data_set(tmp_path))):
        assert recognised(data, ["unknown"]) == recognised(data, []) == {}
        assert recordings(data, []) == []


def test_the_names_of_a_table_are_its_own(tmp_path):
    data = open_data_set(write_data_set(tmp_path))
    names = [row["clip"] for row in ROWS]
    assert recognised(data, [f"{names[1]}.mp4", CLIP, names[2]]) == {f"{names[1]}.mp4": "sweep", names[2]: "wave"}
    assert recordings(data, names[:1]) == [{"subject": 1, "room": "küche"}]
    assert performances(data, names) == names  # no views: each clip is alone


def test_recordings_that_differ_in_their_view_and_time_alone_are_of_one_performance(tmp_path):
    rows = [ROWS[0] | {"clip": f"{side} {take}", "take": take, "side": side, "start": take, "end": take + len(side)}
            for take in (1, 2) for side in ("left", "right")]  # fmt: skip
    data = open_data_set(write_data_set(tmp_path, rows=rows, views=["side"]))
    one, same, other, also = performances(data, [row["clip"] for row in rows])
    assert one == same != other == also
