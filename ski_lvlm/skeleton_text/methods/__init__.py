"""The methods by name. A new one is a file beside this, a line here, and its schedule in the recipe."""

from ski_lvlm.skeleton_text.method import SkeletonTextMethod
from ski_lvlm.skeleton_text.methods.ridge import Ridge
from ski_lvlm.skeleton_text.methods.smie import SMIE
from ski_lvlm.skeleton_text.methods.star import STAR
from ski_lvlm.skeleton_text.methods.synse import MSF, SynSE

METHODS: dict[str, type[SkeletonTextMethod]] = {"synse": SynSE, "msf": MSF, "smie": SMIE, "star": STAR, "ridge": Ridge}
