"""Students and their teacher in miniature: a CLIP of two layers, videos of three frames, skeletons of half of them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ski_lvlm.dual_encoders.students import STUDENTS
from ski_lvlm.recipe import DistillRecipe, VideoFinetuneRecipe
from ski_lvlm.vlm.trainer import VlmTrainer
from ski_lvlm.vlm.video_finetune import video_finetune
from tests.cases.recognition_case import PROMPT, ntu_videos, skeleton_run
from tests.cases.skeleton_case import SEEN, packed_set
from tests.cases.text_case import tiny_clip
from train_ski_vlm import VlmArguments

KINDS = tuple(STUDENTS)
QUICK = {"per_device_train_batch_size": 8, "batch_size": 8, "dataloader_num_workers": 0, "use_cpu": True}


@dataclass(frozen=True)
class Case:
    """Folders that the stages of a student read: 24 videos, of which performer 1's twelve have a skeleton."""

    folder: Path
    clip: str
    ntu: str
    prepared: str
    aligned: str  # a SkeletonCLIP

    def finetune(self, **changes):
        """Return the recipe of a student of two frames."""
        settings = {"ntu": self.ntu, "split": "synthetic", "framing": "whole", "num_frames": 2, "prompt": PROMPT}
        return VideoFinetuneRecipe(**{**settings, "backbone": self.clip, **changes})

    def distill(self, **changes):
        """Return the recipe of stage 4 with a student that was never fine-tuned. One folder may teach, or a list."""
        settings = {"ntu": self.ntu, "split": "synthetic", "framing": "whole", "prepared": self.prepared}
        skeleton_clip = self.skeleton_clip(changes["scale"]) if "scale" in changes else self.aligned
        models = {"skeleton_clip": skeleton_clip, "video_student": self.student()}
        recipe = {**settings, **models, **changes}
        teachers = recipe["skeleton_clip"]
        return DistillRecipe(**{**recipe, "skeleton_clip": teachers if isinstance(teachers, list) else [teachers]})

    def skeleton_clip(self, scale):
        """Folder of a SkeletonCLIP that was aligned in a scale."""
        folder = self.folder / f"aligned_{scale}"
        return str(folder if folder.exists() else skeleton_run(folder, text=self.clip, scale=scale))

    def student(self, kind="vificlip"):
        """Folder of a student that was never fine-tuned."""
        folder = self.folder / kind
        if not folder.exists():
            video_finetune(self.finetune(student=kind), seed=0).save(folder)
        return str(folder)


def write_case(folder):
    clip = tiny_clip(folder / "clip")
    return Case(
        folder=folder,
        clip=clip,
        ntu=str(ntu_videos(folder / "ntu", actions=SEEN, performers=(1, 2))),
        prepared=str(packed_set(folder / "prepared", actions=SEEN, performers=(1,))),
        aligned=str(skeleton_run(folder / "aligned", text=clip)),
    )


def trainer(stage, folder, **settings):
    """Return a Trainer for a few steps so large that rounding hides no change.

    Three, because FROSTER's residuals start at 0 and compare equal features in the first step: the outer layer moves in
    the second step, and only then the inner one has a gradient.
    """
    short = {"max_steps": 3, "learning_rate": 0.01, "max_grad_norm": 0.0, "save_strategy": "no", "disable_tqdm": True}
    return VlmTrainer(stage, args=VlmArguments(output_dir=str(folder), **{**QUICK, **short, **settings}))


def flags(recipe, output_dir, **settings):
    """Return the command line of a recipe."""
    stage = "distill" if isinstance(recipe, DistillRecipe) else "video_finetune"
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    values = {name: value for name, value in values.items() if value not in ("", None, [])}
    values |= {"output_dir": output_dir, "num_train_epochs": 1, "learning_rate": 0.01, **QUICK, **settings}
    words = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    return ["--stage", stage, *(str(part) for name, value in words.items() for part in (f"--{name}", *value))]


def weights(module):
    """Return a copy of every parameter, those of frozen towers included."""
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def changed(before, module):
    """Return the names of the parameters that are not bit for bit as they were."""
    return {name for name, value in module.named_parameters() if not value.equal(before[name])}


def left_alone_by_mathematics(module):
    """Return the names of the parameters whose gradient is 0 in mathematics.

    Rounding decides whether a step changes them. A key's bias adds the same to all scores of a query, which softmax
    ignores. In the first block of X-CLIP the class tokens have seen no picture yet. They are equal in all frames, so
    any attention over them has the same outcome.
    """
    first = ".vision_model.encoder.layers.0.message_attn."
    equal = (f"{first}q_proj.weight", f"{first}q_proj.bias", f"{first}k_proj.weight")
    return {name for name, _ in module.named_parameters() if name.endswith((".k_proj.bias", *equal))}


def starting_with(beginnings, module):
    """Return the names of the parameters that begin with any of these."""
    return {name for name, _ in module.named_parameters() if name.startswith(tuple(beginnings))}
