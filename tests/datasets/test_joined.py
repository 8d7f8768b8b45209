import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.datasets.clip_files import open_skeletons
from ski_lvlm.datasets.selection import select
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer
from tests.cases.data_set_case import ROWS, write_data_set

NAMES = [row["clip"] for row in ROWS]
OFFICE_ROWS = [{"clip": f"o{i}", "class": name, "part": part} for i, (name, part) in enumerate(
    [("wave", "train"), ("wave", "test"), ("type", "train"), ("brew tea", "train"), ("brew tea", "test")]
)]  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    home = write_data_set(tmp_path / "home")
    office = write_data_set(
        tmp_path / "office",
        rows=OFFICE_ROWS,
        name="office",
        classes=["wave", "type", "brew tea"],
        protocols={"given": {"train": {"part": "train"}}},
        splits={"B": {"unseen": ["type", "wave"]}},
    )
    (tmp_path / "same.json").write_text(json.dumps({"brew tea": "pour tea"}))
    return [str(home), str(office)]


def everything():
    return [f"home:{name}" for name in NAMES] + [f"office:{row['clip']}" for row in OFFICE_ROWS]


def test_equal_names_are_one_class_and_others_only_by_the_file(folders, tmp_path):
    apart, together = select(folders), select(folders, same_classes=tmp_path / "same.json")
    assert apart.data.class_names == ("pour tea", "sweep", "wave", "fold", "type", "brew tea")
    assert together.data.class_names == ("pour tea", "sweep", "wave", "fold", "type")
    assert together.data.classes_of(["home:" + NAMES[0], "office:o3", "office:o0"]) == ["pour tea", "pour tea", "wave"]
    assert apart.data.class_of("office:o3") == "brew tea"
    assert together.labels(["office:o4", "office:o2"], together.split.seen) == [0, 4]


def test_each_data_set_keeps_its_protocol(folders, tmp_path):
    selection = select(folders, same_classes=tmp_path / "same.json")
    assert selection.protocol_name == "rooms+given" and selection.data.name == "home+office"
    train = selection.clips(everything(), "seen_train")
    assert train == [n for n in everything() if "küche" in n] + ["office:o0", "office:o2", "office:o3"]
    assert set(train) | set(selection.clips(everything(), "seen_test")) == set(everything())
    other = select(folders, protocol="xsub+given")
    assert "home:müller 1 (flur) 0" in other.clips(everything(), "seen_train")
    with pytest.raises(ValueError, match="asked was --protocol xsub.given"):
        other.check_protocol("rooms+given", trained="x was trained")
    with pytest.raises(ValueError, match="unknown protocol 'xsub' of office"):
        select(folders, protocol="xsub")


def test_a_split_of_one_data_set_hides_its_classes_in_all(folders, tmp_path):
    selection = select(folders, split="home/A", same_classes=tmp_path / "same.json")
    assert selection.split.unseen == ("wave", "fold") and selection.split.name == "home/A"
    assert not any(name in ("office:o0", "office:o1") for name in selection.clips(everything(), "seen_train"))
    assert "office:o1" in selection.clips(everything(), "unseen_test")
    assert select(folders, split="pour tea,type").split.unseen == ("pour tea", "type")
    hidden = select(folders, split="pour tea,type", same_classes=tmp_path / "same.json")
    assert {"office:o3", "office:o4"} < set(hidden.clips(everything(), "unseen_all"))


def test_clips_of_nobody_are_no_members_and_have_no_class(folders):
    data = select(folders).data
    assert data.members(["home:" + NAMES[0], "home:x", NAMES[0]]) == ["home:" + NAMES[0]]
    with pytest.raises(ValueError, match="'x' is of none of the data sets; expected home:CLIP, office:CLIP"):
        data.classes_of(["x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"brew coffee": "pour tea"}', "no data set has the class 'brew coffee'"),
        ('["wave"]', "expected a JSON object"),
        ('{"brew tea": "pour tea", "pour tea": "wave"}', "'pour tea' stands on both sides"),
    ],
)
def test_a_wrong_file_of_same_classes_is_named(folders, tmp_path, content, message):
    (tmp_path / "same.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        select(folders, same_classes=tmp_path / "same.json")


def test_two_data_sets_of_one_name_are_refused(folders):
    with pytest.raises(ValueError, match="have one name"):
        select([folders[0], folders[0]])


def pack(folder, names, *, layout="kinect-20", cleaning="centred-1"):
    rng = np.random.default_rng(0)
    shape = (1, LAYOUTS[layout].num_joints, LAYOUTS[layout].dimensions)
    with packed_writer(folder, layout=LAYOUTS[layout], cleaning=cleaning, source=str(folder)) as writer:
        for length, name in enumerate(names, start=3):
            writer.add(name, rng.normal(size=(length, *shape)).astype(np.float32))


def test_skeletons_of_all_are_read_by_their_joined_names(folders):
    pack(Path(folders[0]), NAMES)
    pack(Path(folders[1]), ["o0", "o2"])
    data = select(folders).data
    packed = open_skeletons(None, data)
    assert packed.names == everything()[: len(NAMES)] + ["office:o0", "office:o2"]
    assert "office:o1" not in packed and "office:o2" in packed and packed.num_frames("office:o2") == 4
    alone = open_skeletons(None, open_data_set(folders[1]))
    copy = pickle.loads(pickle.dumps(packed))  # noqa: S301 - as a worker process gets it
    assert np.array_equal(copy.get("office:o2"), alone.get("o2"))
    with pytest.raises(ValueError, match="no clip 'o2' among the skeletons of home:, office:"):
        packed.get("o2")


@pytest.mark.parametrize("kind", [{"layout": "ntu-25"}, {"cleaning": "mine"}])
def test_skeletons_of_two_kinds_never_mix(folders, kind):
    pack(Path(folders[0]), NAMES)
    pack(Path(folders[1]), ["o0"], **kind)
    with pytest.raises(ValueError, match="different kinds .home: kinect-20, cleaning centred-1, office: "):
        open_skeletons(None, select(folders).data)


def test_one_data_set_stays_itself(folders):
    data = select(folders[:1]).data
    assert data.sources == (data,) and data.name == "home"
