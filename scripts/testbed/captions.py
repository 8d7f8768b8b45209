"""Ways of training a SKI-LVLM with skeletons, and the commands that train, describe and measure each of them."""

from dataclasses import dataclass
from pathlib import Path

from scripts.tables.jobs import Step
from scripts.tables.methods import SkeletonAligned
from scripts.tables.recognition_plan import RecognitionPlan, Replicate
from scripts.tables.rows import Row
from scripts.testbed.caption_sizes import SKELETON_TOKENS, SMALL_LLM, VIDEO_TOKENS, CaptionSizes
from scripts.testbed.domains import BROAD, NARROW, THIRD, Domain

DOMAINS = (NARROW, BROAD, THIRD)
START, VIDEO, SKELETONS, SHUFFLED, NOISE = "start", "video", "skeletons", "shuffled", "noise"
FROZEN, HALF, FADING, FIRST, DISTILLED = "T_v frozen", "half", "fading", "skeletons first", "distilled"


@dataclass(frozen=True)
class Way:
    """Training on the narrow domain: the flags of each stage, which begins with the weights of the one before.

    All stages together have as many steps as a way of one stage. A main way has more seeds.
    """

    stages: tuple[str, ...] = ()
    is_main: bool = False


_BOTH = "--modalities video,skeleton"
WAYS = {
    START: Way(is_main=True),
    VIDEO: Way(("--modalities video",), is_main=True),
    SKELETONS: Way((_BOTH,), is_main=True),
    SHUFFLED: Way((f"{_BOTH} --skeleton_control shuffled",), is_main=True),
    NOISE: Way((f"{_BOTH} --skeleton_control noise",), is_main=True),
    FROZEN: Way((f"{_BOTH} --freeze video",)),
    HALF: Way((f"{_BOTH} --skeleton_dropout 0.5",)),
    FADING: Way((f"{_BOTH} --skeleton_dropout 0 1",)),
    FIRST: Way((f"{_BOTH} --freeze video", f"{_BOTH} --freeze skeleton")),
    DISTILLED: Way((f"{_BOTH} --video_only_distillation 1",)),
}
REPEATED = (START, VIDEO, SKELETONS, SHUFFLED)  # with a larger language model, and in the small version


@dataclass(frozen=True)
class CaptionPlan:
    """Commands of the captions part below the folder `out`."""

    out: Path
    sizes: CaptionSizes
    ways: tuple[str, ...] = tuple(WAYS)  # that are trained

    @property
    def rows(self) -> tuple[Row[Way], ...]:
        """The ways as rows. Each is compared with video alone and with the paper's way, if these are trained."""
        names = [name for name in self.ways if self.sizes.base_llm == SMALL_LLM or name in REPEATED]
        against = {START: (), VIDEO: (START,), SKELETONS: (VIDEO, START)}
        baselines = {name: against.get(name, (VIDEO, SKELETONS)) for name in names}
        return tuple(
            Row((name,), (), WAYS[name], against=tuple(other for other in baselines[name] if other in names))
            for name in names
        )

    def domain(self, name: str) -> Domain:
        """Return a domain."""
        return Domain(name, self.sizes.clips[name], self.out)

    def seeds(self, way: Way) -> range:
        """Return the seeds with which a way is trained. Equal seeds have the same start."""
        return range(self.sizes.seeds if way.is_main else min(self.sizes.seeds, self.sizes.other_seeds))

    @property
    def llm(self) -> Step | None:
        """The step that trains the language model, unless another one is used."""
        if self.sizes.base_llm != SMALL_LLM:
            return None
        texts = [self.domain(name).texts(self.sizes.performances) for name in (BROAD, NARROW, THIRD)]
        folder = self.out / "language_model"
        command: tuple[str | Path, ...] = ("scripts/testbed_language_model.py", "--texts")
        command += (*(step.folder for step in texts), "--pairs", str(self.sizes.pairs), "--out", folder)
        return Step(command, "result.json", self.out, folder, tuple(texts))

    @property
    def tokens(self) -> Step:
        """The step that joins the video and the skeleton tokens of the narrow domain."""
        narrow, folder = self.domain(NARROW), self.out / "domains" / NARROW
        prepared = folder / "prepared"
        words: tuple[str | Path, ...] = ("scripts/prepare_ntu.py", "--ntu", narrow.ntu.folder)
        words += ("--dataset", "synthetic48", "--out", prepared)
        prepare = Step(words, "report.json", self.out, prepared, (narrow.ntu,))
        recognition = RecognitionPlan(
            narrow.ntu.folder, prepared, None, self.out, self.sizes.skeletons, (prepare,), data="synthetic48"
        )
        encoder = recognition.model(SkeletonAligned(), Replicate("", 0, "xsub"))
        assert isinstance(encoder, Step)
        skeletons = folder / "skeleton_tokens"
        words = ("scripts/extract_features.py", "--modalities", "skeleton", "--prepared", prepared)
        words += ("--skeleton_encoder", encoder.folder, *SKELETON_TOKENS.split(), "--out", skeletons)
        extract = Step(words, "features.json", self.out, skeletons, (prepare, encoder))
        video, both = narrow.video_tokens(VIDEO_TOKENS), folder / "tokens"
        words = ("scripts/join_features.py", "--video", video.folder, "--skeleton", skeletons, "--out", both)
        return Step(words, "features.json", self.out, both, (video, extract))

    @property
    def test_set(self) -> Step:
        """The step that collects the clips of all domains that are described."""
        folder, needs = self.out / "test_set", []
        command: list[str | Path] = ["scripts/testbed_test_set.py", "--domains", *DOMAINS]
        for flag in ("questions", "videos", "features"):
            command += [f"--{flag}", *(self._of_domain(flag, self.domain(name)) for name in DOMAINS)]
        for domain in map(self.domain, DOMAINS):
            needs += [domain.pairs, domain.video_tokens(VIDEO_TOKENS)]
        command += ["--clips", str(self.sizes.described), "--out", folder]
        return Step(tuple(command), "questions.json", self.out, folder, tuple(needs))

    @staticmethod
    def _of_domain(flag: str, domain: Domain) -> Path:
        folders = {"questions": domain.questions, "videos": domain.ntu.folder}
        return folders.get(flag) or domain.video_tokens(VIDEO_TOKENS).folder

    def model(self, name: str, seed: int) -> Step:
        """Return the step that trains a way to its end. That of the start trains T_v on the broad domain."""
        step = self._start(seed)
        stages = WAYS[name].stages
        for number, flags in enumerate(stages):
            folder = self._folder(name, seed) / ("model" if number == len(stages) - 1 else f"stage_{number}")
            words: tuple[str | Path, ...] = (
                "--init_from",
                step.folder,
                *flags.split(),
                "--max_steps",
                str(self.sizes.steps // len(stages)),
            )
            step = self._train(self.domain(NARROW), self.tokens, folder, seed, *words, needs=(step,))
        return step

    def _start(self, seed: int) -> Step:
        broad, folder = self.domain(BROAD), self._folder(START, seed) / "model"
        words = ("--modalities", "video", "--max_steps", str(self.sizes.start_steps))
        return self._train(broad, broad.video_tokens(VIDEO_TOKENS), folder, seed, *words)

    def _train(
        self, domain: Domain, tokens: Step, folder: Path, seed: int, *flags: str | Path, needs: tuple[Step, ...] = ()
    ) -> Step:
        llm = self.llm
        base: str | Path = llm.folder if llm else self.sizes.base_llm
        words: tuple[str | Path, ...] = ("train_ski_lvlm.py", "--instructions", domain.instructions)
        words += ("--features", tokens.folder, "--base_llm", base, *flags, *self.sizes.lvlm.split())
        words += ("--standardise", "True", "--save_strategy", "no", "--disable_tqdm", "True")
        words += ("--dataloader_num_workers", "0", "--seed", str(seed), "--output_dir", folder)
        needs += (domain.pairs, tokens, *((llm,) if llm else ()))
        return Step(words, "result.json", self.out, folder, needs)

    def description(self, name: str, seed: int) -> Step:
        """Return the step that describes the clips of all domains, by their videos alone."""
        model, folder, test = self.model(name, seed), self._folder(name, seed) / "captions", self.test_set
        words: tuple[str | Path, ...] = ("eval/describe.py", "--model", model.folder, "--videos", test.folder / "rgb")
        words += ("--features", test.folder, "--questions", test.folder / "questions.json", "--workers", "0")
        words += (*self.sizes.describe.split(), "--out", folder / "predictions.json")
        return Step(words, "predictions.json", self.out, folder, (model, test))

    @property
    def foils(self) -> Step:
        """The step that writes questions whose options differ in one fact."""
        folder, test = self.out / "foils", self.test_set
        words: tuple[str | Path, ...] = ("eval/facts.py", "--foils", "--facts", test.folder)
        return Step((*words, "--out", folder / "foils.json"), "foils.json", self.out, folder, (test,))

    def choices(self, name: str, seed: int) -> Step:
        """Return the step that asks these questions, of which the likelihoods of the options are read."""
        model, folder, test, foils = self.model(name, seed), self._folder(name, seed), self.test_set, self.foils
        words: tuple[str | Path, ...] = ("eval/choose.py", "--model", model.folder, "--videos", test.folder / "rgb")
        words += ("--features", test.folder, "--questions", foils.folder / foils.product)
        words += ("--prompt", test.folder / "prompt.txt", "--workers", "0", *self.sizes.choose.split())
        folder /= "choices"  # the command's folder lies below the step's, since both lock theirs
        words += ("--out", folder / "results")
        return Step(words, "results/choices.json", self.out, folder, (model, test, foils))

    def drift(self, name: str, seed: int) -> Step | None:
        """Return the step that measures how far T_v has moved from its start. The start itself has none."""
        if name == START:
            return None
        start, model, folder = self._start(seed), self.model(name, seed), self._folder(name, seed) / "drift"
        words: tuple[str | Path, ...] = ("scripts/projector_drift.py", "--start", start.folder, "--model", model.folder)
        words += ("--features", self.test_set.folder, "--out", folder / "drift.json")
        return Step(words, "drift.json", self.out, folder, (start, model, self.test_set))

    def _folder(self, name: str, seed: int) -> Path:
        llm = "" if self.sizes.base_llm == SMALL_LLM else f"-{self.sizes.base_llm}"
        return self.out / f"{name.replace(' ', '_')}{llm}" / f"seed_{seed}"

    def targets(self) -> list[Step]:
        """Return the last steps of all trainings."""
        runs = [(row.name, seed) for row in self.rows for seed in self.seeds(row.method)]
        steps = [step for run in runs for step in (self.description(*run), self.choices(*run), self.drift(*run))]
        return [step for step in steps if step]
