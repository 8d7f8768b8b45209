"""Data of the testbed: worlds of 48 actions with their packed skeletons and cached frames, as steps."""

from dataclasses import dataclass
from pathlib import Path

from scripts.tables.jobs import Step
from scripts.tables.recognition_plan import TestClips
from scripts.testbed.sizes import WORLD_SEED, Sizes

DATA_SET = "synthetic48"
SIDE, NUM_FRAMES = 96, 24
# One parameter of difficulty at its easy and its hard end. The others are those of the preset "default".
ENDS = {
    "view": ("--yaw_spread 3.5 --facing_spread 9", "--yaw_spread 20 --facing_spread 60"),
    "size": ("--person_share 0.66 0.74", "--person_share 0.14 0.25"),
    "light": ("--light 0.95 1.05", "--light 0.2 0.35"),
}
MIDDLE = "middle"  # all parameters as in "default"


@dataclass(frozen=True)
class World:
    """A folder of clips, which is made with these flags of `synthesize.py`."""

    name: str
    flags: str
    clips: int
    out: Path
    share: float = 1.0  # of the clips that have skeletons

    @property
    def ntu(self) -> Step:
        """The step that films the clips."""
        folder = self.out / "worlds" / self.name / "ntu"
        words = f"--actions 48 --clips {self.clips} --side {SIDE} --num_frames {NUM_FRAMES} {self.flags}"
        command: tuple[str | Path, ...] = ("data_curation/synthesize.py", *words.split(), "--out", folder)
        return Step(command, "skeletons", self.out, folder)

    @property
    def prepared(self) -> Step:
        """The step that packs the skeletons."""
        name = "prepared" if self.share == 1 else f"prepared_{self.share:g}"
        folder = self.out / "worlds" / self.name / name
        command: tuple[str | Path, ...] = ("scripts/prepare_ntu.py", "--ntu", self.ntu.folder, "--dataset", DATA_SET)
        command += () if self.share == 1 else ("--share", f"{self.share:g}")
        return Step((*command, "--out", folder), "report.json", self.out, folder, (self.ntu,))

    def frames(self, flags: str) -> Step:
        """Return the step that caches the frames of the students."""
        folder = self.out / "worlds" / self.name / "frames"
        command: tuple[str | Path, ...] = (
            "scripts/cache_frames.py",
            "--ntu",
            self.ntu.folder,
            *flags.split(),
            "--out",
            folder,
        )
        return Step(command, "frames.json", self.out, folder, (self.ntu,))


def training_world(out: Path, sizes: Sizes, *, share: float = 1.0) -> World:
    """Return the world in which models are trained and tested."""
    return World("default", f"--difficulty default --seed {WORLD_SEED}", sizes.clips, out, share)


def test_worlds(out: Path, sizes: Sizes) -> list[World]:
    """Return worlds to test in alone. Rooms and bodies are new, and the same in all of them."""
    flags = {MIDDLE: ""}
    for name, (easy, hard) in ENDS.items():
        flags |= {f"{name}_easy": easy, f"{name}_hard": hard}
    start = f"--difficulty default --seed {WORLD_SEED + 1}"
    return [World(name, f"{start} {words}".strip(), sizes.test_clips, out) for name, words in flags.items()]


def as_test_clips(world: World, sizes: Sizes) -> TestClips:
    """Return a world as clips that a trained model is tested on."""
    frames = world.frames(sizes.scale.frames)
    return TestClips(
        world.name,
        ntu=world.ntu.folder,
        prepared=world.prepared.folder,
        frames=frames.folder,
        steps=(world.prepared, frames),
    )
