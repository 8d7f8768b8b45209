"""Joint layouts: the order of the joints in an array, the bones between them, and the groups that move together.

A layout is given by name and never guessed. Joints that a layout lacks are never made up. All indices count from 0
(the literature on NTU RGB+D counts joints from 1).

Axes of our own data are those of NTU's Kinect: x to the right of the picture, y up, and in three dimensions z away from
the camera. Estimators whose y points down are turned (`ski_lvlm.estimation`).
"""

from dataclasses import dataclass

_ARM = ("shoulder", "elbow", "wrist", "hand")
_LEG = ("hip", "knee", "ankle", "foot")


def _limb(side: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{side} {part}" for part in parts)


@dataclass(frozen=True)
class Layout:
    """The joints of one kind of skeleton.

    `bones` are (child, parent) pairs that form a tree. `groups` gives each joint the number of its body part, which
    Hyperformer's attention uses. `centre` names the joint, or the joints, whose mean preprocessing subtracts in every
    frame. A layout without a joint in the middle of the body takes both shoulders, between which the Kinect's spine
    shoulder lies. They are in the picture even of someone behind a table, unlike the hips.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    groups: tuple[int, ...]
    centre: tuple[int, ...]
    dimensions: int = 3

    @property
    def num_joints(self) -> int:
        """Number of joints of a skeleton of this layout."""
        return len(self.joints)

    @property
    def left_right(self) -> tuple[tuple[int, int], ...]:
        """(left, right) pairs of joints that change places when the skeleton is mirrored."""
        index = {joint: i for i, joint in enumerate(self.joints)}
        return tuple((i, index["right" + j[4:]]) for j, i in index.items() if j.startswith("left "))

    def require_dimensions(self, dimensions: int) -> None:
        """Make sure that joints of this layout have `dimensions` coordinates.

        >>> LAYOUTS["coco-17"].require_dimensions(3)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: the joint layout 'coco-17' has 2 coordinates a joint, but 3 are needed here...
        """
        if self.dimensions != dimensions:
            raise ValueError(
                f"the joint layout {self.name!r} has {self.dimensions} coordinates a joint, but {dimensions} are "
                "needed here; a missing coordinate is never made up: use data and a layout that have it, such as ntu-25"
            )


_NTU = Layout(
    name="ntu-25",
    joints=(
        *("spine base", "mid spine", "neck", "head"),
        *_limb("left", _ARM),
        *_limb("right", _ARM),
        *_limb("left", _LEG),
        *_limb("right", _LEG),
        *("spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb"),
    ),
    bones=(
        *((0, 1), (1, 20), (2, 20), (3, 2)),
        *((4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8), (10, 9), (11, 10)),
        *((12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18)),
        *((21, 7), (22, 7), (23, 11), (24, 11)),
    ),
    groups=(0, 4, 2, 2, 2, 2, 1, 1, 2, 2, 1, 1, 2, 3, 3, 3, 2, 3, 3, 3, 1, 0, 1, 0, 1),
    centre=(20,),
)

# Assumption: the published groups exist for NTU-25 only; the other layouts use trunk, two arms and two legs (0 to 4).
_KINECT = Layout(
    name="kinect-20",
    joints=(
        *("hip centre", "spine", "shoulder centre", "head"),
        *_limb("left", _ARM),
        *_limb("right", _ARM),
        *_limb("left", _LEG),
        *_limb("right", _LEG),
    ),
    bones=(
        *((0, 1), (1, 2), (3, 2)),
        *((4, 2), (5, 4), (6, 5), (7, 6), (8, 2), (9, 8), (10, 9), (11, 10)),
        *((12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17), (19, 18)),
    ),
    groups=(0,) * 4 + (1,) * 4 + (2,) * 4 + (3,) * 4 + (4,) * 4,
    centre=(2,),
)

_COCO = Layout(
    name="coco-17",
    joints=(
        *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow"),
        *("right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee"),
        *("left ankle", "right ankle"),
    ),
    bones=(
        *((1, 0), (2, 0), (3, 1), (4, 2), (5, 0), (6, 0), (7, 5), (8, 6), (9, 7), (10, 8)),
        *((11, 5), (12, 6), (13, 11), (14, 12), (15, 13), (16, 14)),
    ),
    groups=(0, 0, 0, 0, 0, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4),
    centre=(5, 6),
    dimensions=2,
)

_H36M = Layout(
    name="h36m-17",
    joints=(
        *("pelvis", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("spine", "thorax", "neck", "head", "left shoulder", "left elbow", "left wrist"),
        *("right shoulder", "right elbow", "right wrist"),
    ),
    bones=(
        *((1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5), (0, 7), (7, 8), (9, 8), (10, 9)),
        *((11, 8), (12, 11), (13, 12), (14, 8), (15, 14), (16, 15)),
    ),
    groups=(0, 4, 4, 4, 3, 3, 3, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2),
    centre=(8,),
)

# MediaPipe's 33 landmarks in metres, by its own numbers. The nose is the root, so that both sides have equal bones.
_BLAZEPOSE = Layout(
    name="blazepose-33",
    joints=(
        *("nose", "left inner eye", "left eye", "left outer eye", "right inner eye", "right eye", "right outer eye"),
        *("left ear", "right ear", "left mouth corner", "right mouth corner", "left shoulder", "right shoulder"),
        *("left elbow", "right elbow", "left wrist", "right wrist", "left little finger", "right little finger"),
        *("left index finger", "right index finger", "left thumb", "right thumb", "left hip", "right hip"),
        *("left knee", "right knee", "left ankle", "right ankle", "left heel", "right heel", "left toes", "right toes"),
    ),
    bones=(
        *((1, 0), (2, 1), (3, 2), (7, 3), (4, 0), (5, 4), (6, 5), (8, 6), (9, 0), (10, 0)),
        *((11, 0), (13, 11), (15, 13), (17, 15), (19, 15), (21, 15)),
        *((12, 0), (14, 12), (16, 14), (18, 16), (20, 16), (22, 16)),
        *((23, 11), (25, 23), (27, 25), (29, 27), (31, 27), (24, 12), (26, 24), (28, 26), (30, 28), (32, 28)),
    ),
    groups=(0,) * 11 + (1, 2) * 6 + (3, 4) * 5,
    centre=(11, 12),
)

# LCR-Net++ lists right before left, feet first. Its 17 joints are these and the middle of the body, as its demo shows.
_LCRNET_JOINTS = (
    *("right ankle", "left ankle", "right knee", "left knee", "right hip", "left hip"),
    *("right wrist", "left wrist", "right elbow", "left elbow", "right shoulder", "left shoulder", "head"),
)
_LCRNET_LIMBS = ((8, 10), (6, 8), (9, 11), (7, 9), (2, 4), (0, 2), (3, 5), (1, 3))

_LCRNET = Layout(
    name="lcrnet-13",
    joints=_LCRNET_JOINTS,
    bones=((10, 12), (11, 12), (4, 10), (5, 11), *_LCRNET_LIMBS),
    groups=(4, 3, 4, 3, 4, 3, 2, 1, 2, 1, 2, 1, 0),
    centre=(10, 11),
)

_LCRNET_17 = Layout(
    name="lcrnet-17",
    joints=(*_LCRNET_JOINTS, "pelvis", "spine", "neck", "chin"),
    bones=((14, 15), (13, 14), (16, 15), (12, 16), (10, 15), (11, 15), (4, 13), (5, 13), *_LCRNET_LIMBS),
    groups=(4, 3, 4, 3, 4, 3, 2, 1, 2, 1, 2, 1, 0, 0, 0, 0, 0),
    centre=(15,),
)

_OPENPOSE = Layout(
    name="openpose-18",
    joints=(
        *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
        *("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
        *("right eye", "left eye", "right ear", "left ear"),
    ),
    bones=(
        *((0, 1), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5), (7, 6), (8, 1), (9, 8), (10, 9), (11, 1), (12, 11)),
        *((13, 12), (14, 0), (15, 0), (16, 14), (17, 15)),
    ),
    groups=(0, 0, 2, 2, 2, 1, 1, 1, 4, 4, 4, 3, 3, 3, 0, 0, 0, 0),
    centre=(1,),
    dimensions=2,
)

LAYOUTS = {layout.name: layout for layout in (_NTU, _KINECT, _COCO, _H36M, _BLAZEPOSE, _LCRNET, _LCRNET_17, _OPENPOSE)}


def layout_named(name: str) -> Layout:
    """Return the layout called `name`."""
    if name not in LAYOUTS:
        raise ValueError(f"unknown joint layout {name!r}; expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
