"""The 48 actions. Numbers, names and acting persons are NTU RGB+D's. What happens is our own reading of each name."""

from data_curation.world.pair_actions import PAIRS
from data_curation.world.solo_actions import SOLO

ACTIONS = dict(sorted((SOLO | PAIRS).items()))
