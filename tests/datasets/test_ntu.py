import csv
from pathlib import Path

import pytest

from ski_lvlm.datasets import ntu
from tests.cases.recordings import REAL

DATA = Path(ntu.__file__).parent / "data"
PROTOCOLS = {
    ("ntu60", "xsub"): (40091, 16487, 40320, 16560),
    ("ntu60", "xview"): (37646, 18932, 37920, 18960),
    ("ntu120", "xsub"): (63026, 50919, 63360, 51120),
    ("ntu120", "xset"): (54468, 59477, 54720, 59760),
}
ZERO_SHOT = {  # seen train, seen test, unseen test, unseen all
    ("ntu60/55-5", "xsub"): (36758, 15119, 1368, 4701),
    ("ntu60/48-12", "xsub"): (32070, 13196, 3291, 11312),
    ("ntu120/110-10", "xsub"): (57767, 46670, 4249, 9508),
    ("ntu120/110-10", "xset"): (49924, 54513, 4964, 9508),
    ("ntu120/96-24", "xsub"): (50141, 41027, 9892, 22777),
    ("ntu120/96-24", "xset"): (43605, 47563, 11914, 22777),
}
ZERO_SHOT_VIDEO = {  # every recorded clip: seen train, unseen test, unseen all
    "ntu60/55-5": (36960, 1380, 4740),
    "ntu60/48-12": (32256, 3312, 11376),
    "ntu120/110-10": (58080, 4260, None),
    "ntu120/96-24": (50400, 9924, None),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "all_", "missing", "usable"), [("ntu60", 56880, 302, 56578), ("ntu120", 114480, 535, 113945)]
)
def test_sample_counts(dataset, all_, missing, usable):
    names = ntu.all_names(dataset)
    assert len(names) == len(set(names)) == all_
    assert len(ntu.missing_skeletons(dataset)) == missing
    assert ntu.missing_skeletons(dataset) < set(names)
    assert len(ntu.names_with_skeleton(dataset)) == usable
    assert list(names) == sorted(names)


def test_the_lists_of_ntu60_are_part_of_those_of_ntu120():
    assert set(ntu.all_names("ntu60")) < set(ntu.all_names("ntu120"))
    assert ntu.missing_skeletons("ntu60") < ntu.missing_skeletons("ntu120")


@pytest.mark.skipif(not (REAL / "lists").exists(), reason=f"NTU's own lists in {REAL / 'lists'} are absent")
def test_the_data_files_say_what_ntus_lists_say():
    sessions = (REAL / "lists" / "ntu_sessions.txt").read_text().split()
    assert sorted({name[:16] for name in ntu.all_names("ntu120")}) == sorted(sessions)
    for dataset, number in (("ntu60", ""), ("ntu120", "120")):
        listed = (REAL / "lists" / f"NTU_RGBD{number}_samples_with_missing_skeletons.txt").read_text().split()
        assert ntu.missing_skeletons(dataset) == set(listed)


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "protocol"), PROTOCOLS)
def test_protocol_counts(dataset, protocol):
    everything = ntu.Split("everything", dataset, tuple(range(1, 121)), ())
    with_skeleton = part_sizes(ntu.names_with_skeleton(dataset), everything, protocol)
    recorded = part_sizes(ntu.all_names(dataset), everything, protocol)
    assert with_skeleton[:2] + recorded[:2] == PROTOCOLS[dataset, protocol]
    trained = ntu.clips(ntu.all_names(dataset)[::997], split=everything, protocol=protocol, part="seen_train")
    assert trained == [name for name in ntu.all_names(dataset)[::997] if ntu.is_train(name, protocol)]


def part_sizes(names, split, protocol):
    parts = ("seen_train", "seen_test", "unseen_test", "unseen_all")
    return tuple(len(ntu.clips(names, split=split, protocol=protocol, part=part)) for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), ZERO_SHOT)
def test_zero_shot_counts_with_skeleton(name, protocol):
    split = ntu.split_named(name)
    assert part_sizes(ntu.names_with_skeleton(split.dataset), split, protocol) == ZERO_SHOT[name, protocol]


@pytest.mark.slow
@pytest.mark.parametrize("name", ZERO_SHOT_VIDEO)
def test_zero_shot_counts_of_all_videos(name):
    split = ntu.split_named(name)
    seen_train, _, unseen_test, unseen_all = part_sizes(ntu.all_names(split.dataset), split, "xsub")
    expected = ZERO_SHOT_VIDEO[name]
    assert (seen_train, unseen_test) == expected[:2]
    assert expected[2] in (None, unseen_all)


def test_every_split_divides_its_actions():
    sizes = {name: (len(split.seen), len(split.unseen)) for name, split in ntu.SPLITS.items()}
    assert sizes == {
        "ntu60/55-5": (55, 5),
        "ntu60/48-12": (48, 12),
        "ntu120/110-10": (110, 10),
        "ntu120/96-24": (96, 24),
        "synthetic": (12, 4),
        "synthetic/1": (12, 4),
        "synthetic/2": (12, 4),
    }


def test_rotations_of_the_synthetic_set_have_no_unseen_action_in_common():
    rotations = [split for split in ntu.SPLITS.values() if split.dataset == "synthetic"]
    unseen = [action for split in rotations for action in split.unseen]
    assert len(unseen) == len(set(unseen)) == 12
    assert all(set(split.seen) | set(split.unseen) == set(ntu.SYNTHETIC_ACTIONS) for split in rotations)
    assert ntu.clips(["S001C001P009R001A001"], split=rotations[1], protocol="xsub", part="unseen_test")
    for split in ntu.SPLITS.values():
        assert not set(split.seen) & set(split.unseen)
        assert list(split.seen) == sorted(split.seen) and list(split.unseen) == sorted(split.unseen)


@pytest.mark.parametrize("protocol", ["xsub", "synthetic"])
def test_the_synthetic_split_divides_by_its_own_performers(protocol):
    names = [str(ntu.ClipName(1, 1, performer, 1, action)) for performer in range(1, 13) for action in (1, 6)]
    split = ntu.split_named("synthetic")
    train = ntu.clips(names, split=split, protocol=protocol, part="seen_train")
    assert [ntu.parse_name(name).performer for name in train] == list(range(1, 9))
    unseen = ntu.clips(names, split=split, protocol=protocol, part="unseen_test")
    assert unseen == [f"S001C001P{p:03}R001A006" for p in range(9, 13)]


def test_labels_count_within_the_split_as_the_papers_files_do():
    split = ntu.split_named("ntu60/48-12")
    names = ["S001C001P001R001A004", "S001C001P001R001A060"]
    assert ntu.labels(names, actions=split.unseen) == [0, 11]
    assert ntu.labels(["S001C001P001R001A005"], actions=split.seen) == [3]
    assert ntu.class_names("ski60", actions=split.seen)[3] == "drop"


@pytest.mark.parametrize(
    "name", ["S017C003P020R002A060", "rgb/S017C003P020R002A060_rgb.avi", "S017C003P020R002A060.skeleton"]
)
def test_names_are_read_wherever_they_stand(name):
    assert ntu.parse_name(name) == (17, 3, 20, 2, 60)
    assert str(ntu.parse_name(name)) == "S017C003P020R002A060"


@pytest.mark.parametrize(
    "name", ["", "video.avi", "S017C003P020R002A60", "S017C003P020R002A060_depth_x", "xS017C003P020R002A060"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="is not an NTU clip name; expected SsssCcccPpppRrrrAaaa"):
        ntu.parse_name(name)


def test_class_names_in_every_spelling():
    assert len(set(ntu.class_names())) == 120
    assert len(set(ntu.class_names("star"))) == len(set(ntu.class_names("ski"))) == 120
    assert ntu.class_names("ntu", actions=[67]) == ["hush (quite)"] and ntu.class_names(actions=[67]) == [
        "hush (quiet)"
    ]
    assert ntu.class_names("ski60", actions=[25, 44, 57]) == [
        "put something inside pocket / take out something from pocket",
        "touch head",
        "touch person's pocket",
    ]
    assert ntu.class_names("ski", actions=[44, 57]) == ["touch head (headache)", "touch other persons pocket"]
    assert all("’" in name for name in ntu.class_names("ski", actions=[109, 117]))
    assert not any("’" in name for name in ntu.class_names())
    assert ntu.class_names("synse", actions=ntu.SPLITS["ntu60/55-5"].unseen)[-1] == "touch pocket"


@pytest.mark.parametrize(
    ("style", "actions", "message"),
    [
        ("nice", [1], "unknown spelling 'nice'.*expected one of canonical"),
        ("action", [1], "unknown spelling"),
        ("ski60", [60, 61], "no 'ski60' spelling is known of A61"),
        ("canonical", [0, 121], "known of A0, A121"),
    ],
)
def test_names_nobody_gave_are_not_made_up(style, actions, message):
    with pytest.raises(ValueError, match=message):
        ntu.class_names(style, actions=actions)


def test_an_unknown_split_or_protocol_is_an_error():
    with pytest.raises(ValueError, match="unknown split 'ntu60/50-10'; expected one of ntu60/55-5"):
        ntu.split_named("ntu60/50-10")


def test_the_class_table_has_a_row_an_action():
    with (DATA / "ntu_class_names.csv").open(newline="") as file:
        assert [int(row["action"]) for row in csv.DictReader(file)] == list(range(1, 121))
