import pytest

from ski_lvlm.datasets import ntu
from ski_lvlm.datasets.catalogue import BUILT_IN, open_data_set
from ski_lvlm.datasets.selection import select
from tests.cases.recordings import REAL

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
    assert len(missing_skeletons(dataset)) == missing
    assert missing_skeletons(dataset) < set(names)
    assert len(ntu.names_with_skeleton(dataset)) == usable
    assert list(names) == sorted(names)


def missing_skeletons(dataset):
    return open_data_set(dataset).description.without_skeleton


@pytest.mark.slow
def test_the_lists_of_ntu60_are_part_of_those_of_ntu120():
    assert set(ntu.all_names("ntu60")) < set(ntu.all_names("ntu120"))
    assert missing_skeletons("ntu60") < missing_skeletons("ntu120")


@pytest.mark.skipif(not (REAL / "lists").exists(), reason=f"NTU's own lists in {REAL / 'lists'} are absent")
def test_the_data_files_say_what_ntus_lists_say():
    sessions = (REAL / "lists" / "ntu_sessions.txt").read_text().split()
    assert sorted({name[:16] for name in ntu.all_names("ntu120")}) == sorted(sessions)
    for dataset, number in (("ntu60", ""), ("ntu120", "120")):
        listed = (REAL / "lists" / f"NTU_RGBD{number}_samples_with_missing_skeletons.txt").read_text().split()
        assert missing_skeletons(dataset) == set(listed)


@pytest.mark.slow
@pytest.mark.parametrize(("dataset", "protocol"), PROTOCOLS)
def test_protocol_counts(dataset, protocol):
    everything = select([dataset], split="all", protocol=protocol)
    with_skeleton = part_sizes(ntu.names_with_skeleton(dataset), everything)
    recorded = part_sizes(ntu.all_names(dataset), everything)
    assert with_skeleton[:2] + recorded[:2] == PROTOCOLS[dataset, protocol]


def part_sizes(names, selection):
    parts = ("seen_train", "seen_test", "unseen_test", "unseen_all")
    return tuple(len(selection.clips(names, part)) for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), ZERO_SHOT)
def test_zero_shot_counts_with_skeleton(name, protocol):
    selection = select(split=name, protocol=protocol)
    assert part_sizes(ntu.names_with_skeleton(selection.data.name), selection) == ZERO_SHOT[name, protocol]


@pytest.mark.slow
@pytest.mark.parametrize("name", ZERO_SHOT_VIDEO)
def test_zero_shot_counts_of_all_videos(name):
    selection = select(split=name)
    seen_train, _, unseen_test, unseen_all = part_sizes(ntu.all_names(selection.data.name), selection)
    expected = ZERO_SHOT_VIDEO[name]
    assert (seen_train, unseen_test) == expected[:2]
    assert expected[2] in (None, unseen_all)


def splits():
    data_sets = [open_data_set(name) for name in BUILT_IN]
    return {split.name: split for data in data_sets for split in map(data.split, data.description.splits)}


def test_every_split_divides_its_actions():
    assert {name: (len(split.seen), len(split.unseen)) for name, split in splits().items()} == {
        "ntu60/55-5": (55, 5),
        "ntu60/48-12": (48, 12),
        "ntu120/110-10": (110, 10),
        "ntu120/96-24": (96, 24),
        "synthetic": (12, 4),
        "synthetic/1": (12, 4),
        "synthetic/2": (12, 4),
        **{f"synthetic48/{rotation}": (36, 12) for rotation in range(1, 5)},
    }
    for split in splits().values():
        assert not set(split.seen) & set(split.unseen)


def test_rotations_of_the_synthetic_set_have_no_unseen_action_in_common():
    rotations = [split for split in splits().values() if split.dataset == "synthetic"]
    unseen = [name for split in rotations for name in split.unseen]
    assert len(unseen) == len(set(unseen)) == 12
    every = set(open_data_set("synthetic").class_names)
    assert all(set(split.seen) | set(split.unseen) == every for split in rotations)
    assert select(split="synthetic/1").clips(["S001C001P009R001A001"], "unseen_test")


@pytest.mark.parametrize("protocol", ["xsub", "synthetic", ""])
def test_the_synthetic_split_divides_by_its_own_performers(protocol):
    names = [str(ntu.ClipName(1, 1, performer, 1, action)) for performer in range(1, 13) for action in (1, 6)]
    selection = select(split="synthetic", protocol=protocol)
    train = selection.clips(names, "seen_train")
    assert [ntu.parse_name(name).performer for name in train] == list(range(1, 9))
    assert selection.clips(names, "unseen_test") == [f"S001C001P{p:03}R001A006" for p in range(9, 13)]


def test_labels_count_within_the_split_as_the_papers_files_do():
    selection = select(split="ntu60/48-12")
    names = ["S001C001P001R001A004", "S001C001P001R001A060"]
    assert selection.labels(names, selection.split.unseen) == [0, 11]
    assert selection.labels(["S001C001P001R001A005"], selection.split.seen) == [3]
    assert selection.data.spellings("ski", classes=selection.split.seen)[3] == "drop"


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


def spelled(dataset, style, *ids):
    data = open_data_set(dataset)
    return data.spellings(style, classes=[data.action(text).name for text in ids])


def test_class_names_in_every_spelling():
    data = open_data_set("ntu120")
    for style in ("canonical", "ski", "star"):
        assert len(set(data.spellings(style, classes=data.class_names))) == 120
    assert spelled("ntu120", "ntu", "A67") == ["hush (quite)"] and spelled("ntu120", "canonical", "A67") == [
        "hush (quiet)"
    ]
    assert spelled("ntu60", "ski", "A25", "A44", "A057") == [
        "put something inside pocket / take out something from pocket",
        "touch head",
        "touch person's pocket",
    ]
    assert spelled("ntu120", "ski", "A44", "A57") == ["touch head (headache)", "touch other persons pocket"]
    assert all("’" in name for name in spelled("ntu120", "ski", "A109", "A117"))
    assert not any("’" in name for name in data.class_names)
    assert spelled("ntu60", "synse", "A57") == ["touch pocket"]


@pytest.mark.parametrize(
    ("style", "ids", "message"),
    [
        ("nice", ["A1"], "unknown spelling 'nice'.*expected one of canonical"),
        ("id", ["A1"], "unknown spelling"),
        ("synse", ["A1"], "no 'synse' spelling is known of drink water"),
        ("canonical", ["A0"], "no class 'A0'"),
    ],
)
def test_names_nobody_gave_are_not_made_up(style, ids, message):
    with pytest.raises(ValueError, match=message):
        spelled("ntu120", style, *ids)


def test_an_unknown_split_or_protocol_is_an_error():
    with pytest.raises(ValueError, match="unknown split 'ntu60/50-10' of ntu60; expected one of ntu60/55-5"):
        select(split="ntu60/50-10")
    with pytest.raises(ValueError, match="unknown protocol 'xset' of ntu60; expected one of xsub, xview"):
        select(split="ntu60/55-5", protocol="xset")


def test_data_sets_of_the_same_actions_describe_them_alike():
    every = open_data_set("ntu120")
    for other in map(open_data_set, ("ntu60", "synthetic")):
        for action in other.description.classes:
            twin = every.action(action.id)
            assert (action.name, action.actors, action.phrase) == (twin.name, twin.actors, twin.phrase)
