"""Sizes of the testbed, chosen by the power calculation in docs/evidence.md, and those of the small version."""

from dataclasses import dataclass, replace

from scripts.tables.scales import SYNTHETIC, Scale, with_value

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
    skeletons=with_value(SYNTHETIC.skeletons, "--num_frames", _FRAMES),
    skeleton_pretrain=with_value(SYNTHETIC.skeleton_pretrain, "--num_train_epochs", 8),
    shift_gcn=with_value(SYNTHETIC.shift_gcn, "--num_train_epochs", 8),
    video_finetune=with_value(SYNTHETIC.video_finetune, "--num_train_epochs", 6),
    evaluation="--clips all --generalised",
)
FULL = Sizes(clips=1152, test_clips=576, rotations=4, seeds=3, curve_seeds=1, scale=_SCALE)
QUICK = Sizes(clips=576, test_clips=288, rotations=2, seeds=1, curve_seeds=1, scale=_SCALE)
