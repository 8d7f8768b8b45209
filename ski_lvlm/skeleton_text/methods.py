"""The methods by name. A new one is a file beside this, a line here, and its schedule in the recipe."""

from ski_lvlm.skeleton_text.method import SkeletonTextMethod
from ski_lvlm.skeleton_text.ridge import Ridge
from ski_lvlm.skeleton_text.smie import SMIE
from ski_lvlm.skeleton_text.star import STAR
from ski_lvlm.skeleton_text.synse import MSF, SynSE

METHODS: dict[str, type[SkeletonTextMethod]] = {"synse": SynSE, "msf": MSF, "smie": SMIE, "star": STAR, "ridge": Ridge}
