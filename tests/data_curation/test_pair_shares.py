from collections import Counter

import pytest

from data_curation.questions import pair_shares as module
from ski_lvlm.datasets.ntu import names_with_skeleton
from ski_lvlm.datasets.selection import select
from tests.cases.curation_case import NTU

NAMES = [f"S001C001P{p:03}R001A{a:03}" for a, many in ((1, 40), (2, 10), (3, 2)) for p in range(1, many + 1)]


def pair_shares(names, *, pairs):
    return module.pair_shares(names, data=NTU, pairs=pairs)


def by_action(shares):
    totals = Counter()
    for name, share in shares.items():
        totals[int(name[-3:])] += share
    return totals


def test_every_action_gets_the_same_and_what_a_small_one_cannot_take_goes_to_others():
    assert by_action(pair_shares(NAMES, pairs=30)) == {1: 10, 2: 10, 3: 10}
    assert by_action(pair_shares(NAMES, pairs=90)) == {1: 39, 2: 39, 3: 12}
    assert by_action(pair_shares(NAMES, pairs=200)) == {1: 128, 2: 60, 3: 12}


@pytest.mark.parametrize("pairs", [1, 7, 30, 52, 100, 311])
def test_the_pairs_add_up_and_clips_of_an_action_differ_by_one_at_most(pairs):
    shares = pair_shares(NAMES, pairs=pairs)
    assert sum(shares.values()) == min(pairs, 6 * len(NAMES))
    assert list(shares) == NAMES
    for action in (1, 2, 3):
        own = [share for name, share in shares.items() if int(name[-3:]) == action]
        assert max(own) - min(own) <= 1 and max(own) <= 6


def test_a_clip_of_a_large_class_gets_fewer():
    names = ["S001C001P001R001A001", "S001C001P002R001A001", "S001C001P001R001A002"]
    assert list(module.pair_shares(names, data=NTU, pairs=4, maximum=2).values()) == [1, 1, 2]


def test_shares_follow_from_names_alone():
    assert pair_shares(NAMES[::-1], pairs=50) == pair_shares(NAMES, pairs=50)
    assert pair_shares([], pairs=5) == {}
    with pytest.raises(ValueError, match="--pairs is 0"):
        pair_shares(NAMES, pairs=0)


@pytest.mark.slow
def test_the_papers_hundred_thousand_over_ntu120():
    names = select(split="ntu120/110-10").clips(names_with_skeleton("ntu120"), "seen_train")
    shares = pair_shares(names, pairs=100_000)
    assert sum(shares.values()) == 100_000
    assert len(names) == 57_767 and set(shares.values()) <= {1, 2, 3}
    totals = by_action(shares).values()
    assert max(totals) - min(totals) <= 1
