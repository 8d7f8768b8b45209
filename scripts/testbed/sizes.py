"""Sizes of the testbed, chosen by the power calculation in docs/evidence.md, and those of the small version."""

from dataclasses import dataclass, replace

from scripts.tables.scales import SYNTHETIC, Scale

ROTATIONS = ("synthetic48/1", "synthetic48/2", "synthetic48/3", "synthetic48/4")
WORLD_SEED = 11
_FRAMES = 24  # of a clip's video and skeleton


@dataclass(frozen=True)
class Sizes:
    """Clips of a world, and trainings of each row."""

    clips: int
    test_clips: int  # of each world that is tested on alone
    rotations: int
    seeds: int
    curve_seeds: int  # of the rows of a curve and of other teachers
    scale: Scale

    @property
    def splits(self) -> tuple[str, ...]:
        """The zero-shot splits whose models are trained."""
        return ROTATIONS[: self.rotations]


# Rates and epochs are the miniature's. Epochs of the skeleton stages are raised until their loss on seen classes is
# flat, since 36 classes take longer than 12.
_SCALE = replace(
    SYNTHETIC,
    skeletons=SYNTHETIC.skeletons.replace("--num_frames 32", f"--num_frames {_FRAMES}"),
    skeleton_pretrain=SYNTHETIC.skeleton_pretrain.replace("--num_train_epochs 6", "--num_train_epochs 8"),
    shift_gcn=SYNTHETIC.shift_gcn.replace("--num_train_epochs 6", "--num_train_epochs 8"),
    video_finetune=SYNTHETIC.video_finetune.replace("--num_train_epochs 5", "--num_train_epochs 6"),
    evaluation="--clips all --generalised",
)
FULL = Sizes(clips=1152, test_clips=576, rotations=4, seeds=3, curve_seeds=1, scale=_SCALE)
QUICK = Sizes(clips=576, test_clips=288, rotations=2, seeds=1, curve_seeds=1, scale=_SCALE)
