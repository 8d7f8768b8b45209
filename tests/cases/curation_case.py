"""A small folder of made-up clips in NTU's layout, for the tests of curation."""

import numpy as np

from data_curation.captioning.action_names import action_finder
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.skeletons.ntu_file import BodyTrack, Recording, write_skeleton
from tests.cases.video_case import write_drawing

NTU = open_data_set("ntu120")
named_action = action_finder(NTU.description.classes)

STANDING = np.zeros((25, 3), np.float32)
STANDING[:, 1] = np.linspace(-0.9, 0.6, 25)
STANDING[[0, 3, 20, 6, 10, 14, 18]] = [
    (0, 0, 0), (0, 0.6, 0), (0, 0.45, 0), (-0.3, 0, 0), (0.3, 0, 0), (-0.1, -0.9, 0), (0.1, -0.9, 0),
]  # fmt: skip


def body(frames, *, x=0.0, moves=True):
    """Somebody three metres from the camera who lifts the right hand; colour coordinates are the true projection."""
    joints = np.repeat(STANDING[None], len(frames), axis=0) + np.float32([x, 0, 3])
    if moves:
        joints[:, 10, 1] += np.linspace(0, 0.5, len(frames), dtype=np.float32)
    colour = np.stack([960 + 1060 * joints[..., 0] / joints[..., 2], 540 - 1060 * joints[..., 1] / joints[..., 2]], -1)
    shape = joints.shape[:2]
    return BodyTrack(
        frames=np.asarray(frames),
        joints=joints,
        colour=colour.astype(np.float32),
        depth=np.zeros((*shape, 2), np.float32),
        orientation=np.zeros((*shape, 4), np.float32),
        joint_state=np.full(shape, 2),
        states=np.zeros((shape[0], 7), int),
        lean=np.zeros((shape[0], 2), np.float32),
    )


def write_clip(folder, name, *, bodies=None, frames=20, video=True, size=(192, 108)):
    """One clip with skeleton and video; its picture brightens from frame to frame."""
    (folder / "rgb").mkdir(parents=True, exist_ok=True)
    (folder / "skeletons").mkdir(exist_ok=True)
    bodies = [body(range(frames))] if bodies is None else bodies
    recording = Recording(name, frames, {72057594037931101 + i: track for i, track in enumerate(bodies)})
    write_skeleton(folder / "skeletons" / f"{name}.skeleton", recording)
    if video:
        write_drawing(
            folder / "rgb" / f"{name}_rgb.avi",
            width=size[0],
            height=size[1],
            frames=frames,
            draw=lambda picture, index: picture.__setitem__(..., 5 * index),
        )


def action(number):
    """The class of NTU with this number."""
    return NTU.action(f"A{number}")


def number_of(name):
    """The number of the action in a clip's name."""
    return int(NTU.action(NTU.class_of(name)).id.removeprefix("A"))


def names(actions=(1, 6, 10), performers=(1, 2, 9)):
    """Clip names of the synthetic split: 6 is an unseen action, 9 a test performer."""
    return [f"S001C001P{p:03}R001A{a:03}" for p in performers for a in actions]
