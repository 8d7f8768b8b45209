"""A tiny SKI-LVLM case on disk: features of four clips, an instruction file, a random LLM."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from ski_lvlm.datasets.instruction_file import instruction_record, read_instructions
from ski_lvlm.llm.conversation import IGNORED, PLACEHOLDER_IDS
from ski_lvlm.lvlm.features import FeatureFolder
from ski_lvlm.lvlm.samples import InstructDataset, SampleSettings
from ski_lvlm.storage.files import write_json
from tests.cases.tiny_llm import tiny_llm, tiny_tokenizer

CLIPS = ["S001C001P001R001A001", "S001C001P001R001A008", "S001C002P002R001A009", "S001C002P002R001A010"]
TOKENS = {"video": (6, 12), "skeleton": (4, 8)}  # N and F of each modality


def write_features(folder: Path, clips=tuple(CLIPS), tokens=None) -> Path:
    generator = np.random.default_rng(0)
    for modality, shape in (tokens or TOKENS).items():
        (folder / modality).mkdir(parents=True, exist_ok=True)
        for clip in clips:
            np.save(folder / modality / f"{clip}.npy", generator.normal(size=shape).astype(np.float16))
    return folder


def write_instructions(file: Path, clips=tuple(CLIPS), *, video_only=()) -> Path:
    records = [
        instruction_record(
            f"{clip}_0",
            clip=clip,
            question="What is the person doing?",
            answer=f"The person does action {clip[-3:]}.",
            with_skeleton=clip not in video_only,
        )
        for clip in clips
    ]
    write_json(file, records)
    return file


def write_case(folder: Path) -> dict[str, str]:
    return {
        "instructions": str(write_instructions(folder / "instructions.json")),
        "features": str(write_features(folder / "features")),
        "base_llm": str(tiny_llm(folder / "llm")),
    }


def instruct_dataset(folder, *, video_only=(), clips=tuple(CLIPS), **settings):
    """Write an instruction file with features and open both."""
    instructions = read_instructions(write_instructions(folder / "i.json", clips, video_only=video_only))
    features = FeatureFolder(write_features(folder / "features"))
    return InstructDataset(instructions, features, tiny_tokenizer(), SampleSettings(**settings))


def random_batch(rows: int = 3, *, text: int = 20, answer: int = 5, padding: int = 0, tokens=None) -> dict:
    """Make a batch of `InstructCollator` of random tokens, of which the last of each row are the answer."""
    shapes = tokens or TOKENS
    slots = [torch.full((rows, count), PLACEHOLDER_IDS[name]) for name, (count, _) in shapes.items()]
    ids = torch.cat([*slots, torch.randint(3, 100, (rows, text))], 1)
    labels = ids.clone()
    labels[:, :-answer] = IGNORED
    parts = {"ids": (ids, 0), "labels": (labels, IGNORED), "attention_mask": (torch.ones_like(ids), 0)}
    return {
        **{name: functional.pad(part, (padding, 0), value=value) for name, (part, value) in parts.items()},
        "features": {name: torch.randn(rows * count, width) for name, (count, width) in shapes.items()},
        "token_counts": {name: torch.full((rows,), count) for name, (count, _) in shapes.items()},
    }


def counted_flops(model, inputs):
    """Return the operations that PyTorch counts in a forward and backward pass."""
    with FlopCounterMode(display=False) as counter:
        model(**inputs).loss.backward()
    return counter.get_total_flops()
