"""Three domains of clips and captions that share no room, body or camera, as steps."""

from dataclasses import dataclass
from pathlib import Path

from scripts.tables.jobs import Step

SIDE, NUM_FRAMES = 96, 16
BROAD, NARROW, THIRD = "broad", "narrow", "third"
_TEXT_SEED = 100  # is added to a world's seed for the texts that the language model reads
# What people do and how they are filmed, as docs/data.md has it under "Three domains".
_WORLDS = {
    BROAD: "--classes synthetic48/1,synthetic48/2 --difficulty easy --cameras 6 --yaw_spread 10 --facing_spread 20 "
    "--person_share 0.5 0.8 --light 0.5 1.1 --clutter 3 7 --wrong_things 0 3",
    NARROW: "--classes synthetic48/3,synthetic48/4 --difficulty easy",
    THIRD: "--difficulty easy --yaw_spread 10 --facing_spread 20 --person_share 0.5 0.66 --light 0.6 1 "
    "--wrong_things 1 2 --actions_per_clip 2",
}
_SEEDS = {BROAD: 1001, NARROW: 2002, THIRD: 3003}
_TEXTS = {
    BROAD: "--facts_about scene,dense",
    NARROW: "--facts_about action",
    THIRD: "--facts_about dense --part test --protocol test-only",
}


@dataclass(frozen=True)
class Domain:
    """A world of clips with its captions. `out` is the folder of all runs."""

    name: str
    clips: int
    out: Path

    @property
    def ntu(self) -> Step:
        """The step that films the clips and writes their facts."""
        return self._synthesis("ntu", self.clips, _SEEDS[self.name], "facts.jsonl")

    def texts(self, performances: int) -> Step:
        """Return the step that writes texts about other performances, without clips."""
        seed = _SEEDS[self.name] + _TEXT_SEED
        return self._synthesis("texts", performances, seed, "texts.jsonl", "--text_only")

    def _synthesis(self, name: str, clips: int, seed: int, product: str, *flags: str) -> Step:
        folder = self.out / "domains" / self.name / name
        words = f"--actions 48 --clips {clips} --seed {seed} --side {SIDE} --num_frames {NUM_FRAMES}"
        command: tuple[str | Path, ...] = ("data_curation/synthesize.py", *words.split())
        command += (*_WORLDS[self.name].split(), *flags, "--out", folder)
        return Step(command, product, self.out, folder)

    @property
    def pairs(self) -> Step:
        """The step that writes instruction pairs of the training clips, and questions about the others."""
        folder = self.out / "domains" / self.name / "pairs"
        built = folder / "built"  # below the step's folder, since the step and the command each lock their folder
        words = f"--captioner facts --qa facts --crop none --pairs_per_clip 4 {_TEXTS[self.name]}"
        command: tuple[str | Path, ...] = ("data_curation/build.py", "--ntu", self.ntu.folder, *words.split())
        return Step((*command, "--out", built), "built/questions.json", self.out, folder, (self.ntu,))

    @property
    def instructions(self) -> Path:
        """The pairs to train on."""
        return self.pairs.folder / "built" / "instructions.json"

    @property
    def questions(self) -> Path:
        """The questions about clips of other persons."""
        return self.pairs.folder / "built" / "questions.json"

    def video_tokens(self, flags: str) -> Step:
        """Return the step that encodes all videos."""
        folder = self.out / "domains" / self.name / "video_tokens"
        command: tuple[str | Path, ...] = ("scripts/extract_features.py", "--modalities", "video")
        command += ("--ntu", self.ntu.folder, *flags.split(), "--out", folder)
        return Step(command, "features.json", self.out, folder, (self.ntu,))
