"""The files of the world: genuine, same bytes for a seed, resumed, with facts, refused with wrong flags."""

import json
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from data_curation import synthesize
from data_curation.world import make, sheet
from data_curation.world.actions import ACTIONS
from data_curation.world.clips import Settings, clip_names, take
from data_curation.world.difficulty import PRESETS
from data_curation.world.facts import facing
from ski_lvlm.datasets.ntu import parse_name
from ski_lvlm.datasets.ntu_folder import find_files, synthetic_name
from ski_lvlm.skeletons.cleaning import clean
from ski_lvlm.skeletons.ntu_file import read_skeleton

SMALL = Settings(seed=3, level="hard", difficulty=PRESETS["hard"], width=128, height=72, num_frames=16)


def flags(out, *more: str) -> list[str]:
    return ["--out", str(out), "--actions", "48", "--clips", "3", "--size", "64x36", "--workers", "1", *more]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a clip of each kind of action, and their facts."""
    out = tmp_path_factory.mktemp("world")
    names = [next(n for n in clip_names(96, settings=SMALL) if n.action == action) for action in (1, 58, 43, 30)]
    facts = [make.make_clip(name, out=out, settings=SMALL) for name in names]
    assert all(is_new for is_new, _ in facts)
    make.write_facts(out / make.FACTS, [entry for _, entry in facts])
    make.claim(out, SMALL)
    return out


def test_files_are_read_by_our_own_readers_with_the_right_number_of_persons(made):
    for path in sorted((made / "skeletons").iterdir()):
        recording = read_skeleton(path)
        persons = ACTIONS[parse_name(path.stem).action].persons
        assert recording.num_frames == 16
        assert clean(recording).joints.shape[1] == persons
        with av.open(str(made / "rgb" / f"{path.stem}_rgb.avi")) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height, sum(1 for _ in container.decode(video=0))) == (128, 72, 16)
    assert synthetic_name(made) == find_files(made).dataset == "synthetic48"


@pytest.mark.slow
def test_every_recording_keeps_its_persons_after_cleaning():
    for clip in clip_names(144, settings=SMALL):
        recording = make.recorded(clip, take(clip, settings=SMALL), SMALL)
        assert clean(recording).joints.shape[1] == ACTIONS[clip.action].persons


def test_the_same_seed_gives_the_same_bytes(made, tmp_path):
    clip = parse_name(sorted((made / "skeletons").iterdir())[0].stem)
    make.make_clip(clip, out=tmp_path, settings=SMALL)
    for file in (f"rgb/{clip}_rgb.avi", f"skeletons/{clip}.skeleton"):
        assert (tmp_path / file).read_bytes() == (made / file).read_bytes()


def test_facts_are_exact(made):
    facts = {e["actions"][0]["number"]: e for e in map(json.loads, (made / make.FACTS).read_text().splitlines())}
    assert facts[58]["actions"][0]["name"] == "handshaking"
    assert [len(facts[number]["persons"]) for number in (1, 58)] == [1, 2]
    assert {thing["thing"] for thing in facts[30]["things"]} <= {"desk", "chair"} and facts[30]["things"]
    assert all(entry["difficulty"] == "hard" and entry["frames"] == 16 for entry in facts.values())
    first = facts[1]
    bring = next(part for part in first["parts"] if part["part"] == "bring main mouth")
    assert bring["hand"] == first["persons"][0]["handed"] and 0 < bring["start"] < bring["end"] < first["seconds"]
    assert first["facing"]["direction"] in ("left", "right", "towards the camera", "away from the camera")
    assert set(first["room"]) == {"number", "walls", "floor", "furniture", "furniture_in_view"}
    assert set(first["room"]["furniture_in_view"]) <= set(first["room"]["furniture"])


def test_a_choice_of_classes_is_noted_and_all_of_them_are_not(tmp_path):
    make.claim(tmp_path / "all", SMALL)
    assert "classes" not in json.loads((tmp_path / "all" / make.NOTE).read_text())
    make.claim(tmp_path / "few", replace(SMALL, classes=(1, 8)))
    assert json.loads((tmp_path / "few" / make.NOTE).read_text())["classes"] == [1, 8]
    with pytest.raises(ValueError, match="was made with"):
        make.claim(tmp_path / "few", SMALL)


def test_facing_is_told_as_the_camera_sees_it():
    assert facing(np.pi, 0.0)["direction"] == "towards the camera"
    assert facing(0.0, 0.0)["direction"] == "away from the camera"
    assert facing(np.pi / 2, 0.0) == {"degrees": 90.0, "direction": "right"}
    assert abs(facing(np.pi, np.pi / 4)["degrees"]) == 45.0


@pytest.mark.slow
def test_a_folder_grows_takes_other_difficulties_and_refuses_other_settings(tmp_path, capsys):
    assert synthesize.main(flags(tmp_path, "--num_frames", "14")) == 0
    assert "3 clips" in capsys.readouterr().out
    kept = next((tmp_path / "rgb").iterdir())
    kept.unlink()
    synthesize.main(flags(tmp_path, "--num_frames", "14"))
    assert "(1 made now)" in capsys.readouterr().out
    synthesize.main(flags(tmp_path, "--num_frames", "14", "--difficulty", "easy"))
    facts = [json.loads(line) for line in (tmp_path / make.FACTS).read_text().splitlines()]
    assert [entry["difficulty"] for entry in facts] == ["default"] * 3 + ["easy"] * 3
    assert len(list((tmp_path / "skeletons").iterdir())) == 6
    synthesize.main(flags(tmp_path, "--num_frames", "14", "--light", "0.5", "0.6"))
    others = (["--num_frames", "15"], ["--num_frames", "14", "--seed", "1"], ["--num_frames", "14", "--actions", "16"])
    for other in (*others, ["--num_frames", "14", "--light", "0.5", "0.7"]):
        with pytest.raises(ValueError, match="was made with|with --actions 16"):
            synthesize.main(flags(tmp_path, *other))
    with pytest.raises(ValueError, match="was made with"):
        synthesize.main(["--out", str(tmp_path), "--clips", "3", "--workers", "1"])


@pytest.mark.slow
def test_square_videos_show_the_middle(tmp_path):
    synthesize.main([*flags(tmp_path, "--num_frames", "14"), "--side", "48", "--clips", "1"])
    with av.open(str(next((tmp_path / "rgb").iterdir()))) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (48, 48)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--actions", "16", "--difficulty", "easy"], "--difficulty with --actions 16, whose clips are fixed; add"),
        (["--actions", "16", "--light", "0.5", "1"], "--light with --actions 16"),
        (["--fps", "10", "--num_frames", "20"], "only one can hold; leave one out"),
        (["--wrong_things", "3", "1"], "the smaller number first"),
        (["--sheet", "sheet.gif"], "expected a file that ends in .png or .jpg"),
        (["--clips", "0"], "--clips is 0"),
        (["--classes", "A1,A12"], "--classes: found 'A12'; expected ids such as A1"),
        (["--actions", "16", "--classes", "A1"], "--classes with --actions 16"),
    ],
)
def test_wrong_combinations_are_refused(tmp_path, more, message):
    with pytest.raises(ValueError, match=message):
        synthesize.main(flags(tmp_path, *more))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "more", [["--side", "33"], ["--side", "0"], ["--difficulty", "harder"], ["--num_frames", "-1"], ["--cameras", "7"]]
)
def test_wrong_values_are_refused(tmp_path, more, capsys):
    with pytest.raises(SystemExit):
        synthesize.main(flags(tmp_path, *more))
    assert "error" in capsys.readouterr().err


def test_nowhere_to_write_is_refused():
    with pytest.raises(ValueError, match="nowhere to write; give --out DIR"):
        synthesize.main(["--actions", "48"])


@pytest.mark.slow
def test_a_sheet_shows_twelve_clips_and_names_them_elsewhere(tmp_path):
    settings = Settings(seed=0, level="easy", difficulty=PRESETS["easy"], width=64, height=36)
    lines = sheet.write_sheet(tmp_path / "sheet.png", settings=settings)
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert len(lines) == 12 and len({line[25:] for line in lines}) == 12
    assert picture.shape[0] == 6 * 39 and picture.shape[1] == 2 * 8 * 39 + 6
    assert sheet.sheet_key(lines).count("\n") == 12
