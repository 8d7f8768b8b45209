"""One step of SkeletonCLIP Distillation, part by part: time and peak memory of the plain way and of ours.

    python -m benchmarks.scd_step
    python -m benchmarks.scd_step --layers 2 --batch 1 --repeats 1

A step is forward and backward of Eq. (3) with ViFi-CLIP as the student, without the optimiser's update. Three ways:

    published  both text towers encode all class sentences padded to 77 tokens, both with gradient (the teacher's text
               encoder is trained), and the plain Hyperformer
    plain      the same with the teacher's text encoder frozen: it encodes in every step, without gradient
    ours       sentences padded to the longest one, in every step for the student, once a run for the frozen teacher,
               and our Hyperformer. It trains the same weights as `plain`
    compiled   (with --compile) ours, each encoder through torch.compile

The weights are random in CLIP's sizes, as are pixels and joints. The sentences are NTU's, with a token for each word
and punctuation mark, since CLIP's vocabulary is not at hand (CLIP's own splits a rare word into two). All ways must
return the same similarities and the same loss, or the run fails. The ways take turns. Each turn is a process of its
own, since peak memory is a process's, with the allocator of scripts/environment.sh.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils.logging import disable_progress_bar

from benchmarks.hyperformer import ALLOCATOR, plain_feature
from benchmarks.timing import cost_of
from ski_lvlm.cli import parser, run
from ski_lvlm.datasets.catalogue import open_data_set
from ski_lvlm.dual_encoders.skeleton_clip import SkeletonCLIP
from ski_lvlm.dual_encoders.students import build_student
from ski_lvlm.dual_encoders.vificlip import ViFiCLIP
from ski_lvlm.encoders.hyperformer import Hyperformer
from ski_lvlm.encoders.skeleton_encoder import SkeletonTokens
from ski_lvlm.encoders.text_encoder import TextEncoder, load_text_encoder
from ski_lvlm.recognition.class_sentences import PROMPT
from ski_lvlm.skeletons.layouts import LAYOUTS
from ski_lvlm.training.speed import peak_memory_gb
from ski_lvlm.vlm.stage_losses import Distillation, DistillationLoss

WAYS = ("published", "plain", "ours")
ALONE = 0.8  # share of NTU's clips that show one person
START, END = 49406, 49407


@dataclass(frozen=True)
class Sizes:
    """Sizes of the step, by default the paper's."""

    batch: int = 4
    frames: int = 16
    side: int = 224
    classes: int = 110
    layers: int = 12
    width: int = 768

    @property
    def prompts(self) -> list[str]:
        """The class sentences."""
        return [PROMPT.format(name=name) for name in open_data_set("ntu120").class_names[: self.classes]]


class PaddedText(nn.Module):
    """Text encoder that encodes all sentences in every call, padded to its maximum length."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder, self.width, self.temperature = encoder, encoder.width, encoder.temperature

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Return the sentences' features."""
        tokens = self.encoder.tokenizer(
            list(prompts), padding="max_length", max_length=self.encoder.max_length, return_tensors="pt"
        )
        model: Any = self.encoder.model
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.encoder.is_frozen):
            return model.get_text_features(input_ids=tokens["input_ids"].to(model.device)).pooler_output


class PlainSkeleton(nn.Module):
    """Hyperformer in its plain formulation."""

    def __init__(self, encoder: Hyperformer) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, skeleton: Tensor) -> SkeletonTokens:
        """Return the clips' features, in the place of tokens too, which nothing reads here."""
        feature = plain_feature(self.encoder, skeleton)
        return SkeletonTokens(feature[:, None], feature)


def write_checkpoint(folder: Path, sizes: Sizes) -> None:
    """Write a CLIP of random weights in the hub's layout, with a tokenizer for the class sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    words = pre_tokenizers.Whitespace()
    distinct = dict.fromkeys(word for prompt in sizes.prompts for word, _ in words.pre_tokenize_str(prompt))
    vocabulary = {word: number for number, word in enumerate(distinct, start=1)}
    special = {"<|startoftext|>": START, "<|endoftext|>": END}
    tokenizer = Tokenizer(models.WordLevel({"!": 0, **vocabulary, **special}, unk_token="!"))
    tokenizer.pre_tokenizer = words
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>", special_tokens=list(special.items())
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="!", unk_token="!").save_pretrained(folder)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(**clip_sizes(sizes))).save_pretrained(folder)
    settings = {"image_mean": [0.4815, 0.4578, 0.4082], "image_std": [0.2686, 0.2613, 0.2758]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def clip_sizes(sizes: Sizes) -> dict[str, Any]:
    """Return CLIPConfig's arguments: ViT-B/16 and its text tower, or smaller ones of the same proportions."""

    def tower(width: int) -> dict[str, int]:
        heads = {"num_attention_heads": width // 64, "num_hidden_layers": sizes.layers}
        return {"hidden_size": width, "intermediate_size": 4 * width, **heads}

    vision = {**tower(sizes.width), "patch_size": 16, "image_size": sizes.side}
    return {"text_config": tower(sizes.width * 2 // 3), "vision_config": vision, "projection_dim": 512}


def build(way: str, folder: Path, sizes: Sizes) -> DistillationLoss:
    """Build student, teacher and loss, with the same weights for every way."""
    student = build_student("vificlip", backbone=str(folder), num_frames=sizes.frames)
    assert isinstance(student, ViFiCLIP)
    torch.manual_seed(1)
    encoder = Hyperformer(layout=LAYOUTS["ntu-25"], depth=min(sizes.layers, 10))
    for block in encoder.blocks:  # at their start they are 0, and with them what they multiply
        for weight in (block.attention.alpha, block.attention.hop_embedding, block.attention.group_weight):  # type: ignore[union-attr]
            nn.init.normal_(weight)  # type: ignore[arg-type]
    teacher = SkeletonCLIP(encoder, load_text_encoder(str(folder)))
    if way == "published":
        teacher.text_encoder.requires_grad_(True)
    if way in ("published", "plain"):
        student.text_encoder, teacher.text_encoder = PaddedText(student.text_encoder), PaddedText(teacher.text_encoder)  # type: ignore[assignment]
        teacher.encoder = PlainSkeleton(encoder)  # type: ignore[assignment]
    if way == "compiled":
        for module in (student.frames.backbone, student.text_encoder.model.text_model, encoder):
            module.compile()  # type: ignore[union-attr]
    return DistillationLoss(student, teacher, prompts=sizes.prompts, distillation=Distillation(alpha=10.0))


def batch_of(sizes: Sizes, *, device: str) -> dict[str, Tensor]:
    """Draw random frames and joints, most of one person."""
    torch.manual_seed(2)
    skeleton = torch.randn(sizes.batch, 64, 2, 25, 3)
    skeleton[: round(ALONE * sizes.batch), :, 1] = torch.nan
    inputs = {
        "video": torch.randint(0, 256, (sizes.batch, sizes.frames, 3, sizes.side, sizes.side), dtype=torch.uint8),
        "skeleton": skeleton,
        "labels": torch.randint(0, sizes.classes, (sizes.batch,)),
    }
    return {name: value.to(device) for name, value in inputs.items()}


def parts(model: DistillationLoss, inputs: dict[str, Tensor]) -> dict[str, Callable[[], Tensor]]:
    """Return forward passes to a number, the whole step first. Each is followed by a backward pass."""
    student, teacher, prompts = model.student, model.teacher, model.prompts

    def text_towers() -> Tensor:
        return (student.text_encoder(prompts) + teacher.text_encoder(prompts)).square().sum()

    return {
        "whole step": lambda: model(**inputs)["loss"],
        "video tower": lambda: student.frames(inputs["video"]).mean(1).square().sum(),
        "text towers": text_towers,
        "skeleton": lambda: teacher.encoder(inputs["skeleton"]).feature.square().sum(),
    }


def measure(way: str, folder: Path, sizes: Sizes, *, device: str = "cpu", bf16: bool = False) -> dict[str, Any]:
    """Measure one turn of one way: wall and CPU seconds of each part, peak memory, similarities and loss."""
    model, inputs = build(way, folder, sizes).to(device), batch_of(sizes, device=device)
    result: dict[str, Any] = {"way": way, "model_gb": peak_memory_gb()}

    def timed(forward: Callable[[], Tensor], *, backward: bool = True) -> tuple[float, float]:
        def work() -> None:
            with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
                loss = forward()
            if backward:
                loss.backward()
            if device == "cuda":
                torch.cuda.synchronize()

        model.zero_grad()
        cost = cost_of(work)
        return cost.wall, cost.cpu

    result["seconds"] = {}
    with torch.no_grad():
        result["teacher_text_first"] = timed(lambda: model.teacher.text_encoder(model.prompts), backward=False)
        model.eval()
        with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
            result["similarity"] = [side.similarity.flatten().tolist() for side in sides(model, inputs)]
            result["loss"] = model(**inputs)["loss"].item()
    model.train()
    works = parts(model, inputs)
    timed(works["whole step"])  # warms up
    for name, forward in works.items():
        result["seconds"][name] = timed(forward)
    return result | {"peak_gb": peak_memory_gb()}


def sides(model: DistillationLoss, inputs: dict[str, Tensor]) -> tuple[Any, Any]:
    """Return the outputs of student and teacher, with F_LV and F_LS."""
    return model.student(inputs["video"], model.prompts), model.teacher(inputs["skeleton"], model.prompts)


def largest_difference(results: Sequence[dict[str, Any]]) -> float:
    """Return the largest difference of all turns' similarities (cosines) and losses (relative) from the first's."""
    first = results[0]
    similarity, differences = torch.tensor(first["similarity"]), [0.0]
    for other in results[1:]:
        differences.append((similarity - torch.tensor(other["similarity"])).abs().max().item())
        differences.append(abs(first["loss"] - other["loss"]) / abs(first["loss"]))
    return max(differences)


def table(results: Sequence[dict[str, Any]], *, clock: int) -> str:
    """Return the least time of each part and way over the turns, its ratio to the first way's, and memory."""
    ways = list(dict.fromkeys(result["way"] for result in results))
    turns = {way: [result for result in results if result["way"] == way] for way in ways}
    lines = [f"{'':14}" + "".join(f"{way:>32}" for way in ways)]
    for part in results[0]["seconds"]:
        best = {way: [min(turn["seconds"][part][c] for turn in turns[way]) for c in (0, 1)] for way in ways}
        cells = [
            f"{1e3 * best[way][0]:8.0f} {1e3 * best[way][1]:8.0f} ms {best[ways[0]][clock] / best[way][clock]:5.1f} x"
            for way in ways
        ]
        lines.append(f"{part:14}" + "".join(f"{cell:>32}" for cell in cells))
    for title, key in (("peak memory", "peak_gb"), ("before a step", "model_gb")):
        cells = [f"{max(turn[key] for turn in turns[way]):.2f} GB" for way in ways]
        lines.append(f"{title:14}" + "".join(f"{cell:>32}" for cell in cells))
    once = min(turn["teacher_text_first"][0] for turn in turns[ways[-1]])
    return "\n".join(lines) + f"\nteacher's sentences, once a run ({ways[-1]}): {1e3 * once:.0f} ms"


def take_turns(folder: Path, args: argparse.Namespace, *, ways: Sequence[str]) -> list[dict[str, Any]]:
    """Run each way in a process of its own, `repeats` times in turns."""
    environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": str(args.threads)}
    flags = [f"--{name}={getattr(args, name)}" for name in (*Sizes.__dataclass_fields__, "device", "threads")]
    results = []
    for turn in range(args.repeats):
        for way in ways:
            command = [sys.executable, "-m", "benchmarks.scd_step", "--way", way, "--checkpoint", str(folder), *flags]
            output = subprocess.check_output(command + (["--bf16"] if args.bf16 else []), env=environment)
            results.append(json.loads(output.splitlines()[-1]))
            wall = results[-1]["seconds"]["whole step"][0]
            print(f"turn {turn + 1} of {args.repeats}, {way}: a step took {wall:.2f} s", file=sys.stderr)
    return results


def main(flags: Sequence[str] | None = None) -> None:
    """Compare all ways, or measure one."""
    p = parser(__doc__ or "")
    p.add_argument("--batch", type=int, default=4, help="clips")
    p.add_argument("--frames", type=int, default=16, help="T_v")
    p.add_argument("--side", type=int, default=224, help="of a frame, in pixels, a multiple of 16")
    p.add_argument("--classes", type=int, default=110, help="seen classes, each with one sentence")
    p.add_argument("--layers", type=int, default=12, help="of both towers (and of Hyperformer, at most 10)")
    p.add_argument("--width", type=int, default=768, help="of the video tower, a multiple of 192 (text has two thirds)")
    p.add_argument("--bf16", action="store_true", help="bf16 autocast, for every way")
    p.add_argument("--compile", action="store_true", help="add a fourth way: ours through torch.compile")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    p.add_argument("--repeats", type=int, default=2, help="turns of every way, of which the least time counts")
    p.add_argument("--way", choices=(*WAYS, "compiled"), help="measure this way only and print JSON")
    p.add_argument("--checkpoint", type=Path, help="with --way: the folder of the CLIP to use")
    args = p.parse_args(flags)
    sizes = Sizes(**{name: getattr(args, name) for name in Sizes.__dataclass_fields__})
    disable_progress_bar()
    if args.way and args.checkpoint:
        torch.set_num_threads(args.threads)
        print(json.dumps(measure(args.way, args.checkpoint, sizes, device=args.device, bf16=args.bf16)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder), sizes)
        ways = [args.way] if args.way else [*WAYS, *(["compiled"] if args.compile else [])]
        results = take_turns(Path(folder), args, ways=ways)
    difference, allowed = largest_difference(results), 3e-2 if args.bf16 else 1e-4
    print(f"{sizes}, {'bf16' if args.bf16 else 'fp32'}, {args.device}, {args.threads} threads")
    print(f"largest difference between the ways' similarities and losses: {difference:.1e}")
    if not difference <= allowed:
        raise ValueError(f"the ways compute different numbers: {difference:.1e}, expected at most {allowed:.0e}")
    print("milliseconds of wall time and of user and system time; how many times less than the first way")
    print(table(results, clock=0 if args.device == "cuda" else 1))


if __name__ == "__main__":
    run(main)
