"""A SKI-LVLM that answers by transformers or by vLLM."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from eval.describing.answering import Clips, Engine
from eval.describing.batch_engine import BatchEngine
from eval.describing.clip_inputs import ClipInputs
from eval.describing.trained_model import load_lvlm, model_description, model_digest
from eval.describing.vllm_engine import ANSWER_SECONDS, VllmEngine, longest_prompt, start_vllm
from ski_lvlm.lvlm.plain_llm import plain_llm
from ski_lvlm.parallel.gpu_shards import visible_gpus
from ski_lvlm.storage.shards import Shard


class SkiLvlmModel:
    """The model of --model or --baseline, with the engine of --engine.

    Args:
        args: the command line.
        shard: whose number is that of the GPU.
        generation: settings of transformers' `generate`.

    Raises:
        ValueError: there is no such model, its frozen parts have other weights, or vLLM cannot load it.
    """

    def __init__(self, args: argparse.Namespace, *, shard: Shard, generation: dict[str, Any]) -> None:
        self._args, self._generation, self._number = args, generation, shard.index - 1
        self._version: str | None = None  # of vLLM
        is_vllm = args.engine == "vllm"
        self.lvlm = load_lvlm(args, shard, is_decoded_here=not is_vllm)
        self._llm = plain_llm(self.lvlm.model, Path(args.model) if args.model else None) if is_vllm else ""
        self.identity = model_digest(self.lvlm.model) + (" vllm" if is_vllm else "")

    @contextmanager
    def open(self, questions: Mapping[str, Sequence[str]]) -> Iterator[tuple[Clips, Engine]]:
        """Open the videos, and the process with vLLM where there is a question for it.

        Raises:
            ValueError: no such videos, features of another origin, or vLLM cannot start.
        """
        args, lvlm = self._args, self.lvlm
        settings: dict[str, Any] = {"seed": args.seed, "generation": self._generation}
        clips = ClipInputs(lvlm, args.videos, data=args.data, features=args.features)
        if args.engine == "hf" or not questions:
            yield clips, BatchEngine(lvlm, batch_size=args.batch_size, **settings)
            return
        gpus = visible_gpus()
        length = longest_prompt(lvlm.model, questions, video_tokens=lvlm.tower.num_tokens) + args.max_new_tokens
        process, self._version = start_vllm(
            args.vllm_python,
            lvlm.model,
            self._llm,
            gpu=gpus[self._number % len(gpus)] if gpus else None,
            capacity=args.batch_size,
            max_length=length,
            seconds=ANSWER_SECONDS,
        )
        with closing(process):
            yield clips, VllmEngine(lvlm.model, process, capacity=args.batch_size, **settings)

    def description(self) -> dict[str, Any]:
        """Return model, frozen parts, prompt and engine."""
        engine = {"name": self._args.engine} | ({"version": self._version} if self._version else {})
        return model_description(self.lvlm.model, self._args) | {"engine": engine}
