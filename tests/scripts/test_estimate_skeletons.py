import json
import shutil

import numpy as np
import pytest

from scripts import estimate_skeletons
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import PackedSkeletons, packed_writer
from tests.cases.estimation_case import RedEstimator, red_video


@pytest.fixture(autouse=True)
def double(monkeypatch):
    estimator = RedEstimator()
    monkeypatch.setattr("ski_lvlm.estimation.loading.load_estimator", lambda name, *, detector: estimator)
    return estimator


def videos(folder):
    red_video(folder / "drink" / "müller 1 (küche).mp4")
    red_video(folder / "drink" / "two.mp4", persons=(range(30), range(10, 30)))
    red_video(folder / "late.mp4", persons=(range(15, 30),))
    red_video(folder / "empty.mp4", persons=())
    (folder / "noise.mp4").write_bytes(b"noise" * 99)
    return folder


def estimate(folder, out, *flags):
    return estimate_skeletons.main(["--videos", str(folder), "--out", str(out), "--workers", "0", *flags])


def report(out):
    return json.loads((out / "estimates" / "report.json").read_text())


def test_a_folder_of_videos_becomes_a_packed_set(tmp_path, capsys):
    assert estimate(videos(tmp_path / "videos"), tmp_path / "out", "--overlay", "2") == 0
    packed = PackedSkeletons.open(tmp_path / "out")
    assert sorted(packed.names) == ["drink/müller 1 (küche)", "drink/two", "late"]
    assert packed.layout.name == "blazepose-33" and packed.cleaning == "red-1"
    assert packed.get("drink/two").shape == (30, 2, 33, 3)
    absent = np.isnan(packed.get("late")).any(axis=-1)
    assert absent[..., 15].all() and absent.sum() == len(absent), "unsure joints are absent, and no frame is empty"
    content = report(tmp_path / "out")
    assert set(content["failed"]) == {"empty", "noise"} and "nobody was found" in content["failed"]["empty"]
    assert content["clips"]["late"]["share_with_person"] < 0.8 and content["clips"]["drink/two"]["persons"] == 2
    printed = capsys.readouterr().out
    assert "skeletons of 3 of 5 clips, 1 with two persons" in printed and "skipped noise" in printed
    assert sorted(file.name for file in (tmp_path / "out" / "overlay").rglob("*.jpg")) == [
        "müller 1 (küche).jpg",
        "two.jpg",
    ]


@pytest.mark.slow
def test_a_second_run_estimates_only_what_is_missing_and_packs_with_another_limit(tmp_path, double):
    folder = videos(tmp_path / "videos")
    estimate(folder, tmp_path / "out")
    (tmp_path / "out" / "estimates" / "late.npz").write_bytes(b"torn")
    shutil.rmtree(folder / "drink")  # a clip that is not there any more is not packed
    double.num_frames = 0
    assert estimate(folder, tmp_path / "out", "--min_confidence", "0.05") == 0
    assert 15 <= double.num_frames <= 30
    packed = PackedSkeletons.open(tmp_path / "out")
    assert packed.names == ["late"] and not np.isnan(packed.get("late")).any()


def test_shards_estimate_and_the_run_without_packs(tmp_path, double):
    folder = videos(tmp_path / "videos")
    for shard in ("1/2", "2/2"):
        assert estimate(folder, tmp_path / "out", "--shard", shard) == 0
        assert not (tmp_path / "out" / "index.json").exists()
    double.num_frames = 0
    assert estimate(folder, tmp_path / "out") == 0
    assert len(PackedSkeletons.open(tmp_path / "out")) == 3 and double.num_frames == 0


def test_a_data_set_gets_the_skeletons_of_its_stretches(tmp_path):
    red_video(tmp_path / "day.mp4")
    (tmp_path / "dataset.json").write_text(json.dumps({"name": "home", "classes": ["wave", "clap"]}))
    rows = ["clip,class,video,start,end", "one,wave,day.mp4,0,0.5", "two,clap,day.mp4,0.5,0.9"]
    (tmp_path / "clips.csv").write_text("\n".join(rows) + "\n")
    assert estimate_skeletons.main(["--data", str(tmp_path), "--workers", "0"]) == 0
    packed = PackedSkeletons.open(tmp_path)
    assert {name: packed.num_frames(name) for name in packed.names} == {"one": 15, "two": 12}


def test_a_kinects_skeletons_are_not_replaced(tmp_path):
    with packed_writer(tmp_path / "out", layout=LAYOUTS["ntu-25"], cleaning="ctrgcn-1", source="test") as writer:
        writer.add("a", np.zeros((3, 1, 25, 3), np.float32))
    with pytest.raises(ValueError, match="holds packed skeletons of another origin .ctrgcn-1."):
        estimate(videos(tmp_path / "videos"), tmp_path / "out")
    assert PackedSkeletons.open(tmp_path / "out").names == ["a"]


def test_nobody_in_any_video_is_an_error(tmp_path):
    red_video(tmp_path / "videos" / "empty.mp4", persons=())
    with pytest.raises(ValueError, match="no skeleton in it can be used; .* nobody was found in its 30 frames"):
        estimate(tmp_path / "videos", tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()


@pytest.mark.parametrize("flags", [[], ["--videos", "a"], ["--videos", "a", "--data", "b", "--out", "c"]])
def test_flags_that_do_not_go_together_are_explained(flags, capsys):
    with pytest.raises(SystemExit):
        estimate_skeletons.main(flags)
    assert "give either --videos DIR and --out OUT, or --data DIR" in capsys.readouterr().err
