"""A tiny packed set whose actions are told apart by which joints move and how fast."""

import numpy as np

from ski_lvlm.datasets.ntu import ClipName
from ski_lvlm.datasets.selection import select
from ski_lvlm.skeletons.cleaning import CLEANING
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.skeletons.packed import packed_writer

SELECTION = select(split="synthetic")
SPLIT = SELECTION.split


def numbers(classes):
    """Return NTU's numbers of classes."""
    return tuple(int(SELECTION.data.action(name).id.removeprefix("A")) for name in classes)


SEEN, UNSEEN = numbers(SPLIT.seen), numbers(SPLIT.unseen)


def motion(action, performer, *, frames=40):
    """Return one or two persons (two from action 50 on) who swing three joints in the action's own rhythm."""
    rng = np.random.default_rng((action, performer))
    time = np.arange(frames)[:, None]
    persons = 2 if action >= 50 else 1
    joints = np.repeat(rng.normal(size=(1, persons, 25, 3)) * 0.1, frames, 0)
    moving = np.random.default_rng(action).choice(25, 3, replace=False)
    joints[:, :, moving, 1] += 0.5 * np.sin(time * 2 * np.pi * (1 + action % 4) / frames)[..., None]
    return joints.astype(np.float32)


def packed_set(folder, *, actions=SEEN + UNSEEN, performers=(1, 2, 3, 9)):
    """Write the packed set. Performers up to 8 are for training, 9 and above for testing."""
    with packed_writer(folder, layout=LAYOUTS["ntu-25"], cleaning=CLEANING, source="test") as writer:
        for action in actions:
            for performer in performers:
                writer.add(str(ClipName(1, 1, performer, 1, action)), motion(action, performer))
    return folder
